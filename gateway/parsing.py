"""From JSON and query text to checked values. Strict: what is not understood is refused by name, never guessed.

Each reader takes the decoded object and a field's name. Client mistakes that a market decides about (off-tick,
too small, "1e400") pass through as numbers: the state machine refuses them, and the refusal stands in the log.

Duplicate keys: the fast JSON reader silently keeps the last one. Each key of a document has one colon outside of
strings, so a document with exactly as many colons as decoded keys has no duplicates. One with more, because a
text contains a colon or because of a duplicate, is read a second time by a slow reader that sees every pair.

Depth: the fast reader follows nested brackets on the C stack without a limit, and a body of a few hundred kilobytes of
them ends the process. So brackets are counted before it sees the body: their number bounds the depth.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote_plus

import orjson

from engine.amounts import ABSENT, POWERS_OF_TEN, Decimal, parse_decimal
from gateway.errors import BadRequest, shown

JsonObject = dict[str, Any]

_ID: Final = re.compile(r"[A-Za-z0-9_.\-]{1,64}", re.ASCII)
_WHOLE_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_DEPTH_MAX: Final = 8
_BRACKETS_MAX: Final = 1_000
_QUERY_LENGTH_MAX: Final = 2_048
_QUERY_FIELDS_MAX: Final = 16
_PPM_DECIMALS: Final = 6
_NUMBER_MAX: Final = (1 << 64) - 1
_ROWS_MAX: Final = 1_000
PAGE_PARAMETERS: Final = frozenset(("after", "limit"))


class Page(NamedTuple):
    """A part of a list: at most ``limit`` things whose numbers are above ``after``."""

    after: int
    limit: int


def read_object(body: bytes | bytearray) -> JsonObject:
    """Decode a body that must be one JSON object, without duplicate keys at any depth."""
    if body.count(b"{") + body.count(b"[") > _BRACKETS_MAX:
        raise BadRequest("BAD_JSON", f"The body has more than {_BRACKETS_MAX} objects and lists.")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest("BAD_JSON", f"The body is not valid JSON: {error.msg}.") from None
    if type(document) is not dict:
        raise BadRequest("NOT_AN_OBJECT", "The body must be a JSON object.")
    colons = body.count(b":")
    if colons != len(document) and colons != _count_keys(document):
        _refuse_duplicate_keys(body)
    return document


def check_fields(document: JsonObject, allowed: frozenset[str]) -> None:
    """Refuse fields that the route does not know: a misspelt option must not be ignored."""
    if not document.keys() <= allowed:
        unknown = next(name for name in document if name not in allowed)
        raise BadRequest("UNKNOWN_FIELD", f"There is no field {shown(unknown)} here.")


def required(document: JsonObject, name: str) -> Any:
    if name not in document:
        raise BadRequest("MISSING_FIELD", f"The field '{name}' is missing.")
    return document[name]


def read_text(document: JsonObject, name: str) -> str:
    value = required(document, name)
    if type(value) is not str:
        raise BadRequest("BAD_FIELD", f"The field '{name}' must be a string.")
    return value


def read_id(document: JsonObject, name: str) -> str:
    return check_id(read_text(document, name), name)


def check_id(text: str, name: str) -> str:
    if _ID.fullmatch(text) is None:
        raise BadRequest("BAD_ID", f"'{name}' must have 1 to 64 of the characters A-Z, a-z, 0-9, '_', '.' and '-'.")
    return text


def read_choice(document: JsonObject, name: str, choices: dict[str, int], default: str | None = None) -> int:
    """One of ``choices``, as its number; ``default`` if the field is absent and a default exists."""
    text = default if default is not None and name not in document else required(document, name)
    choice = choices.get(text) if type(text) is str else None
    if choice is None:
        raise BadRequest("BAD_FIELD", f"The field '{name}' must be one of: {', '.join(choices)}.")
    return choice


def read_flag(document: JsonObject, name: str) -> bool:
    """A JSON boolean; false if absent."""
    value = document.get(name, False)
    if type(value) is not bool:
        raise BadRequest("BAD_FIELD", f"The field '{name}' must be true or false.")
    return value


def read_integer(document: JsonObject, name: str, *, minimum: int, maximum: int, default: int | None = None) -> int:
    """A JSON number without a fraction, for counts only: amounts are decimals in strings.

    ``default`` if the field is absent and a default exists.
    """
    value = default if default is not None and name not in document else required(document, name)
    if type(value) is not int or not minimum <= value <= maximum:
        raise BadRequest("BAD_FIELD", f"The field '{name}' must be a whole number from {minimum} to {maximum}.")
    return value


def read_decimal(document: JsonObject, name: str) -> Decimal:
    value = required(document, name)
    if type(value) is not str:
        if type(value) in (int, float):
            raise BadRequest(
                "DECIMAL_AS_STRING", f"The field '{name}' must be a string such as \"10.50\", not a number."
            )
        raise BadRequest("BAD_DECIMAL", f"The field '{name}' must be a decimal in a string.")
    decimal = parse_decimal(value)
    if decimal is None:
        raise BadRequest("BAD_DECIMAL", f"The field '{name}' is not a plain decimal: {shown(value)}.")
    return decimal


def read_optional_decimal(document: JsonObject, name: str) -> Decimal:
    return read_decimal(document, name) if name in document else ABSENT


def read_ppm(document: JsonObject, name: str, *, minimum_ppm: int, maximum_ppm: int) -> int:
    """A fraction such as "0.0025", in parts per million; 0 if absent."""
    fraction = read_decimal(document, name) if name in document else Decimal(0, 0)
    if fraction.scale > _PPM_DECIMALS:
        raise BadRequest("BAD_DECIMAL", f"The field '{name}' must have at most {_PPM_DECIMALS} decimals.")
    ppm: int = fraction.mantissa * POWERS_OF_TEN[_PPM_DECIMALS - fraction.scale]
    if not minimum_ppm <= ppm <= maximum_ppm:
        raise BadRequest(
            "BAD_DECIMAL",
            f"The field '{name}' is a fraction such as \"0.0025\", "
            f"from {minimum_ppm / 10**_PPM_DECIMALS:g} to {maximum_ppm / 10**_PPM_DECIMALS:g}.",
        )
    return ppm


def read_objects(document: JsonObject, name: str, *, maximum: int) -> list[JsonObject]:
    """A list of at most so many JSON objects. Their fields are for the caller to check."""
    value = required(document, name)
    if type(value) is not list or len(value) > maximum or not all(type(one) is dict for one in value):
        raise BadRequest("BAD_FIELD", f"The field '{name}' must be a list of at most {maximum} objects.")
    return value


def take_parameter(query: bytes, name: str) -> tuple[str | None, bytes]:
    """The first parameter of this name, and the query without it. Whether the rest is in order is for who reads it."""
    if name.encode("ascii") not in query:
        return None, query
    parts = query.split(b"&")
    for place, part in enumerate(parts):
        key, _, value = part.partition(b"=")
        if key == name.encode("ascii"):
            return unquote_plus(value.decode("latin-1")), b"&".join(parts[:place] + parts[place + 1 :])
    return None, query


def read_query(query: bytes, allowed: frozenset[str]) -> dict[str, str]:
    """The parameters behind the ``?``, each at most once."""
    if not query:
        return {}
    if len(query) > _QUERY_LENGTH_MAX:
        raise BadRequest("BAD_QUERY", f"The query is longer than {_QUERY_LENGTH_MAX} characters.")
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_QUERY_FIELDS_MAX,
        )
    except ValueError:
        raise BadRequest("BAD_QUERY", "The query is not a list of name=value pairs.") from None
    parameters: dict[str, str] = {}
    for name, value in pairs:
        if name not in allowed:
            raise BadRequest("BAD_QUERY", f"There is no query parameter {shown(name)} here.")
        if name in parameters:
            raise BadRequest("BAD_QUERY", f"The query parameter '{name}' is given twice.")
        parameters[name] = value
    return parameters


def query_count(parameters: dict[str, str], name: str, *, default: int, maximum: int) -> int:
    """A whole number from 1 to ``maximum`` in the query."""
    text = parameters.get(name)
    if text is None:
        return default
    if _WHOLE_NUMBER.fullmatch(text) is None or not 1 <= int(text) <= maximum:
        raise BadRequest("BAD_QUERY", f"The query parameter '{name}' must be a whole number from 1 to {maximum}.")
    return int(text)


def query_number(parameters: dict[str, str], name: str, *, maximum: int = _NUMBER_MAX) -> int | None:
    """A whole number from 0 to ``maximum`` in the query; None if it is absent."""
    text = parameters.get(name)
    if text is None:
        return None
    if _WHOLE_NUMBER.fullmatch(text) is None or int(text) > maximum:
        raise BadRequest("BAD_QUERY", f"The query parameter '{name}' must be a whole number from 0 to {maximum}.")
    return int(text)


def query_page(parameters: dict[str, str]) -> Page:
    """The parameters ``after`` and ``limit`` of a list: from the beginning and 1,000, if they are absent."""
    return Page(
        query_count(parameters, "after", default=0, maximum=_NUMBER_MAX),
        query_count(parameters, "limit", default=_ROWS_MAX, maximum=_ROWS_MAX),
    )


def query_choice(parameters: dict[str, str], name: str, choices: dict[str, int], default: int) -> int:
    text = parameters.get(name)
    if text is None:
        return default
    if text not in choices:
        raise BadRequest("BAD_QUERY", f"The query parameter '{name}' must be one of: {', '.join(choices)}.")
    return choices[text]


def query_id(parameters: dict[str, str], name: str) -> str | None:
    text = parameters.get(name)
    return None if text is None else check_id(text, name)


def number_of(text: str) -> int | None:
    """The exchange's number of a thing, as it stands in a path. None if no thing can have it."""
    number = int(text) if _WHOLE_NUMBER.fullmatch(text) else 0
    return number if 1 <= number <= _NUMBER_MAX else None


def numbered(names: tuple[str, ...]) -> dict[str, int]:
    """A table of names (``engine.types`` has them by number) for those who read them."""
    return {name: number for number, name in enumerate(names)}


def _count_keys(value: Any, depth: int = 0) -> int:
    """How many keys all objects in a decoded document have together."""
    if depth > _DEPTH_MAX:
        raise BadRequest("BAD_JSON", f"The body is nested more than {_DEPTH_MAX} levels deep.")
    if type(value) is dict:
        return len(value) + sum(_count_keys(item, depth + 1) for item in value.values())
    if type(value) is list:
        return sum(_count_keys(item, depth + 1) for item in value)
    return 0


def _refuse_duplicate_keys(body: bytes | bytearray) -> None:
    try:
        json.loads(body, object_pairs_hook=_object_without_duplicates)
    except ValueError as error:
        raise BadRequest("BAD_JSON", f"The body is not valid JSON: {shown(str(error))}.") from None


def _object_without_duplicates(pairs: Iterable[tuple[str, Any]]) -> JsonObject:
    document: JsonObject = {}
    for name, value in pairs:
        if name in document:
            raise BadRequest("DUPLICATE_FIELD", f"The field {shown(name)} appears twice.")
        document[name] = value
    return document
