"""Doors that answer questions about archives on the disk, each as its replica would, served by a thread."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from engine.entry import GENESIS_CHAIN
from replication.archive_reader import ArchiveReader
from replication.entry_source import Door as Address
from replication.entry_source import EntrySource
from replication.poller import Poller
from replication.protocol import Answer, Query, Status
from replication.reads import answer
from replication.replica import Replica
from replication.server import Door, DoorLink
from tests.replication.link_certificates import CLUSTER_ID, node


class ArchivedReplica(Replica):
    """A replica that stands at a sequence and has no state: what it answers about its archive is the real one's."""

    def __init__(self, directory: Path, sequence: int) -> None:
        super().__init__(directory)
        self.machine.sequence = sequence
        self._reader = ArchiveReader(directory)


class OneDoor:
    def __init__(self, name: str, directory: Path, sequence: int, poller: Poller) -> None:
        self.replica = ArchivedReplica(directory, sequence)
        self.questions = 0
        self._name = name
        self.door = Door(
            ("127.0.0.1", 0), poller, self, credentials=node(name), group_id=CLUSTER_ID, now_s=time.monotonic
        )

    def status(self) -> Status:
        return Status(self._name, False, "", 1, self.replica.machine.sequence)

    def submit(self, link: DoorLink, correlation: int, command: bytes) -> None:
        raise AssertionError("nobody sends commands here")

    def ask(self, query: Query, reply: Callable[[Answer], None], *, operator: str) -> None:
        self.questions += 1
        reply(answer(self.replica, query.name, query.arguments))


class ArchiveDoors:
    """Use it in a ``with`` block. ``doors`` are by node."""

    def __init__(self, archives: Mapping[str, Path], *, sequence: int) -> None:
        """All replicas stand at ``sequence``, whatever their archives have."""
        self._poller = Poller()
        self.doors = {name: OneDoor(name, directory, sequence, self._poller) for name, directory in archives.items()}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "ArchiveDoors":
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stopped.set()
        self._thread.join()
        for one in self.doors.values():
            one.door.close()
        self._poller.close()

    def addresses(self, *names: str) -> list[Address]:
        return [(name, *self.doors[name].door.address) for name in names or self.doors]

    def source(self, *names: str, sequence: int = 0, chain: bytes = GENESIS_CHAIN) -> EntrySource:
        """As node-9 reads."""
        return EntrySource(
            self.addresses(*names), group_id=CLUSTER_ID, credentials=node("node-9"), sequence=sequence, chain=chain
        )

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._poller.poll(0.005)
            for one in self.doors.values():
                one.door.flush()
