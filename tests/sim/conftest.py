"""A server that says what a test tells it to, so that a client can be seen from the other end of the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import orjson
import pytest


@dataclass
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: tuple[str, int]


@dataclass
class ScriptedServer:
    """``answer`` turns a request into (status, document), or None to hang up without an answer."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    answer: Callable[[Received], tuple[int, Any] | None] = lambda request: (200, {})

    def script(self, *answers: tuple[int, Any] | None) -> None:
        """Give these answers, one after the other."""
        remaining = list(answers)
        self.answer = lambda request: remaining.pop(0)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # head and body leave together

        def handle_request(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Received(self.command, self.path, headers, self.rfile.read(length), self.client_address)
            scripted.received.append(request)
            answer = scripted.answer(request)
            if answer is None:
                self.close_connection = True
                return
            status, document = answer
            content = document if isinstance(document, bytes) else orjson.dumps(document)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = handle_request

        def log_message(self, format: str, *args: object) -> None:
            pass

    http_server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http_server.daemon_threads = True
    scripted.url = f"http://127.0.0.1:{http_server.server_port}"
    thread = Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield scripted
    http_server.shutdown()
    http_server.server_close()
