"""Breaks a cluster of real processes, one fault at a time, and waits after each until everything is well again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from replication.archive import ArchiveDamaged, ArchiveGap, list_segments
from replication.history import read_history
from replication.local_cluster import NODE_IDS
from sim.chaos_cluster import GATEWAY, ChaosCluster, NotRecovered
from sim.chaos_disks import SmallDisks, flip_byte, remove_contents, truncate
from sim.chaos_intruders import start_from_another_cluster, start_on_a_used_folder
from sim.chaos_proxy import Way, ways_of
from sim.chaos_schedule import Planned

_DELAY_S: Final = (0.025, 0.125)
_DROP_EVERY_S: Final = 0.5
_STEP_S: Final = 0.05
_LMDB_FILE: Final = "data.mdb"
_MENDED_WITHIN_S: Final = 60.0
_MENDED_PAUSE_S: Final = 0.5


class Struck(NamedTuple):
    """What one fault did. Times are monotonic; ``skipped`` says why nothing was done, and is empty otherwise."""

    planned: Planned
    what: str
    begun_s: float
    recovered_s: float
    skipped: str = ""


class Skipped(Exception):
    """This fault cannot be made here or now."""


class Nemesis:
    """``disks`` are those under the replicas' folders."""

    def __init__(self, cluster: ChaosCluster, disks: SmallDisks) -> None:
        self._cluster, self._disks = cluster, disks
        self._faults: dict[str, Callable[[Planned], str]] = {
            "kill-leader": self._kill_leader,
            "kill-follower": self._kill_follower,
            "kill-all": lambda planned: self._kill(planned, list(NODE_IDS)),
            "kill-gateway": lambda planned: self._kill(planned, [GATEWAY]),
            "old-leader-first": self._old_leader_first,
            "pause-leader": lambda planned: self._pause(planned, self._cluster.roles()[0]),
            "pause-follower": lambda planned: self._pause(planned, self._follower(planned)),
            "delay": self._delay,
            "drop": self._drop,
            "cut-one-way": self._cut_one_way,
            "isolate": self._isolate,
            "flip": self._flip,
            "disk-full": self._disk_full,
            "journal-flipped": lambda planned: self._damage(planned, "journal", flip_byte),
            "journal-truncated": lambda planned: self._damage(planned, "journal", truncate),
            "snapshots-flipped": lambda planned: self._damage(planned, "snapshots", flip_byte),
            "archive-flipped": lambda planned: self._damage(planned, "archive", flip_byte),
            "archive-truncated": lambda planned: self._damage(planned, "archive", truncate),
            "wipe": self._wipe,
            "second-process": lambda planned: start_on_a_used_folder(self._cluster, self._any(planned)),
            "wrong-cluster": self._wrong_cluster,
        }

    def strike(self, planned: Planned) -> Struck:
        """Let one thing go wrong, mend it, and wait until all is well. NotRecovered if it never is."""
        begun_s = time.monotonic()
        what = skipped = ""
        try:
            what = self._faults[planned.kind](planned)
        except Skipped as reason:
            skipped = str(reason)
        self._cluster.proxy.heal()
        self._cluster.wait_recovered()
        recovered_s = time.monotonic()
        self._wait_for_archives()
        return Struck(planned, what, begun_s, recovered_s, skipped)

    def _wait_for_archives(self) -> None:
        """Until every replica has the whole history again, so that the next one may lose its own."""
        deadline_s = time.monotonic() + _MENDED_WITHIN_S
        for node_id in NODE_IDS:
            while missing := missing_in(self._cluster.data_dir(node_id) / "archive"):
                if time.monotonic() > deadline_s:
                    raise NotRecovered(
                        f"the archive of {node_id} is not mended after {_MENDED_WITHIN_S:g} s: {missing}"
                    )
                self._wait(_MENDED_PAUSE_S)

    # Processes

    def _kill_leader(self, planned: Planned) -> str:
        return self._kill(planned, [self._cluster.roles()[0]])

    def _kill_follower(self, planned: Planned) -> str:
        return self._kill(planned, [self._follower(planned)])

    def _kill(self, planned: Planned, names: list[str]) -> str:
        self._cluster.kill(*names)
        self._wait(planned.duration_s)
        for name in names:
            self._cluster.begin(name)
        return f"{', '.join(names)}, back after {planned.duration_s:.1f} s"

    def _old_leader_first(self, planned: Planned) -> str:
        leader, followers = self._cluster.roles()
        self._cluster.kill(*NODE_IDS)
        self._cluster.begin(leader)
        self._wait(planned.duration_s)
        for name in followers:
            self._cluster.begin(name)
        return f"{leader} first, the others {planned.duration_s:.1f} s later"

    def _pause(self, planned: Planned, name: str) -> str:
        self._cluster.pause(name)
        try:
            self._wait(planned.duration_s)
        finally:
            self._cluster.resume(name)
        return f"{name} for {planned.duration_s:.1f} s"

    def _wrong_cluster(self, planned: Planned) -> str:
        node_id = self._any(planned)
        self._cluster.kill(node_id)
        what = start_from_another_cluster(self._cluster, node_id)
        self._cluster.begin(node_id)
        return what

    # Links

    def _delay(self, planned: Planned) -> str:
        self._cluster.proxy.delay(_all_ways(), *_DELAY_S)
        self._wait(planned.duration_s)
        return f"for {planned.duration_s:.1f} s"

    def _drop(self, planned: Planned) -> str:
        node_id, ended, until_s = self._any(planned), 0, time.monotonic() + planned.duration_s
        while time.monotonic() < until_s:
            ended += self._cluster.proxy.drop(ways_of(node_id, NODE_IDS))
            self._wait(_DROP_EVERY_S)
        return f"{ended} connections of {node_id} in {planned.duration_s:.1f} s"

    def _cut_one_way(self, planned: Planned) -> str:
        node_id, mute = self._any(planned), planned.chance * len(NODE_IDS) % 1.0 < 0.5
        self._cluster.proxy.cut(ways_of(node_id, NODE_IDS, out=mute, into=not mute))
        self._wait(planned.duration_s)
        return f"{node_id} {'is not heard' if mute else 'hears nobody'} for {planned.duration_s:.1f} s"

    def _isolate(self, planned: Planned) -> str:
        node_id = self._any(planned)
        self._cluster.proxy.cut(ways_of(node_id, NODE_IDS))
        self._wait(planned.duration_s)
        return f"{node_id} for {planned.duration_s:.1f} s"

    def _flip(self, planned: Planned) -> str:
        node_id, proxy = self._any(planned), self._cluster.proxy
        flipped, connections = proxy.counts["flipped"], proxy.counts["connections"]
        proxy.flip(ways_of(node_id, NODE_IDS))
        self._wait(planned.duration_s)
        flipped, connections = proxy.counts["flipped"] - flipped, proxy.counts["connections"] - connections
        if flipped and not connections:
            raise AssertionError(f"{flipped} bits to and from {node_id} were changed, and no link was made anew")
        return f"{flipped} bits to and from {node_id}, {connections} links made anew"

    # Disks

    def _disk_full(self, planned: Planned) -> str:
        node_id = self._any(planned)
        folder = self._cluster.data_dir(node_id)
        self._cluster.leave_down(node_id)
        if self._disks.why_not:
            how = f"RLIMIT_FSIZE, because {self._disks.why_not}"
            self._cluster.limit_file_bytes(node_id, list_segments(folder / "archive")[-1].path.stat().st_size)
        else:
            how = "a full tmpfs"
            self._disks.fill(folder)
        self._wait(planned.duration_s)
        self._disks.free(folder)
        ended = not self._cluster.is_running(node_id)
        if not ended:
            self._cluster.kill(node_id)  # a limit cannot be lifted from within
        self._cluster.begin(node_id)
        return f"{node_id}, {how}: it {'stopped' if ended else 'went on, and was killed'}"

    def _damage(self, planned: Planned, store: str, damage: Callable[[Path, float], str]) -> str:
        node_id = self._any(planned)
        folder = self._cluster.data_dir(node_id) / store
        file = folder / _LMDB_FILE
        if store == "archive":
            file = list_segments(folder)[-1].path
        if not file.exists():
            raise Skipped(f"{node_id} has no {store} yet")
        self._cluster.kill(node_id)
        what = damage(file, planned.chance)
        self._cluster.begin(node_id)
        return f"{node_id}, {what}"

    def _wipe(self, planned: Planned) -> str:
        node_id = self._any(planned)
        self._cluster.kill(node_id)
        remove_contents(self._cluster.data_dir(node_id))
        self._cluster.begin(node_id)
        return node_id

    def _any(self, planned: Planned) -> str:
        return NODE_IDS[int(planned.chance * len(NODE_IDS))]

    def _follower(self, planned: Planned) -> str:
        followers = self._cluster.roles()[1]
        return followers[int(planned.chance * len(followers))]

    def _wait(self, duration_s: float) -> None:
        """Let time pass; what ends meanwhile though nobody ended it is started again."""
        until_s = time.monotonic() + duration_s
        while (left_s := until_s - time.monotonic()) > 0:
            self._cluster.look_after()
            time.sleep(min(_STEP_S, left_s))


def missing_in(archive: Path) -> str:
    """What an archive lacks of the history up to its end, in words; empty if it lacks nothing. It may be in use."""
    segments = list_segments(archive)
    if len(segments) == 1 and segments[0].first_sequence == 1:
        return ""
    try:
        for _ in read_history([archive]):
            pass
    except (ArchiveGap, ArchiveDamaged, FileNotFoundError) as fault:  # a file that is replaced right now is gone
        return str(fault)
    return "" if segments else "all of it"


def _all_ways() -> list[Way]:
    return [(source, target) for source in NODE_IDS for target in NODE_IDS if source != target]
