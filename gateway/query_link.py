"""The way to the query server: HTTP over mutual TLS, one request at a time on each connection, idle ones kept.

The answer's body is passed on as it comes, so that an export never is in this process as a whole. Only reads go this
way: a request whose connection turns out to be dead is sent once more on a new one.

The parser is the one that uvicorn uses for requests (httptools). A client library would bring five more packages for a
page of code, and could not look at the server's certificate before it sends something.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from typing import Final

import httptools

from gateway.errors import QueryUnavailable
from replication.handshake import HandshakeRefused, require_peer
from replication.identity import READER
from replication.tls import LinkCredentials, read_identity, refusal_reason

CONNECT_TIMEOUT_S: Final = 2.0
SILENCE_S_MAX: Final = 30.0  # between two pieces of an answer; a search waits at most for gateway.freshness.WAIT_MS_MAX
IDLE_CONNECTIONS_MAX: Final = 16
_PIECE_BYTES_MAX: Final = 64 * 1024

logger = logging.getLogger(__name__)


class _Broken(Exception):
    """The connection is of no use. The text says why."""


class _Silent(_Broken):
    """Nothing came for too long: asking somebody else would take as long again."""


class QueryAnswer:
    """What the query server answered: ``status`` and ``headers`` (names in lower case); the body is read once."""

    def __init__(self, link: QueryLink, connection: _Connection) -> None:
        self.status = connection.status
        self.headers: Mapping[bytes, bytes] = connection.headers
        self._link = link
        self._connection = connection

    async def body(self) -> AsyncGenerator[bytes, None]:
        """The pieces of the body. QueryUnavailable if it breaks off; whoever stops before the end breaks it off."""
        try:
            async for piece in self._connection.pieces():
                yield piece
        except _Broken as error:
            raise self._link.failed(str(error)) from None
        finally:
            self._link.give_back(self._connection)

    def discard(self) -> None:
        """Nobody wants the body any more."""
        self._connection.close()


class QueryLink:
    """All methods belong to one event loop. ``address`` is the (host, port) of the query server."""

    def __init__(self, address: tuple[str, int], credentials: LinkCredentials) -> None:
        self._address = address
        self._credentials = credentials
        self._idle: deque[_Connection] = deque()
        self._is_down = False

    async def get(self, target: bytes, headers: Mapping[bytes, bytes]) -> QueryAnswer:
        """Ask for a path with its query. QueryUnavailable if nobody answers in time."""
        request = b"GET %b HTTP/1.1\r\nhost: query\r\n" % target
        request += b"".join(b"%b: %b\r\n" % header for header in headers.items()) + b"\r\n"
        while self._idle:
            connection = self._idle.pop()
            try:
                return await self._ask(connection, request)
            except _Silent as error:
                raise self.failed(str(error)) from None
            except _Broken:
                continue  # the server closed it meanwhile, and a read may be asked twice
        try:
            return await self._ask(await self._connect(*self._address), request)
        except _Broken as error:
            raise self.failed(str(error)) from None

    def failed(self, reason: str) -> QueryUnavailable:
        """Say once in the log that the server is not there."""
        if not self._is_down:
            logger.warning("the query server does not answer: %s", reason)
        self._is_down = True
        return QueryUnavailable("The query server does not answer at the moment. Trading goes on; try again.")

    def give_back(self, connection: _Connection) -> None:
        """Keep a connection for the next request, if its answer is complete."""
        if connection.is_reusable and len(self._idle) < IDLE_CONNECTIONS_MAX:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    async def _ask(self, connection: _Connection, request: bytes) -> QueryAnswer:
        try:
            await connection.send(request)
        except BaseException:
            connection.close()
            raise
        if self._is_down:
            logger.info("the query server answers again")
        self._is_down = False
        return QueryAnswer(self, connection)

    async def _connect(self, host: str, port: int) -> _Connection:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(host, port, ssl=self._credentials.client_context)
        except TimeoutError:
            raise _Broken(f"{host} port {port} did not accept within {CONNECT_TIMEOUT_S:g} s") from None
        except ssl.SSLError as error:
            raise _Broken(refusal_reason(error)) from None
        except OSError as error:
            raise _Broken(f"{host} port {port}: {error.strerror or error}") from None
        try:
            peer = read_identity(writer.get_extra_info("peercert"))
            require_peer(peer, cluster_id=self._credentials.identity.cluster_id, roles=(READER,))
        except (HandshakeRefused, ValueError) as error:
            writer.transport.abort()
            raise _Broken(str(error)) from None
        return _Connection(reader, writer)


class _Connection:
    """One connection, and the answer that is being read from it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.is_reusable = False

    async def send(self, request: bytes) -> None:
        """Send a request and wait for the head of its answer."""
        self._parser = httptools.HttpResponseParser(self)
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.is_reusable = False
        self._head_complete = False
        self._complete = False
        self._ready: list[bytes] = []
        self._writer.write(request)
        while not self._head_complete:
            await self._receive()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        while True:
            ready, self._ready = self._ready, []
            for piece in ready:
                yield piece
            if self._complete:
                self.is_reusable = self._parser.should_keep_alive()
                return
            await self._receive()

    def close(self) -> None:
        self.is_reusable = False
        self._writer.transport.abort()

    async def _receive(self) -> None:
        try:
            async with asyncio.timeout(SILENCE_S_MAX):
                data = await self._reader.read(_PIECE_BYTES_MAX)
        except TimeoutError:
            raise _Silent(f"it said nothing for {SILENCE_S_MAX:g} s") from None
        except ssl.SSLError as error:  # in TLS 1.3 the server looks at our certificate when TLS is done for us already
            raise _Broken(refusal_reason(error)) from None
        except OSError as error:
            raise _Broken(f"the connection was lost: {error}") from None
        if not data:
            raise _Broken("it closed the connection")
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise _Broken(f"it does not speak HTTP as it should: {error}") from None

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._head_complete = True

    def on_body(self, body: bytes) -> None:
        self._ready.append(body)

    def on_message_complete(self) -> None:
        self._complete = True
