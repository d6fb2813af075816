"""Framed TCP links on a poller: the carrier under peer links and under the door for gateways.

A frame is `u32 little-endian length | payload`. A link knows nothing about what the payload means.

Receiving: bytes are read into one buffer and frames are cut out of it in place. Bytes are moved to the front of the
buffer only when the frame under way does not fit behind them, so each byte moves at most about once and large frames
cost linear time. A frame larger than `frame_bytes_max` closes the link before any memory is set aside for it.

Sending: `queue()` says that a frame is free to leave from now on; `flush()` offers all queued frames to the kernel in
few system calls. What the kernel does not take leaves when the socket becomes writable.
"""

import errno
import itertools
import logging
import socket
import struct
from collections import deque
from collections.abc import Callable

from replication.poller import ERROR, READ, WRITE, EventSource

FRAME_BYTES_MAX = 64 * 1024 * 1024

_LENGTH = struct.Struct("<I")
_BUFFER_BYTES = 256 * 1024
_READ_BYTES_PER_EVENT = 4 * 1024 * 1024
_BUFFERS_PER_WRITE = 256
_JOIN_BELOW_BYTES = 4096
_UNACKNOWLEDGED_TIMEOUT_MS = 5_000

logger = logging.getLogger(__name__)

FrameCallback = Callable[[bytes], None]
ClosedCallback = Callable[[str], None]


class FramedSocket:
    """One TCP link that carries frames; owns its socket.

    `on_frame(payload)` is called for every frame, from inside `Poller.poll`; it may close the link, after which no
    further frame of the batch is delivered. `on_closed(reason)` is called exactly once, whoever closes the link, and
    may be called from inside `flush()` or `send()`.
    """

    def __init__(
        self,
        sock: socket.socket,
        poller: EventSource,
        on_frame: FrameCallback,
        on_closed: ClosedCallback,
        *,
        on_connected: Callable[[], None] | None = None,
        frame_bytes_max: int = FRAME_BYTES_MAX,
    ) -> None:
        """Take over a connected socket, or one whose connect is under way if `on_connected` is given."""
        self.frame_bytes_max = frame_bytes_max
        self.on_frame = on_frame
        self.on_closed = on_closed
        self.closed = False
        self._socket = sock
        self._poller = poller
        self._fd = sock.fileno()
        self._on_connected = on_connected
        self._buffer = bytearray(_BUFFER_BYTES)
        self._start = 0
        self._end = 0
        self._outgoing: deque[bytes | memoryview] = deque()
        self._backlog_bytes = 0
        self._waits_for_writable = on_connected is not None
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            _tune(sock)
        self._subscribe()

    @property
    def backlog_bytes(self) -> int:
        """Bytes that are queued and that the kernel has not taken yet."""
        return self._backlog_bytes

    @property
    def connecting(self) -> bool:
        """Whether the connect is still under way; frames queued meanwhile leave once it is done."""
        return self._on_connected is not None

    def queue(self, payload: bytes) -> None:
        """Add one frame that may leave at any time from now on; `flush()` makes it leave soon."""
        if self.closed:
            return
        size_bytes = len(payload)
        assert size_bytes <= FRAME_BYTES_MAX, f"frame of {size_bytes} bytes exceeds {FRAME_BYTES_MAX}"
        header = _LENGTH.pack(size_bytes)
        if size_bytes < _JOIN_BELOW_BYTES:
            self._outgoing.append(header + payload)
        else:
            self._outgoing.append(header)
            self._outgoing.append(payload)
        self._backlog_bytes += len(header) + size_bytes

    def flush(self) -> None:
        """Offer queued frames to the kernel unless it is already known to be full."""
        if not self._waits_for_writable:
            self._write()

    def send(self, payload: bytes) -> None:
        """Queue one frame and flush."""
        self.queue(payload)
        self.flush()

    def close(self, reason: str) -> None:
        """Close at once; queued frames are dropped. A second call does nothing."""
        if self.closed:
            return
        self.closed = True
        self._poller.unsubscribe(self._fd)
        self._socket.close()
        self._outgoing.clear()
        self._backlog_bytes = 0
        self._buffer = bytearray()
        self.on_closed(reason)

    def _subscribe(self) -> None:
        mask = READ | ERROR | (WRITE if self._waits_for_writable else 0)
        self._poller.subscribe(self._fd, self._on_event, mask)

    def _on_event(self, _fd: int, event_mask: int) -> None:
        if self._on_connected is not None:
            self._finish_connecting()
        if event_mask & READ and not self.closed:
            self._read()
        if event_mask & ERROR and not self.closed:
            self.close(_error_reason(self._socket))
        if event_mask & WRITE and not self.closed:
            self._write()

    def _finish_connecting(self) -> None:
        on_connected = self._on_connected
        assert on_connected is not None
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self.close(f"connect failed: {errno.errorcode.get(code, code)}")
            return
        self._on_connected = None
        on_connected()

    def _write(self) -> None:
        outgoing = self._outgoing
        try:
            while outgoing:
                sent_bytes = self._socket.sendmsg(list(itertools.islice(outgoing, _BUFFERS_PER_WRITE)))
                self._backlog_bytes -= sent_bytes
                self._drop_sent(sent_bytes)
        except BlockingIOError:
            pass
        except OSError as error:
            self.close(f"write failed: {error}")
            return
        if bool(outgoing) != self._waits_for_writable:
            self._waits_for_writable = bool(outgoing)
            self._subscribe()

    def _drop_sent(self, sent_bytes: int) -> None:
        outgoing = self._outgoing
        while sent_bytes:
            head = outgoing[0]
            if sent_bytes < len(head):
                outgoing[0] = memoryview(head)[sent_bytes:]
                return
            sent_bytes -= len(head)
            outgoing.popleft()

    def _read(self) -> None:
        read_bytes = 0
        # The limit keeps one fast sender from starving the other links and the tick.
        while read_bytes < _READ_BYTES_PER_EVENT:
            self._make_room()
            room_bytes = len(self._buffer) - self._end
            try:
                with memoryview(self._buffer) as view:
                    received_bytes = self._socket.recv_into(view[self._end :])
            except BlockingIOError:
                return
            except OSError as error:
                self.close(f"read failed: {error}")
                return
            if received_bytes == 0:
                self.close("closed by the other side")
                return
            self._end += received_bytes
            read_bytes += received_bytes
            self._deliver()
            if self.closed or received_bytes < room_bytes:
                return

    def _make_room(self) -> None:
        """Ensure that the frame under way fits behind `_start` and that there is room to read into."""
        if self._start == self._end:
            self._start = self._end = 0
            if len(self._buffer) > _BUFFER_BYTES:
                self._buffer = bytearray(_BUFFER_BYTES)
            return
        pending_bytes = self._end - self._start
        needed_bytes = _LENGTH.size
        if pending_bytes >= _LENGTH.size:
            needed_bytes += _LENGTH.unpack_from(self._buffer, self._start)[0]
        if needed_bytes <= len(self._buffer) - self._start and self._end < len(self._buffer):
            return
        target = self._buffer if needed_bytes <= len(self._buffer) else bytearray(needed_bytes)
        target[:pending_bytes] = self._buffer[self._start : self._end]
        self._buffer = target
        self._start, self._end = 0, pending_bytes

    def _deliver(self) -> None:
        while self._end - self._start >= _LENGTH.size:
            size_bytes = _LENGTH.unpack_from(self._buffer, self._start)[0]
            if size_bytes > self.frame_bytes_max:
                self.close(f"frame of {size_bytes} bytes exceeds {self.frame_bytes_max}")
                return
            frame_start = self._start + _LENGTH.size
            if self._end - frame_start < size_bytes:
                return
            self._start = frame_start + size_bytes
            with memoryview(self._buffer) as view:
                payload = bytes(view[frame_start : self._start])
            self.on_frame(payload)
            if self.closed:
                return


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


def connect(
    host: str,
    port: int,
    poller: EventSource,
    *,
    on_frame: FrameCallback,
    on_closed: ClosedCallback,
    on_connected: Callable[[], None],
    frame_bytes_max: int = FRAME_BYTES_MAX,
) -> FramedSocket:
    """Begin to connect and return at once; the outcome is `on_connected()` or `on_closed(reason)`.

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
    return FramedSocket(
        sock,
        poller,
        on_frame,
        on_closed,
        on_connected=on_connected,
        frame_bytes_max=frame_bytes_max,
    )


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


def _tune(sock: socket.socket) -> None:
    # Small frames must not wait for acknowledgements of earlier ones.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A machine that lost power says no goodbye: give up on unanswered data, and probe idle links.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_TIMEOUT_MS)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


def _error_reason(sock: socket.socket) -> str:
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return f"link failed: {errno.errorcode.get(code, code)}" if code else "link failed"
