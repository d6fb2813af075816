"""Reading a receipt as `GET /v1/receipts/{sequence}` answered it, so strictly that no bit of the file can be another.

A receipt says most things twice: as bytes, which are signed, and decoded, for those who read it. So what was read is
rendered again and has to come out as it stood there.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final, NoReturn

from engine.codec import CodecError
from engine.entry import CHAIN_SIZE
from gateway.receipts import VERSION, receipt_body
from replication.receipts import Receipt
from replication.signing_key import PUBLIC_KEY_SIZE, SIGNATURE_SIZE

_CLUSTER_ID_SIZE: Final = 16
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})*", re.ASCII)
_U32_MAX: Final = (1 << 32) - 1
_U64_MAX: Final = (1 << 64) - 1
_I64_MAX: Final = (1 << 63) - 1


class ReceiptUnreadable(ValueError):
    """The file is no receipt, or not as it was written."""


def read_receipt(path: Path) -> Receipt:
    """The receipt in a file. ReceiptUnreadable, or OSError. Its signature is not looked at."""
    return parse_receipt(path.read_bytes())


def parse_receipt(data: bytes) -> Receipt:
    try:
        document = json.loads(
            data.decode("ascii"), object_pairs_hook=_object, parse_float=_no_number, parse_constant=_no_number
        )
    except (ValueError, RecursionError) as error:
        raise ReceiptUnreadable(f"it is not the JSON of a receipt: {error}") from None
    top = _Object(document, "receipt")
    if top.integer("receipt", _U32_MAX) != VERSION:
        raise ReceiptUnreadable(f"receipts of version {document['receipt']} are not known here, but {VERSION} is")
    command, outcome, entry = top.object("command"), top.object("outcome"), top.object("entry")
    commands, events = entry.optional_hex_bytes("command_bytes"), entry.optional_hex_bytes("event_bytes")
    if (commands is None) != (events is None):
        raise ReceiptUnreadable("entry: command_bytes and event_bytes are there together, or both are null")
    receipt = Receipt(
        cluster_id=top.hex_bytes("cluster_id", _CLUSTER_ID_SIZE),
        group=top.name("group"),
        node=top.name("node"),
        sequence=top.integer("sequence", _U64_MAX),
        signed_at_ns=top.integer("signed_at_ns", _I64_MAX),
        first_sequence=entry.integer("first_sequence", _U64_MAX),
        timestamp_ns=entry.integer("timestamp_ns", _I64_MAX),
        command_count=entry.integer("commands", _U32_MAX),
        commands_length=entry.integer("commands_length", _U32_MAX),
        events_length=entry.integer("events_length", _U32_MAX),
        chain_before=entry.hex_bytes("chain_before", CHAIN_SIZE),
        chain_after=entry.hex_bytes("chain_after", CHAIN_SIZE),
        command=command.hex_bytes("bytes"),
        outcome=outcome.hex_bytes("bytes"),
        whole=outcome.flag("whole"),
        public_key=top.hex_bytes("public_key", PUBLIC_KEY_SIZE),
        signature=top.hex_bytes("signature", SIGNATURE_SIZE),
        commands=commands,
        events=events,
    )
    _require_the_same(document, receipt)
    return receipt


def _require_the_same(document: Any, receipt: Receipt) -> None:
    try:
        rendered = receipt_body(receipt._asdict())
    except (CodecError, UnicodeDecodeError) as error:
        raise ReceiptUnreadable(f"its records cannot be read: {error}") from None
    difference = _first_difference(document, rendered, "receipt")
    if difference:
        raise ReceiptUnreadable(f"{difference} is not what the bytes beside it say")


def _first_difference(found: Any, expected: Any, where: str) -> str:
    """Where two JSON values differ; "" if they do not. True is not 1 here."""
    if type(found) is not type(expected):
        return where
    if isinstance(found, dict):
        if list(found) != list(expected):
            return f"the list of fields of {where}"
        pairs = [(found[name], expected[name], f"{where}.{name}") for name in expected]
    elif isinstance(found, list):
        if len(found) != len(expected):
            return f"the length of {where}"
        pairs = [(*both, f"{where}[{index}]") for index, both in enumerate(zip(found, expected, strict=True))]
    else:
        return "" if found == expected else where
    return next((difference for pair in pairs if (difference := _first_difference(*pair))), "")


class _Object:
    """One JSON object whose fields are asked for by name and kind."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise ReceiptUnreadable(f"{where} must be a JSON object")
        self._values = value
        self._where = where

    def object(self, name: str) -> _Object:
        return _Object(self._value(name), name)

    def integer(self, name: str, maximum: int) -> int:
        value = self._value(name)
        if type(value) is not int or not 0 <= value <= maximum:
            self._refuse(name, f"a whole number from 0 to {maximum}")
        return value

    def flag(self, name: str) -> bool:
        value = self._value(name)
        if type(value) is not bool:
            self._refuse(name, "true or false")
        return value

    def name(self, name: str) -> str:
        value = self._value(name)
        if type(value) is not str or _NAME.fullmatch(value) is None:
            self._refuse(name, "a name of lower-case letters, digits and '-'")
        return value

    def hex_bytes(self, name: str, size: int | None = None) -> bytes:
        value = self._value(name)
        if type(value) is not str or _HEX.fullmatch(value) is None or size not in (None, len(value) // 2):
            self._refuse(name, "hexadecimal digits in lower case" + (f", {2 * size} of them" if size else ""))
        return bytes.fromhex(value)

    def optional_hex_bytes(self, name: str) -> bytes | None:
        return None if self._value(name) is None else self.hex_bytes(name)

    def _value(self, name: str) -> Any:
        if name not in self._values:
            raise ReceiptUnreadable(f"{self._where} has no field {name!r}")
        return self._values[name]

    def _refuse(self, name: str, allowed: str) -> NoReturn:
        raise ReceiptUnreadable(f"{self._where}: {name} is not {allowed}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ReceiptUnreadable("a field stands there twice")
    return values


def _no_number(text: str) -> NoReturn:
    raise ReceiptUnreadable(f"{text} is no number that a receipt has")
