"""A query server over real sockets, in a thread of its own."""

from __future__ import annotations

import asyncio
import http.client
import threading
from types import TracebackType

import uvloop
from sqlalchemy.engine import URL

from projections.query.serve import QueryOptions, build_server
from replication.tls import LinkCredentials
from tests.replication.link_certificates import gateway, reader


class LiveQuery:
    """A context manager. ``port`` 0 lets the system choose one; ``address`` is where it listens."""

    def __init__(self, url: URL, *, credentials: LinkCredentials | None = None, port: int = 0) -> None:
        self.database = url
        self._options = QueryOptions("127.0.0.1", port, url, credentials or reader())
        self._listening = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run()))

    def __enter__(self) -> LiveQuery:
        self._thread.start()
        assert self._listening.wait(10), "the query server does not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive(), "the query server does not stop"

    def connect(self, credentials: LinkCredentials | None = None) -> http.client.HTTPSConnection:
        """As a gateway, or as whoever has these credentials."""
        context = (credentials or gateway()).client_context
        return http.client.HTTPSConnection(*self.address, context=context, timeout=15)

    async def _run(self) -> None:
        self.server = build_server(self._options)
        serving = asyncio.get_running_loop().create_task(self.server.serve())
        while not self.server.started:
            await asyncio.sleep(0.005)
        self.address: tuple[str, int] = self.server.servers[0].sockets[0].getsockname()[:2]
        self._listening.set()
        await serving
