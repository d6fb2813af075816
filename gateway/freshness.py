"""How new the answer to a read must be, as a client says it in the query.

Without anything the leader answers, and the answer reflects every command that anybody was told of before the read was
sent. With ``min_sequence=N`` any replica may answer that has executed command N, so that reads spread over all of
them; ``wait_ms`` is how long a replica may take to get there.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.errors import BadRequest
from gateway.parsing import query_number

WAIT_MS_DEFAULT: Final = 500
WAIT_MS_MAX: Final = 2_000
FRESHNESS_PARAMETERS: Final = frozenset(("min_sequence", "wait_ms"))


class AtLeast(NamedTuple):
    """Any state that contains command ``min_sequence``."""

    min_sequence: int
    wait_ms: int


def read_freshness(parameters: dict[str, str]) -> AtLeast | None:
    """None: as new as can be. BadRequest if one of the parameters is not a number in its range, or stands alone."""
    minimum = query_number(parameters, "min_sequence")
    wait_ms = query_number(parameters, "wait_ms", maximum=WAIT_MS_MAX)
    if minimum is None:
        if wait_ms is not None:
            raise BadRequest("BAD_QUERY", "The query parameter 'wait_ms' needs a 'min_sequence' to wait for.")
        return None
    return AtLeast(minimum, WAIT_MS_DEFAULT if wait_ms is None else wait_ms)
