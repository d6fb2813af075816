"""One HTTP connection: uvicorn's protocol with time limits for slow clients and errors in our JSON.

uvicorn limits how long a connection may be idle between two requests, but not how long a request may take to
arrive. Here a deadline runs from the moment a request is awaited (a fresh connection) or begins, to its last
byte; data that trickles in does not move it. The size of a request's head is limited too.

An error of the HTTP syntax is answered at once, unless an earlier request of the connection waits for its own answer:
the client would take the error for that answer, so the connection ends after the answer instead.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from gateway.edge import Edge
from gateway.endpoint import encode_body
from gateway.errors import ApiError, BadRequest, HeadTooLarge, RequestTimeout

HEAD_BYTES_MAX: Final = 64 * 1024


class Connection(HttpToolsProtocol):
    """``app_state["edge"]`` is the gateway that it belongs to; the lifespan puts it there."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.edge = cast(Edge, app_state["edge"])
        self._receiving = False
        self._head_complete = False
        self._head_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._receiving and not self._head_complete:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse(HeadTooLarge(HEAD_BYTES_MAX))
                return
        if self._deadline is None and self.timeout_keep_alive_task is None and self._awaits_data():
            self._set_deadline()

    def on_message_begin(self) -> None:
        self._receiving = True
        self._head_complete = False
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._head_complete = True

    def on_message_complete(self) -> None:
        self._receiving = False
        self._clear_deadline()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(BadRequest("BAD_HTTP", "The bytes are not a valid HTTP/1.1 request."))

    def _unsupported_upgrade_warning(self) -> None:
        """uvicorn's hook for an upgrade that nobody here supports: the parser reads nothing behind such a head."""
        self.cycle.keep_alive = False
        if self.cycle.response_complete:
            self.transport.close()

    def _awaits_data(self) -> bool:
        return self._receiving or self.cycle is None or self.cycle.response_complete

    def _owes_an_answer(self) -> bool:
        """Whether a request before the bytes that arrive now has not been answered yet."""
        if self._receiving and self._head_complete:
            return bool(self.pipeline)
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, error: ApiError) -> None:
        """Answer an error and close; or, if an answer is owed before, close after that one."""
        if self.transport.is_closing():
            return
        if self._owes_an_answer():
            self.flow.pause_reading()
            self.cycle.keep_alive = False
            return
        content = encode_body(error.body())
        head = b"%bcontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(head % (STATUS_LINE[error.status], len(content)) + content)
        self.transport.close()

    def _set_deadline(self) -> None:
        self._deadline = self.loop.call_later(self.edge.receive_timeout_s, self._on_deadline)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _on_deadline(self) -> None:
        self._deadline = None
        if self._owes_an_answer():
            # We stopped reading ourselves until that answer is out.
            self._set_deadline()
        elif self._receiving:
            self._refuse(RequestTimeout())
        else:
            self.transport.close()
