"""The ASGI application of one route of the query server: who asks, what, and the answer as a page or a file."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import orjson
from starlette.types import Receive, Scope, Send

from gateway.errors import ApiError, BadRequest, Forbidden, Internal
from gateway.history_routes import (
    ACCEPT_HEADER,
    ACCOUNT_HEADER,
    ADMIN,
    AS_OF_HEADER,
    CURSOR,
    FORMAT,
    LIMIT,
    OPERATOR_HEADER,
    Question,
)
from gateway.parsing import read_query
from projections.query.asked import Asked, read_asked
from projections.query.desk import Desk
from projections.query.metrics import QueryMetrics

JSON_TYPE: Final = b"application/json"
_PAGE: Final = "page"
# `application/json` is a page: what a browser or a script asks for that has thought of nothing.
_FORMATS_BY_TYPE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "text/csv": "csv",
        "application/jsonl": "jsonl",
        "application/x-ndjson": "jsonl",
        "application/vnd.apache.parquet": "parquet",
        "application/json": _PAGE,
    }
)

logger = logging.getLogger(__name__)


class QueryEndpoint:
    """Answers one question at one path."""

    def __init__(self, desk: Desk, metrics: QueryMetrics, question: Question, path: str) -> None:
        self._desk = desk
        self._metrics = metrics
        self._question = question
        self._for_operators = path.startswith(ADMIN)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_s = time.perf_counter()
        form, status = _PAGE, 200
        try:
            asked, form = self._read(scope)
            if form == _PAGE:
                await self._send_page(send, asked)
            else:
                await self._send_file(send, receive, asked, form)
        except ApiError as error:
            status = error.status
            await send_json(send, status, error.body())
        except Exception:
            logger.exception("%s failed", scope["path"])
            status = Internal.status
            await send_json(send, status, Internal(definite=True).body())
        self._metrics.observe(self._question.name, form, status, time.perf_counter() - started_s)

    def _read(self, scope: Scope) -> tuple[Asked, str]:
        """The question, and in which form it is to be answered."""
        headers = dict(scope["headers"])
        operator, account = headers.get(OPERATOR_HEADER), headers.get(ACCOUNT_HEADER)
        if self._for_operators and operator is None:
            raise Forbidden
        caller = account or operator
        if not self._question.public and caller is None:
            raise Forbidden
        names = frozenset(parameter.name for parameter in self._question.parameters) | {"account"}
        parameters = read_query(scope["query_string"], names)
        asked = read_asked(
            self._question,
            parameters,
            caller=None if self._question.public or caller is None else caller.decode("ascii"),
            is_operator=self._for_operators,
        )
        form = asked.get(FORMAT.name) or _accepted(headers.get(ACCEPT_HEADER, b""))
        if form != _PAGE and (asked.get(LIMIT.name) is not None or asked.get(CURSOR.name) is not None):
            raise BadRequest("BAD_QUERY", "A file has all rows: 'limit' and 'cursor' are for pages.")
        return asked, form

    async def _send_page(self, send: Send, asked: Asked) -> None:
        answer = await self._desk.page(asked)
        self._note(answer.as_of)
        await send_json(send, 200, answer.body, (AS_OF_HEADER, _as_of(answer.as_of)))

    async def _send_file(self, send: Send, receive: Receive, asked: Asked, form: str) -> None:
        """An error before the first byte is answered; one behind it breaks the answer off, so that nobody takes it."""
        file = await self._desk.open_file(asked, form)
        self._metrics.files.inc()
        gone = asyncio.ensure_future(_client_gone(receive))
        try:
            self._note(file.as_of)
            headers = [
                (b"content-type", file.content_type.encode("ascii")),
                (b"content-disposition", b'attachment; filename="%b"' % file.name.encode("ascii")),
                (AS_OF_HEADER, _as_of(file.as_of)),
            ]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while not gone.done():
                piece = await self._desk.next_piece(file)
                if piece is None:
                    await send({"type": "http.response.body", "body": b""})
                    return
                if piece:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        except ApiError as error:
            logger.warning("a file of %s broke off: %s", self._question.name, error)
        except Exception:
            logger.exception("a file of %s broke off", self._question.name)
        finally:
            gone.cancel()
            self._metrics.files.dec()
            await self._desk.close_file(file)

    def _note(self, as_of: Mapping[str, int]) -> None:
        for group, sequence in as_of.items():
            self._metrics.answered_as_of(group, sequence)


async def send_json(send: Send, status: int, body: dict[str, Any], *headers: tuple[bytes, bytes]) -> None:
    content = orjson.dumps(body)
    start = [(b"content-type", JSON_TYPE), (b"content-length", b"%d" % len(content)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": content})


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _as_of(as_of: Mapping[str, int]) -> bytes:
    return ", ".join(f"{group}={sequence}" for group, sequence in as_of.items()).encode("ascii")


def _accepted(header: bytes) -> str:
    """The first form in an Accept header that we have; a page if there is none."""
    for part in header.decode("latin-1").split(","):
        form = _FORMATS_BY_TYPE.get(part.partition(";")[0].strip().lower())
        if form is not None:
            return form
    return _PAGE
