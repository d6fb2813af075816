"""Commands that come as Kafka messages: what one looks like, what becomes of it, when it is done. No I/O.

A message is a signed request of the HTTP API that travels another way. Its value is the body, its headers (in any case)
say what goes before it:

    X-Tally-Method      POST
    X-Tally-Path        /v1/orders                path with query, exactly as signed
    X-Tally-Key         the key's id
    X-Tally-Timestamp   milliseconds since the epoch
    X-Tally-Signature   as for HTTP

It may be delivered late, again, and out of order. So it must carry an id of its own, by which the exchange recognises
it again; and it must not be older than a limit (``kafka.command_age_s_max``), which is less than the time for which the
exchange remembers ids. A minute, which HTTP allows between signature and execution, is too little for a queue: whoever
takes the message verifies the author's signature and its age, and submits the request with a timestamp of now, signed
with the same key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import orjson

from gateway.auth import KEY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, Caller, Signed, read_signature
from gateway.errors import ApiError, BadRequest, shown

METHOD_HEADER: Final = b"x-tally-method"
PATH_HEADER: Final = b"x-tally-path"
STATUS_HEADER: Final = "X-Tally-Status"
ANSWER_HEADER: Final = "X-Tally-Answer"
SOURCE_HEADER: Final = "X-Tally-Source"

_METHODS: Final = frozenset((b"POST", b"PUT", b"PATCH", b"DELETE"))
_PREFIX: Final = "/v1/"
_OPERATORS_PREFIX: Final = "/v1/admin/"
_PATH_LENGTH_MAX: Final = 2_048
_UNSETTLED_STATUSES: Final = frozenset((502, 503, 504))
_NS_PER_S: Final = 1_000_000_000
_NS_PER_MS: Final = 1_000_000

Headers = list[tuple[bytes, bytes]]


class TooOld(ApiError):
    """The signature is older than what is taken. An earlier delivery of the same message may have been executed."""

    status = 401
    definite = False

    def __init__(self, age_s_max: int) -> None:
        super().__init__(
            "REQUEST_EXPIRED",
            f"The command was signed more than {age_s_max} seconds away from now and was not executed; if it was "
            "delivered before, the events say what became of it.",
        )


class NotTaken(ApiError):
    """A request of the HTTP API that is no command of a trader."""

    status = 403

    def __init__(self) -> None:
        super().__init__("NOT_TAKEN", "From Kafka only commands of traders are taken: no reads, nothing of operators.")


class KafkaCommand(NamedTuple):
    """A command whose signature is not verified yet. ``target`` is path with query as signed."""

    method: bytes
    target: bytes
    signed: Signed
    body: bytes

    def scope(self, headers: Headers) -> dict[str, Any]:
        """The request as an ASGI server would hand it over."""
        raw_path, _, query = self.target.partition(b"?")
        return {
            "type": "http",
            "http_version": "1.1",
            "scheme": "http",
            "method": self.method.decode("ascii"),
            "path": _decoded_path(self.target),
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": headers,
        }


class Answer(NamedTuple):
    """What the gateway answered."""

    status: int
    body: Mapping[str, Any]

    @property
    def is_settled(self) -> bool:
        """Whether the outcome is known: then the message is done. Of a batch, that of each item."""
        if self.status in _UNSETTLED_STATUSES or not _is_settled(self.body):
            return False
        return all(one.get("status") not in _UNSETTLED_STATUSES and _is_settled(one) for one in self._items())

    @property
    def is_refusal(self) -> bool:
        """Whether its author must be told: it was refused, or an item of it was."""
        return self.status >= 400 or any(one.get("status", 0) >= 400 for one in self._items())

    @property
    def code(self) -> str:
        return str(self.body.get("error", {}).get("code", "ITEMS_REFUSED"))

    def _items(self) -> list[Mapping[str, Any]]:
        results: list[Mapping[str, Any]] = self.body.get("results", [])
        return results


def read_command(
    headers: Iterable[tuple[str, bytes]], value: bytes | None, now_ns: int, age_s_max: int
) -> KafkaCommand:
    """Read a message strictly. An ApiError says what is wrong with it, or that it is too old."""
    named: dict[bytes, bytes] = {}
    for name, content in headers:
        key = name.lower().encode("utf-8", "replace")
        if key in named:
            raise BadRequest("BAD_HEADER", f"The header {shown(name)} is there twice.")
        named[key] = content
    method, target = named.get(METHOD_HEADER), named.get(PATH_HEADER)
    if method is None or target is None:
        raise BadRequest("MISSING_HEADER", "A command needs the headers X-Tally-Method and X-Tally-Path.")
    if not target.isascii() or not target.startswith(b"/") or len(target) > _PATH_LENGTH_MAX or b"\n" in target:
        raise BadRequest("BAD_HEADER", "X-Tally-Path is not a path.")
    path = _decoded_path(target)
    if method not in _METHODS or not path.startswith(_PREFIX) or path.startswith(_OPERATORS_PREFIX):
        raise NotTaken
    # The words of HTTP for what is missing are the right ones here too; how old it may be is ours to say.
    timestamp = named.get(TIMESTAMP_HEADER, b"")
    signed_at_ns = int(timestamp) * _NS_PER_MS if timestamp.isdigit() and len(timestamp) <= 15 else now_ns
    signed = read_signature(named.items(), signed_at_ns)
    if abs(now_ns - signed.issued_at_ns) > age_s_max * _NS_PER_S:
        raise TooOld(age_s_max)
    return KafkaCommand(method, target, signed, value or b"")


def vouched_headers(command: KafkaCommand, caller: Caller, now_ns: int) -> Headers:
    """The headers of the request as it is submitted now. Unauthenticated if the author's own signature is wrong."""
    caller.verify(command.signed, command.method, command.target, command.body)
    timestamp = b"%d" % (now_ns // _NS_PER_MS)
    signature = caller.sign(timestamp, command.method, command.target, command.body)
    return [
        (KEY_HEADER, command.signed.key_id.encode("ascii")),
        (TIMESTAMP_HEADER, timestamp),
        (SIGNATURE_HEADER, signature.encode("ascii")),
        (b"content-length", b"%d" % len(command.body)),
    ]


def refuse_without_id() -> str:
    """What makes ids of requests that have none, for commands from Kafka: it refuses them."""
    raise BadRequest(
        "MISSING_FIELD", "A command from Kafka needs an id of its own: 'client_order_id', 'request_id' or 'reference'."
    )


def refusal_headers(headers: Iterable[tuple[str, bytes]], answer: Answer, source: str) -> list[tuple[str, bytes]]:
    """Those of the message in the topic of refusals: the author's own, and what became of it."""
    return [
        *headers,
        (STATUS_HEADER, b"%d" % answer.status),
        (ANSWER_HEADER, orjson.dumps(answer.body)),
        (SOURCE_HEADER, source.encode()),
    ]


def _decoded_path(target: bytes) -> str:
    """As the router sees it, which reads escapes."""
    return unquote(target.partition(b"?")[0].decode("ascii"))


def _is_settled(body: Mapping[str, Any]) -> bool:
    error = body.get("error")
    if not error:
        return True
    # The request was signed now: it can be expired only for a leader whose clock is wrong, and the next may be right.
    return bool(error.get("definite", True)) and error.get("code") != "REQUEST_EXPIRED"
