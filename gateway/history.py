"""Routes about the history: authenticated here, answered by the query server, passed through as they come.

The query server reads the database of the projections only. So these routes go on while replicas are restarted, and
what they answer is as new as the projections are: ``as_of_sequence`` says how new.
"""

from __future__ import annotations

from typing import Final

from gateway.endpoint import JSON_TYPE, Call, Reply, signed_target
from gateway.errors import QueryUnavailable
from gateway.history_routes import ACCEPT_HEADER, ACCOUNT_HEADER, AS_OF_HEADER, OPERATOR_HEADER

_PASSED_ON: Final = (b"content-disposition", b"content-length", AS_OF_HEADER)


async def forward(call: Call) -> Reply:
    """Ask the query server the same, and say who asks: it believes gateways. QueryUnavailable if it is not there."""
    link = call.edge.home.query_link
    if link is None:
        raise QueryUnavailable("This exchange runs no query server.")
    headers: dict[bytes, bytes] = {}
    accept = dict(call.scope["headers"]).get(ACCEPT_HEADER)
    if accept is not None:
        headers[ACCEPT_HEADER] = accept
    if call.signed_in:
        name = (await call.edge.home.account_name(call.home_account_id)).encode("ascii")
        headers[OPERATOR_HEADER if call.caller.is_operator else ACCOUNT_HEADER] = name
    answer = await link.get(signed_target(call.scope), headers)
    passed_on = tuple((name, answer.headers[name]) for name in _PASSED_ON if name in answer.headers)
    return Reply(answer.status, answer.body(), answer.headers.get(b"content-type", JSON_TYPE), passed_on)
