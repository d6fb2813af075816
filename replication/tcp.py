"""TCP below the links: listening, dialling, and what the kernel is told about each socket."""

import logging
import socket
from collections.abc import Callable

from replication.poller import READ, EventSource

_UNACKNOWLEDGED_TIMEOUT_MS = 5_000

logger = logging.getLogger(__name__)


class Listener:
    """Accepts TCP links on one explicit address; there is no default that would listen on every interface."""

    def __init__(
        self,
        host: str,
        port: int,
        poller: EventSource,
        on_accepted: Callable[[socket.socket, str], None],
    ) -> None:
        """Bind and listen at once; OSError if the address is taken. Port 0 picks a free one, see `address`.

        `on_accepted(sock, "host:port of the other side")` owns the socket.
        """
        family, address = resolve(host, port)
        self._poller = poller
        self._on_accepted = on_accepted
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(address)
            self._socket.listen(128)
        except OSError:
            self._socket.close()
            raise
        self._socket.setblocking(False)
        poller.subscribe(self._socket.fileno(), self._on_event, READ)

    @property
    def address(self) -> tuple[str, int]:
        """The bound (host, port)."""
        name = self._socket.getsockname()
        return name[0], name[1]

    def close(self) -> None:
        """Stop listening; accepted links live on."""
        if self._socket.fileno() >= 0:
            self._poller.unsubscribe(self._socket.fileno())
            self._socket.close()

    def _on_event(self, _fd: int, _event_mask: int) -> None:
        while self._socket.fileno() >= 0:
            try:
                sock, address = self._socket.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                # Out of descriptors, most likely: the links we have are worth more than a new one.
                logger.warning("cannot accept a connection: %s", error)
                return
            self._on_accepted(sock, f"{address[0]}:{address[1]}")


def connect(host: str, port: int) -> socket.socket:
    """Begin to connect and return at once; once the socket is writable, SO_ERROR tells the outcome.

    OSError if the address cannot be resolved or the attempt fails on the spot. A host that is a name is looked up
    in the calling thread, which blocks: give an IP address where the caller may not wait.
    """
    family, address = resolve(host, port)
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        sock.connect(address)
    except BlockingIOError:
        pass
    except OSError:
        sock.close()
        raise
    return sock


def resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """The first address of (host, port), IPv4 before IPv6; OSError if there is none.

    Numeric addresses need no look-up.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    found.sort(key=lambda item: item[0] != socket.AF_INET)
    family, _type, _protocol, _name, address = found[0]
    return family, (str(address[0]), int(address[1]))


def tune(sock: socket.socket) -> None:
    """Small frames leave at once, and a machine that is gone is noticed within seconds."""
    # Small frames must not wait for acknowledgements of earlier ones.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A machine that lost power says no goodbye: give up on unanswered data, and probe idle links.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_TIMEOUT_MS)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
