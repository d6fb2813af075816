"""``tally replay``: from nothing but the archive, execute every command again and compare everything.

For each entry: the hash chain, then the events and the chain value of a fresh engine against the archived ones. At
the sequence of a snapshot that the replica keeps, its bytes too. The first difference is named by its sequence.
Works on the files of a stopped or a running replica; a running one may be in the middle of its last entry.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Final, NamedTuple, TextIO

from blake3 import blake3
from tqdm import tqdm

from engine import queries
from engine.amounts import format_units
from engine.codec import decode_commands, decode_events
from engine.entry import GENESIS_CHAIN, Entry
from engine.invariants import assert_sound
from engine.machine import Machine
from engine.snapshot import VERSION, VERSION_WITH_RULES, VERSIONS, SnapshotError, snapshot_bytes, state_hash, version_of
from replication.archive import ArchiveDamaged, list_segments, read_segment, read_segment_header
from replication.history import read_history
from replication.snapshots import SnapshotDamaged, SnapshotGone, SnapshotMeta, SnapshotStore

BALANCES_PRINTED_MAX: Final = 100

EntryObserver = Callable[[Entry], None]


class ReplayDiverged(Exception):
    """Executing a command again gave something else than the archive says."""

    def __init__(self, sequence: int, difference: str) -> None:
        super().__init__(f"the replay differs from the archive at sequence {sequence}: {difference}")
        self.sequence = sequence


class Replayed(NamedTuple):
    """``snapshots_compared`` counts the snapshots whose bytes were found equal."""

    machine: Machine
    entries: int
    unfinished_bytes: int
    snapshots_compared: int
    duration_s: float


class NothingToReplay(Exception):
    """The directory holds no archive."""


def group_directories(directory: Path) -> list[Path]:
    """The folder itself, for the default group or for a single replica, and those of the other market groups in it."""
    found = [*directory.glob("groups/*"), *directory.glob("*/groups/*")]
    return [directory, *sorted(path for path in found if any(path.glob("*/archive")))]


def replica_directories(directory: Path) -> list[Path]:
    """The data of one replica, or of all replicas of a folder of ``tally up``."""
    if (directory / "archive").is_dir():
        return [directory]
    found = sorted(path.parent for path in directory.glob("*/archive")) or sorted(
        path.parent for path in directory.glob("*/*/archive")
    )
    if not found:
        raise NothingToReplay(f"{directory} holds no archive: name the folder of a replica or of `tally up`")
    return found


def replay(
    replica_directory: Path,
    *,
    others: list[Path] | None = None,
    observe: EntryObserver = lambda _entry: None,
    progress: Callable[[int], object] = lambda _size: None,
) -> Replayed:
    """Execute the archive of one replica in a fresh engine. What it lacks is taken from those of ``others``.

    ArchiveDamaged, ArchiveGap or ReplayDiverged name the first sequence that is not right. ``observe`` sees each
    entry after it was verified; ``progress`` gets the bytes done since its last call.
    """
    started_s = time.monotonic()
    machine = Machine()
    entries = unfinished_bytes = compared = 0
    snapshots = _snapshots_by_sequence(replica_directory)
    done_in, done_bytes = replica_directory, 0
    for entry, path, end_offset in read_history([one / "archive" for one in [replica_directory, *(others or ())]]):
        _execute(machine, entry)
        observe(entry)
        entries += 1
        compared += _compare_with_snapshot(machine, snapshots.get(entry.last_sequence))
        progress(end_offset - (done_bytes if path == done_in else 0))
        done_in, done_bytes = path, end_offset
    if done_bytes:
        unfinished_bytes = max(0, done_in.stat().st_size - done_bytes)
    assert_sound(machine)
    return Replayed(machine, entries, unfinished_bytes, compared, time.monotonic() - started_s)


def print_replay(
    directory: Path,
    *,
    observe: EntryObserver = lambda _entry: None,
    out: TextIO | None = None,
) -> Replayed:
    """Replay the history of a folder with a progress bar, check that every replica tells the same, print balances.

    The largest archive is executed; where it has a gap, the others fill it. ``observe`` sees each entry.
    """
    out = out or sys.stdout
    directories = sorted(replica_directories(directory), key=_archive_bytes, reverse=True)
    chains: dict[int, bytes] = {0: GENESIS_CHAIN}

    def remember(entry: Entry) -> None:
        chains[entry.last_sequence] = entry.chain
        observe(entry)

    with tqdm(total=_archive_bytes(directories[0]), unit="B", unit_scale=True, desc="replay", disable=None) as bar:
        replayed = replay(directories[0], others=directories[1:], observe=remember, progress=bar.update)
    machine = replayed.machine
    rate = machine.sequence / max(replayed.duration_s, 1e-9)
    print(f"replica      {directories[0].name}", file=out)
    print(f"commands     {machine.sequence} in {replayed.entries} entries", file=out)
    print(f"time         {replayed.duration_s:.2f} s, {rate:,.0f} commands/s", file=out)
    print(f"chain        {machine.chain.hex()}", file=out)
    print(f"state hash   {state_hash(machine).hex()}", file=out)
    if replayed.snapshots_compared:
        print(f"snapshots    {replayed.snapshots_compared} with equal bytes", file=out)
    if replayed.unfinished_bytes:
        print(
            f"note         {replayed.unfinished_bytes} bytes after the last entry are unfinished, as after a crash "
            "or while the replica runs",
            file=out,
        )
    for other in directories[1:]:
        with _naming(other):
            _print_comparison(other, chains, out)
    _print_balances(machine, out)
    return replayed


@contextmanager
def _naming(replica_directory: Path) -> Iterator[None]:
    """Note on what goes wrong which replica's archive it was."""
    try:
        yield
    except (ArchiveDamaged, ReplayDiverged) as error:
        error.add_note(f"replica {replica_directory.name}, {replica_directory / 'archive'}")
        raise


def _execute(machine: Machine, entry: Entry) -> None:
    applied = machine.apply(entry.timestamp_ns, entry.commands)
    if applied.entry != entry:
        raise ReplayDiverged(*_first_difference(applied.entry, entry))


def _first_difference(ours: Entry, archived: Entry) -> tuple[int, str]:
    """The sequence of the first event that differs, and both versions of it."""
    for our_event, their_event in zip_longest(decode_events(ours.events), decode_events(archived.events)):
        if our_event != their_event:
            offset = min(found[0] for found in (our_event, their_event) if found is not None)
            command = list(decode_commands(archived.commands))[offset]
            got = None if our_event is None else our_event[1]
            archive_has = None if their_event is None else their_event[1]
            return (
                archived.first_sequence + offset,
                f"{command} gave {got or 'no further event'}, the archive has {archive_has or 'no further event'}",
            )
    return archived.first_sequence, f"the replay has {ours[:3]}, the archive has {archived[:3]}"


def _snapshots_by_sequence(replica_directory: Path) -> dict[int, SnapshotMeta]:
    if not (replica_directory / "snapshots" / "data.mdb").exists():
        return {}
    store = SnapshotStore(replica_directory / "snapshots")
    try:
        latest = store.latest()
        if latest is None:
            return {}
        version = version_of(store.read(latest))
        if version in VERSIONS:
            return {latest.sequence: latest}
        reason = f"they are of an earlier build (version {version}, this one has {VERSION} and {VERSION_WITH_RULES})"
    except (SnapshotDamaged, SnapshotError, SnapshotGone) as error:
        reason = str(error)
    print(f"note: its snapshots cannot be compared: {reason}", file=sys.stderr)
    return {}


def _compare_with_snapshot(machine: Machine, snapshot: SnapshotMeta | None) -> int:
    if snapshot is None:
        return 0
    ours = blake3(snapshot_bytes(machine)).digest()
    if ours != snapshot.digest:
        raise ReplayDiverged(
            machine.sequence,
            f"the state's digest is {ours.hex()}, the snapshot of the replica has {snapshot.digest.hex()}",
        )
    return 1


def _print_comparison(replica_directory: Path, chains: dict[int, bytes], out: TextIO) -> None:
    """Verify another replica's chain and that it is the one that was executed, as far as both go."""
    sequence = missing = 0
    for segment in list_segments(replica_directory / "archive"):
        header = read_segment_header(segment)
        missing += header.first_sequence - sequence - 1
        sequence = header.first_sequence - 1
        for entry, _ in read_segment(segment, header):
            if entry.last_sequence > max(chains):
                break
            if chains.get(entry.last_sequence) != entry.chain:
                raise ReplayDiverged(
                    entry.first_sequence, f"{replica_directory.name} has another entry there: {entry.chain.hex()}"
                )
            sequence = entry.last_sequence
    gaps = f", without {missing} commands that it received as snapshots" if missing else ""
    print(f"same chain   {replica_directory.name}, up to sequence {sequence}{gaps}", file=out)


def _print_balances(machine: Machine, out: TextIO) -> None:
    rows = [
        (account.name.decode(), balance["asset"], *_balance_texts(balance))
        for account in machine.registry.accounts
        for balance in queries.balances(machine, account.account_id)
    ]
    if not rows:
        print("balances     none", file=out)
        return
    shown = rows[:BALANCES_PRINTED_MAX]
    widths = [max(len(row[column]) for row in [*shown, _BALANCE_HEADINGS]) for column in range(4)]
    for row in [_BALANCE_HEADINGS, *shown]:
        print(f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}", file=out)
    if len(rows) > len(shown):
        print(f"... and {len(rows) - len(shown)} more balances", file=out)


_BALANCE_HEADINGS: Final = ("account", "asset", "available", "held")


def _balance_texts(balance: queries.Fields) -> tuple[str, str]:
    decimals = balance["decimals"]
    return format_units(balance["available_units"], decimals), format_units(balance["held_units"], decimals)


def _archive_bytes(replica_directory: Path) -> int:
    return sum(segment.path.stat().st_size for segment in list_segments(replica_directory / "archive"))
