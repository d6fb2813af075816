"""What all routes have in common: body limit, signature, errors as JSON, metrics. One ASGI application per route."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from enum import Enum
from typing import Any, Final, NamedTuple, cast

import orjson
from starlette.types import Receive, Scope, Send

from engine.codec import encode_command
from engine.commands import Command
from gateway.auth import Caller, read_signature
from gateway.edge import Edge
from gateway.errors import ApiError, BodyTooLarge, Forbidden, Internal, OutcomeUnknown, Refused
from gateway.freshness import FRESHNESS_PARAMETERS, AtLeast, read_freshness
from gateway.outcomes import Outcome
from gateway.parsing import read_query, take_parameter
from gateway.rendering import Json
from replication.protocol import Answer

BODY_BYTES_MAX: Final = 64 * 1024
BATCH_BODY_BYTES_MAX: Final = 1024 * 1024

JSON_TYPE: Final = b"application/json"

logger = logging.getLogger(__name__)


class Access(Enum):
    PUBLIC = "public"
    SIGNED = "signed"
    OPERATOR = "operator"


class Reply(NamedTuple):
    """``body`` is rendered as JSON, unless it is bytes already, or comes in pieces of bytes.

    ``content_type`` says what the bytes are.
    """

    status: int
    body: Json | bytes | AsyncGenerator[bytes, None]
    content_type: bytes = JSON_TYPE
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Call:
    """One request of one caller, on its way through a handler."""

    __slots__ = (
        "_at_least",
        "_caller",
        "body",
        "commands_left",
        "edge",
        "home_account_id",
        "issued_at_ns",
        "path",
        "query",
        "scope",
    )

    def __init__(self, edge: Edge, scope: Scope, query: bytes, body: bytes) -> None:
        """``query`` is what is left to read of it."""
        self.edge = edge
        self.scope = scope
        self.path: dict[str, str] = scope["path_params"]
        self.query = query
        self.body = body
        self.issued_at_ns = 0
        self.home_account_id = 0
        self.commands_left = False
        self._caller: Caller | None = None
        self._at_least: AtLeast | None = None

    @property
    def caller(self) -> Caller:
        assert self._caller is not None, "a public route has no caller"
        return self._caller

    @property
    def signed_in(self) -> bool:
        return self._caller is not None

    def sign_in(self, caller: Caller, issued_at_ns: int) -> None:
        """``caller`` is who asks, with the account's number in the home group."""
        self.home_account_id = caller.account_id
        self._caller = caller
        self.issued_at_ns = issued_at_ns

    async def enter(self, edge: Edge) -> None:
        """Go on in another market group: its leader, its directory, and the caller's number there."""
        if edge is not self.edge:
            if self._caller is not None:
                self._caller = self._caller.elsewhere(await edge.members.number_of(self.home_account_id))
            self.edge = edge

    def read_parameters(self, allowed: frozenset[str] = frozenset()) -> dict[str, str]:
        """The query of a read: what the route allows, and how new its answers must be, which counts in ``ask``."""
        parameters = read_query(self.query, allowed | FRESHNESS_PARAMETERS)
        self._at_least = read_freshness(parameters)
        return parameters

    async def ask(self, name: str, arguments: dict[str, Any]) -> Answer:
        """Ask the leader or, if the request says how new is enough, any replica. Raises NoLeader or TooOld."""
        if self._at_least is None:
            return await self.edge.group.query(name, arguments)
        # The arguments name accounts and markets that this gateway remembers: the replica must know them too.
        minimum = max(self._at_least.min_sequence, self.edge.facts_sequence)
        return await self.edge.group.query_any(name, arguments, self._at_least._replace(min_sequence=minimum))

    async def execute(self, command: Command) -> Outcome:
        """Send one command. Raises what kept it from being executed, or from being known to be."""
        (outcome,) = await self.execute_all([command])
        if isinstance(outcome, ApiError):
            raise outcome
        return outcome

    async def execute_all(self, commands: list[Command]) -> list[Outcome | ApiError]:
        """Send commands that reach the log in this order. One outcome each."""
        records = [encode_command(command) for command in commands]
        self.commands_left = True
        outcomes = await self.edge.group.execute(records)
        self.commands_left = any(isinstance(outcome, Outcome) or not outcome.definite for outcome in outcomes)
        return outcomes

    def answer_to(self, error: ApiError) -> ApiError:
        """What the client must be told of an error in a handler.

        Once a command may be in the log, only the log's own refusal is definite: that nobody answered a later question
        does not undo it.
        """
        if self.commands_left and error.definite and not isinstance(error, Refused):
            return OutcomeUnknown()
        return error


def may_choose(call: Call) -> bool:
    """Is there a choice, or does the request name the only group?"""
    return len(call.edge.groups) > 1 or b"group=" in call.query


async def choose_group(call: Call) -> Edge:
    """The market group that a request is about: the one it names, or that of the market it names; else the home.

    The ``group`` of the query is taken out: it says where to ask, not what.
    """
    name, call.query = take_parameter(call.query, "group")
    if name is not None:
        return call.edge.of(name)
    market = call.path.get("market") or take_parameter(call.query, "market")[0]
    if market is None and call.body:
        source = _text_of(call.body, "from_group")
        if source is not None:
            return call.edge.of(source)
        market = _text_of(call.body, "market")
    return call.edge if market is None else await call.edge.lists(market)


def _text_of(body: bytes, field: str) -> str | None:
    """A text of the body, if that is an object that has it: whether all of it can be read is for the handler."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    value = document.get(field) if type(document) is dict else None
    return value if type(value) is str else None


Handler = Callable[[Call], Awaitable[Reply]]


class ClientGone(Exception):
    """Nobody waits for an answer any more."""


class Endpoint:
    """The ASGI application of one route and method."""

    def __init__(
        self,
        edge: Edge,
        handler: Handler,
        access: Access,
        *,
        name: str,
        body_bytes_max: int = BODY_BYTES_MAX,
        at_home: bool = False,
    ) -> None:
        """``at_home``: what this is about is in the home group, or in all of them, whatever the request names."""
        self._at_home = at_home
        self._edge = edge
        self._handler = handler
        self._access = access
        self._body_bytes_max = body_bytes_max
        self._metrics = edge.metrics.route(name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_s = time.perf_counter()
        call: Call | None = None
        try:
            body = await _read_body(scope, receive, self._body_bytes_max)
            call = Call(self._edge, scope, scope["query_string"], body)
            if self._access is not Access.PUBLIC:
                await self._authenticate(call, scope)
            if not self._at_home and may_choose(call):
                await call.enter(await choose_group(call))
            reply = await self._handler(call)
        except ClientGone:
            return
        except ApiError as error:
            reply = error_reply(error if call is None else call.answer_to(error))
        except Exception:
            logger.exception("%s %s failed", scope["method"], scope["path"])
            reply = error_reply(Internal(definite=call is None or not call.commands_left))
        await send_reply(send, receive, reply, (self._edge if call is None else call.edge).group.sequence)
        self._metrics.observe(reply.status, time.perf_counter() - started_s)

    async def _authenticate(self, call: Call, scope: Scope) -> None:
        now_ns = time.time_ns()
        signed = read_signature(scope["headers"], now_ns)
        caller = await self._edge.keys.find(signed.key_id, now_ns)
        caller.verify(signed, scope["method"].encode("ascii"), signed_target(scope), call.body)
        if self._access is Access.OPERATOR and not caller.is_operator:
            raise Forbidden
        call.sign_in(caller, signed.issued_at_ns)


def signed_target(scope: Scope) -> bytes:
    """Path and query as the client sent them, escapes included."""
    path = cast(bytes, scope["raw_path"])
    return b"%b?%b" % (path, scope["query_string"]) if scope["query_string"] else path


def error_reply(error: ApiError) -> Reply:
    return Reply(error.status, error.body())


def encode_body(body: dict[str, Any]) -> bytes:
    return orjson.dumps(body)


async def send_reply(send: Send, receive: Receive, reply: Reply, sequence: int) -> None:
    """Answer. The body of the request must have been received."""
    headers = [
        (b"content-type", reply.content_type),
        (b"x-tally-sequence", b"%d" % sequence),
        (b"cache-control", b"no-store"),
        *reply.headers,
    ]
    if isinstance(reply.body, AsyncGenerator):
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await _send_pieces(send, receive, reply.body)
        return
    content = reply.body if isinstance(reply.body, bytes) else encode_body(reply.body)
    headers.append((b"content-length", b"%d" % len(content)))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _send_pieces(send: Send, receive: Receive, pieces: AsyncGenerator[bytes, None]) -> None:
    """Pass a body on while somebody wants it. What breaks off ends the connection, so that nobody takes it for all."""
    gone = asyncio.ensure_future(receive())  # nothing but the end of the connection is left to come
    try:
        async for piece in pieces:
            if gone.done():
                return
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    except ApiError as error:
        logger.warning("an answer broke off: %s", error)
    finally:
        gone.cancel()
        await pieces.aclose()


async def _read_body(scope: Scope, receive: Receive, limit_bytes: int) -> bytes:
    for name, value in scope["headers"]:
        # The parser has checked that it is a number.
        if name == b"content-length" and int(value) > limit_bytes:
            raise BodyTooLarge(limit_bytes)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        body += message.get("body", b"")
        if len(body) > limit_bytes:
            raise BodyTooLarge(limit_bytes)
        if not message.get("more_body", False):
            return bytes(body)
