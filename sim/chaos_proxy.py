"""A TCP proxy between the replicas: bytes that come late, not at all, only one way, or changed.

Each replica has an address here that the others dial (``peer``) and one where it listens (``peer_listen``); what
comes in at the one goes out to the other. The links are TLS, so this is a pipe of bytes that cannot know what it
carries. Within one direction of a connection the order of the bytes is kept, as TCP does.

Faults are of *ways*, a source and a target: ``("node-1", "node-2")`` is what node-1 sends to node-2, whoever of both
dialled. The dialler shows a certificate that only its peer can read, so the proxy asks the kernel which process the
socket at the other end belongs to (:func:`owner_of_connection`); it runs on Linux.

The proxy has a thread and an event loop of its own. Its methods may be called from any thread and return when what
they ask for is the case.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from random import Random
from typing import Any, Final, TypeVar

_T = TypeVar("_T")
Way = tuple[str, str]
"""Who sends, and to whom."""

_CHUNK_BYTES: Final = 64 * 1024
_QUEUED_CHUNKS_MAX: Final = 64
_PROC_TCP: Final = "/proc/net/tcp"
_SOCKET_LINK: Final = re.compile(r"socket:\[(\d+)\]")
_TIMEOUT_S: Final = 10.0
UNKNOWN: Final = "?"  # a dialler that ended before it could be found


class ChaosProxy:
    """Use as a context manager. ``fronts`` are the ports to listen on, ``backs`` where each replica does, by node id.

    ``pids`` answers which process is which node at this moment. ``counts`` are connections, flipped bytes and the
    like so far.
    """

    def __init__(
        self,
        fronts: Mapping[str, tuple[str, int]],
        backs: Mapping[str, tuple[str, int]],
        pids: Callable[[], Mapping[str, int]],
        *,
        seed: int = 0,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._fronts, self._backs, self._pids = dict(fronts), dict(backs), pids
        self._random = Random(seed)
        self._delays_s: dict[Way, tuple[float, float]] = {}
        self._cuts: set[Way] = set()
        self._flips: set[Way] = set()
        self._connections: set[_Connection] = set()
        self._handlers: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Condition()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaos-proxy", daemon=True)
        self._servers: list[asyncio.Server] = []

    def __enter__(self) -> ChaosProxy:
        self._thread.start()
        try:
            self._call(self._listen())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self._call(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def front(self, node_id: str) -> tuple[str, int]:
        """Where to dial this node."""
        return self._fronts[node_id]

    # What goes wrong

    def delay(self, ways: Iterable[Way], least_s: float, most_s: float) -> None:
        """What is sent that way arrives so much later, a new time for each piece."""
        self._call(self._delay(dict.fromkeys(ways, (least_s, most_s))))

    def cut(self, ways: Iterable[Way]) -> None:
        """Nothing that is sent that way arrives.

        Who sends is not told; connections stay, and new ones get no answer.
        """
        self._call(self._cut(set(ways)))

    def flip(self, ways: Iterable[Way]) -> None:
        """One bit of the next bytes that way is another one."""
        self._call(self._flip(set(ways)))

    def drop(self, ways: Iterable[Way]) -> int:
        """Connections between these nodes end at once, with what was on its way. How many did."""
        return self._call(self._drop({frozenset(way) for way in ways}))

    def heal(self) -> None:
        """Nothing is delayed or cut any more; what was held back arrives."""
        self._call(self._heal())

    # Inside the loop

    def _call(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_TIMEOUT_S)

    async def _listen(self) -> None:
        for node_id, (host, port) in self._fronts.items():
            self._servers.append(await asyncio.start_server(self._on_connection(node_id), host, port))

    async def _shut(self) -> None:
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.abort()
        for task in list(self._handlers):
            task.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    async def _delay(self, delays_s: dict[Way, tuple[float, float]]) -> None:
        self._delays_s |= delays_s

    async def _cut(self, ways: set[Way]) -> None:
        self._cuts |= ways

    async def _flip(self, ways: set[Way]) -> None:
        self._flips |= ways

    async def _drop(self, pairs: set[frozenset[str]]) -> int:
        found = [one for one in self._connections if frozenset((one.dialler, one.target)) in pairs]
        for connection in found:
            connection.abort()
        return len(found)

    async def _heal(self) -> None:
        self._delays_s.clear()
        self._cuts.clear()
        self._flips.clear()
        async with self._changed:
            self._changed.notify_all()

    def _on_connection(self, target: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = self._loop.create_task(self._serve(target, reader, writer))
            self._handlers.add(task)
            task.add_done_callback(self._handlers.discard)

        return accept

    async def _serve(self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        dialler = owner_of_connection(writer.get_extra_info("peername"), self._pids()) or UNKNOWN
        self.counts["connections"] += 1
        try:
            back_reader, back_writer = await asyncio.open_connection(*self._backs[target])
        except OSError:
            writer.transport.abort()  # as if nobody listened
            return
        connection = _Connection(dialler, target, (writer, back_writer))
        self._connections.add(connection)
        try:
            pipes = [
                self._loop.create_task(self._pipe((dialler, target), reader, back_writer)),
                self._loop.create_task(self._pipe((target, dialler), back_reader, writer)),
            ]
            try:
                await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pipe in pipes:
                    pipe.cancel()
                await asyncio.gather(*pipes, return_exceptions=True)
        finally:
            self._connections.discard(connection)
            connection.close()

    async def _pipe(self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes one way until one of the ends is closed."""
        due: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_QUEUED_CHUNKS_MAX)
        sender = self._loop.create_task(self._deliver(way, due, writer))
        try:
            with contextlib.suppress(OSError):
                while chunk := await reader.read(_CHUNK_BYTES):
                    least_s, most_s = self._delays_s.get(way, (0.0, 0.0))
                    delay_s = self._random.uniform(least_s, most_s) if most_s else 0.0
                    await due.put((self._loop.time() + delay_s, chunk))
            await due.put((self._loop.time(), b""))
            await sender
        finally:
            sender.cancel()

    async def _deliver(self, way: Way, due: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while True:
                due_s, chunk = await due.get()
                await asyncio.sleep(max(0.0, due_s - self._loop.time()))
                if way in self._cuts:
                    async with self._changed:
                        await self._changed.wait_for(lambda: way not in self._cuts)
                if not chunk:
                    return
                if way in self._flips:
                    self._flips.discard(way)
                    self.counts["flipped"] += 1
                    chunk = _with_a_bit_flipped(chunk, self._random)
                writer.write(chunk)
                await writer.drain()


class _Connection:
    """One dialled link. It is equal to no other."""

    def __init__(self, dialler: str, target: str, writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        self.dialler, self.target = dialler, target
        self._writers = writers

    def abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


def ways_of(node_id: str, others: Iterable[str], *, out: bool = True, into: bool = True) -> list[Way]:
    """All ways between a node and the others: what it sends, what it is sent, or both."""
    found = [(node_id, other) for other in others if out and other != node_id]
    return found + [(other, node_id) for other in others if into and other != node_id]


def owner_of_connection(address: tuple[str, int], pids: Mapping[str, int]) -> str | None:
    """Which of these processes has the TCP socket that is bound to this address; None if none of them has."""
    host, port = address[:2]
    local = f"{int.from_bytes(socket.inet_aton(host), 'little'):08X}:{port:04X}"
    inodes = set()
    with open(_PROC_TCP, encoding="ascii") as table:
        for line in table:
            columns = line.split()
            if columns[1] == local:
                inodes.add(columns[9])
    for name, pid in pids.items():
        with contextlib.suppress(OSError):
            for entry in os.scandir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    link = _SOCKET_LINK.fullmatch(os.readlink(entry.path))
                    if link is not None and link[1] in inodes:
                        return name
    return None


def _with_a_bit_flipped(chunk: bytes, random: Random) -> bytes:
    changed = bytearray(chunk)
    changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)
