"""Framed links over TLS on a poller: the carrier under peer links and under the door for gateways.

A frame is `u32 little-endian length | payload`. A link knows nothing about what the payload means. Below the frames is
TLS, always (`replication.tls`): until its handshake is done no frame can be queued and none is delivered.

Receiving: what the kernel has goes through TLS into one buffer and frames are cut out of it in place. Bytes are moved
to the front of the buffer only when the frame under way does not fit behind them, so each byte moves at most about once
and large frames cost linear time. A frame larger than `frame_bytes_max` closes the link before memory is set aside.

Sending: `queue()` says that a frame is free to leave from now on; `flush()` encrypts all queued frames together, so
small ones share TLS records, and offers them to the kernel in few system calls. What the kernel does not take leaves
when the socket becomes writable; only then are more frames encrypted.

TLS lives between two memory buffers (ssl.MemoryBIO) instead of around the socket, because a wrapped socket would cost
two system calls for every record of at most 16 KB that is read.
"""

import errno
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable
from typing import cast

from replication.identity import Identity
from replication.poller import ERROR, READ, WRITE, EventSource
from replication.tcp import tune
from replication.tls import read_identity, refusal_reason

FRAME_BYTES_MAX = 64 * 1024 * 1024

_LENGTH = struct.Struct("<I")
_BUFFER_BYTES = 256 * 1024
_RECEIVE_BYTES = 64 * 1024
_READ_BYTES_PER_EVENT = 4 * 1024 * 1024
_ENCRYPT_BYTES = 128 * 1024
_JOIN_BELOW_BYTES = 4096

FrameCallback = Callable[[bytes], None]
ClosedCallback = Callable[[str], None]


class FramedSocket:
    """One TLS link that carries frames; owns its socket.

    `on_secured()` is called when the TLS handshake is done: look at `peer()`, and close the link if it is not
    welcome. `on_frame(payload)` is called for every frame, from inside `Poller.poll`; it may close the link, after
    which no further frame of the batch is delivered. `on_closed(reason)` is called exactly once, whoever closes the
    link, and may be called from inside `flush()` or `send()`.
    """

    def __init__(
        self,
        sock: socket.socket,
        poller: EventSource,
        context: ssl.SSLContext,
        *,
        on_secured: Callable[[], None],
        on_frame: FrameCallback,
        on_closed: ClosedCallback,
        connecting: bool = False,
        frame_bytes_max: int = FRAME_BYTES_MAX,
    ) -> None:
        """Take over a connected socket, or one whose connect is under way if `connecting`.

        The context is one for clients or for servers, and so is this end of the link.
        """
        self.frame_bytes_max = frame_bytes_max
        self.on_secured = on_secured
        self.on_frame = on_frame
        self.on_closed = on_closed
        self.secured = False
        self.closed = False
        self.refusal = ""
        """Why TLS failed, in words for an operator; empty as long as it has not."""
        self._socket = sock
        self._poller = poller
        self._fd = sock.fileno()
        self._received = ssl.MemoryBIO()
        self._to_send = ssl.MemoryBIO()
        is_server = context.protocol is ssl.PROTOCOL_TLS_SERVER
        self._tls = context.wrap_bio(self._received, self._to_send, server_side=is_server)
        self._buffer = bytearray(_BUFFER_BYTES)
        self._start = 0
        self._end = 0
        self._outgoing: deque[bytes | memoryview] = deque()
        self._outgoing_bytes = 0
        self._encrypted = memoryview(b"")
        self._connecting = connecting
        self._waits_for_writable = connecting
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            tune(sock)
        self._subscribe()

    @property
    def backlog_bytes(self) -> int:
        """Bytes that are queued and that the kernel has not taken yet."""
        return self._outgoing_bytes + len(self._encrypted)

    @property
    def connecting(self) -> bool:
        """Whether TCP's connect is still under way."""
        return self._connecting

    def peer(self) -> Identity:
        """Whom the other side's certificate names; once the link is secured. ValueError if nobody."""
        return read_identity(self._tls.getpeercert())

    def queue(self, payload: bytes) -> None:
        """Add one frame that may leave at any time from now on; `flush()` makes it leave soon."""
        if self.closed:
            return
        assert self.secured, "a frame for somebody who has proved nothing"
        size_bytes = len(payload)
        assert size_bytes <= FRAME_BYTES_MAX, f"frame of {size_bytes} bytes exceeds {FRAME_BYTES_MAX}"
        header = _LENGTH.pack(size_bytes)
        if size_bytes < _JOIN_BELOW_BYTES:
            self._outgoing.append(header + payload)
        else:
            self._outgoing.append(header)
            self._outgoing.append(payload)
        self._outgoing_bytes += len(header) + size_bytes

    def flush(self) -> None:
        """Offer queued frames to the kernel unless it is already known to be full."""
        if not self._waits_for_writable and not self.closed:
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
        self._outgoing_bytes = 0
        self._encrypted = memoryview(b"")
        self._buffer = bytearray()
        self.on_closed(reason)

    def _subscribe(self) -> None:
        mask = READ | ERROR | (WRITE if self._waits_for_writable else 0)
        self._poller.subscribe(self._fd, self._on_event, mask)

    def _on_event(self, _fd: int, event_mask: int) -> None:
        if self._connecting:
            self._finish_connecting()
        if event_mask & READ and not self.closed:
            self._read()
        if event_mask & ERROR and not self.closed:
            self.close(_error_reason(self._socket))
        if event_mask & WRITE and not self.closed:
            self._write()

    def _finish_connecting(self) -> None:
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self.close(f"connect failed: {errno.errorcode.get(code, code)}")
            return
        self._connecting = False
        self._shake_hands()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
            self.secured = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._refuse(error)
            return
        self._write()
        if self.secured and not self.closed:
            self.on_secured()

    def _refuse(self, error: ssl.SSLError) -> None:
        self.refusal = refusal_reason(error)
        # TLS has left an alert for the other side: it should know why.
        self._outgoing.clear()
        self._outgoing_bytes = 0
        self._write()
        self.close(f"refused: {self.refusal}")

    def _write(self) -> None:
        try:
            while self._encrypted or self._encrypt():
                sent_bytes = self._socket.send(self._encrypted)
                self._encrypted = self._encrypted[sent_bytes:]
        except BlockingIOError:
            pass
        except OSError as error:
            self.close(f"write failed: {error}")
            return
        if bool(self._encrypted) != self._waits_for_writable:
            self._waits_for_writable = bool(self._encrypted)
            self._subscribe()

    def _encrypt(self) -> bool:
        """Get the next bytes for the kernel; False if there are none."""
        if self._outgoing:
            with memoryview(self._take_outgoing()) as plain:
                written_bytes = 0
                while written_bytes < len(plain):  # each call makes one record
                    written_bytes += self._tls.write(plain[written_bytes:])
        self._encrypted = memoryview(self._to_send.read())
        return bool(self._encrypted)

    def _take_outgoing(self) -> bytes | memoryview:
        outgoing = self._outgoing
        pieces: list[bytes | memoryview] = []
        size_bytes = 0
        while outgoing and size_bytes < _ENCRYPT_BYTES:
            room_bytes = _ENCRYPT_BYTES - size_bytes
            piece = outgoing[0]
            if len(piece) > room_bytes:
                outgoing[0] = memoryview(piece)[room_bytes:]
                piece = memoryview(piece)[:room_bytes]
            else:
                outgoing.popleft()
            pieces.append(piece)
            size_bytes += len(piece)
        self._outgoing_bytes -= size_bytes
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read(self) -> None:
        read_bytes = 0
        # The limit keeps one fast sender from starving the other links and the tick.
        while read_bytes < _READ_BYTES_PER_EVENT:
            try:
                received = self._socket.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                self.close(f"read failed: {error}")
                return
            if not received:
                self.close("closed by the other side")
                return
            read_bytes += len(received)
            self._received.write(received)
            if not self.secured:
                self._shake_hands()
            if self.secured and not self.closed:
                self._decrypt()
            if self.closed or len(received) < _RECEIVE_BYTES:
                return

    def _decrypt(self) -> None:
        """Take what TLS makes of the received bytes, and deliver the frames in it."""
        while self._received.pending or self._tls.pending():
            self._make_room()
            try:
                with memoryview(self._buffer) as view:
                    # With a buffer it answers a number, whatever its annotation says.
                    decrypted_bytes = cast(int, self._tls.read(len(view) - self._end, view[self._end :]))
            except ssl.SSLWantReadError:  # the rest of a record is still on its way
                break
            except ssl.SSLError as error:
                self._refuse(error)
                return
            if decrypted_bytes == 0:  # the other side said goodbye
                self.close("closed by the other side")
                return
            self._end += decrypted_bytes
            self._deliver()
            if self.closed:
                return
        if self._to_send.pending:  # TLS answers by itself, to a new key for instance
            self.flush()

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


def _error_reason(sock: socket.socket) -> str:
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return f"link failed: {errno.errorcode.get(code, code)}" if code else "link failed"
