"""Where the next page of a list begins, as an opaque text that clients hand back.

A cursor is the key of the last row, so a page is found by its index however far into the list it is, and rows that
come meanwhile neither repeat nor skip any. It is bound to the question that it belongs to: with other filters or
another order it is refused rather than misunderstood. It carries nothing secret and grants nothing: whose rows are
shown is decided anew for every page.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Final

import orjson

from gateway.errors import BadRequest

Key = tuple[int, ...]
"""What the rows of one market group are in order of."""

_FINGERPRINT_CHARACTERS: Final = 8
_LENGTH_MAX: Final = 1_000
_NUMBER_MAX: Final = (1 << 63) - 1


def encode_cursor(question: str, positions: Mapping[int, Key]) -> str:
    """``positions`` are the keys of the last row taken from each group, by the group's number."""
    document = [_fingerprint(question), [[group, *key] for group, key in sorted(positions.items())]]
    return base64.urlsafe_b64encode(orjson.dumps(document)).rstrip(b"=").decode("ascii")


def decode_cursor(question: str, text: str, *, key_length: int) -> dict[int, Key]:
    """The positions in a cursor. BadRequest if it is none of ours, or belongs to another question."""
    try:
        if len(text) > _LENGTH_MAX:
            raise ValueError(text)
        document = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        fingerprint, rows = document
        positions = {group: tuple(key) for group, *key in rows}
        for group, key in positions.items():
            if len(key) != key_length or not all(type(one) is int and 0 <= one <= _NUMBER_MAX for one in (group, *key)):
                raise ValueError(key)
    except (ValueError, TypeError, binascii.Error):
        raise BadRequest("BAD_CURSOR", "The cursor is not one that a page gave: begin without one.") from None
    if fingerprint != _fingerprint(question):
        raise BadRequest("BAD_CURSOR", "The cursor belongs to other parameters: repeat those of the page that gave it.")
    return positions


def _fingerprint(question: str) -> str:
    return hashlib.sha256(question.encode()).hexdigest()[:_FINGERPRINT_CHARACTERS]
