"""One copy of a market group: the engine, its archive, and the newest trades.

This is what the replicated log drives. A payload of the log is ``i64 timestamp_ns`` and command records. Applying
it is deterministic; keeping the archive and the trade tape is a consequence that never flows back.
"""

from __future__ import annotations

import gc
import logging
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

from engine.codec import TRADES_ONLY, decode_events
from engine.entry import Entry
from engine.events import TradeExecuted
from engine.machine import Applied, Machine
from engine.rules import NEWEST_RULES_VERSION, RulesNotKnown
from engine.snapshot import restore
from replication.agreement import CHECKPOINT_EVERY_ENTRIES, Checkpoint
from replication.archive import (
    SEGMENT_BYTES_MAX,
    Archive,
    ArchiveDamaged,
    list_segments,
    read_segment,
    read_segment_header,
    secure_end,
)
from replication.archive_reader import ArchiveReader, EncodedEntries, FoundEntry, Stretch
from replication.archive_salvage import salvage_tail
from replication.disk import DISK, Disk
from replication.halt import Halt
from replication.snapshots import SnapshotMeta, SnapshotPoint

logger = logging.getLogger(__name__)

TIMESTAMP: Final = Struct("<q")
TRADES_KEPT_PER_MARKET: Final = 1_000
_HASH_KEY_BYTES: Final = 8


class PrintedTrade(NamedTuple):
    """A trade as the tape shows it."""

    trade_id: int
    price_ticks: int
    quantity_lots: int
    taker_side: int
    sequence: int
    timestamp_ns: int


class UpgradeNeeded(Halt):
    """The log goes on by rules that this build does not know: it stops before it would execute anything by others."""

    def __init__(self, where: str, cause: RulesNotKnown) -> None:
        super().__init__(
            f"{where}: {cause}. Nothing of it was executed. Install the version of Tallystick that the other replicas "
            "run, then start this one again: it goes on from there"
        )


class Replica:
    """The state machine of one replica. ``machine`` may be read between two calls of :meth:`apply`."""

    def __init__(
        self,
        archive_directory: Path,
        *,
        disk: Disk = DISK,
        random_bytes: Callable[[int], bytes] = os.urandom,
        on_restored: Callable[[], None] = lambda: keep_collector_quiet(),
        newest_rules_version: int = NEWEST_RULES_VERSION,
        segment_bytes_max: int = SEGMENT_BYTES_MAX,
    ) -> None:
        """``on_restored`` is called when the state was replaced by that of a snapshot.

        ``newest_rules_version`` is up to where the engine knows the rules, ``segment_bytes_max`` how large a file of
        the archive may become.
        """
        # Nobody can know it, so nobody can choose ids that collide in this process's tables. No result depends on it.
        self._hash_key = int.from_bytes(random_bytes(_HASH_KEY_BYTES), "little")
        self._disk = disk
        self._on_restored = on_restored
        self._segment_bytes_max = segment_bytes_max
        self.newest_rules_version = newest_rules_version
        self.machine = Machine(self._hash_key, newest_rules_version=newest_rules_version)
        self._reserve_requests = 0
        self.log_point = SnapshotPoint(0, 0, 0, self.machine.chain)
        self.checkpoint: tuple[int, Checkpoint] | None = None  # the newest place where replicas compare
        self._archive_directory = archive_directory
        self._archive: Archive | None = None
        self.archives_opened = 0
        self.suspected_sequence = 0  # where somebody who read the archive met damage; 0 if nobody did
        self._reader = ArchiveReader(archive_directory)
        self._trades: dict[int, deque[PrintedTrade]] = {}

    def reserve(self, requests: int) -> None:
        """Have memory ready for so many requests, now and again after every snapshot that is taken over."""
        self._reserve_requests = requests
        if requests:
            self.machine.reserve(requests)

    def apply(self, log_index: int, term: int, payload: bytes) -> Applied:
        """Execute one entry of the log. An exception is a bug or a damaged archive: the replica must stop.

        UpgradeNeeded if it sets rules that this build does not know.
        """
        if self._archive is None:
            self._open_archive()
        assert self._archive is not None
        last_trade_id = self.machine.trading.index.last_trade_id
        try:
            applied = self.machine.apply(TIMESTAMP.unpack_from(payload)[0], payload[TIMESTAMP.size :])
        except RulesNotKnown as cause:
            raise UpgradeNeeded(f"with log index {log_index}", cause) from None
        self._archive.append(applied.entry)
        if self.machine.trading.index.last_trade_id != last_trade_id:
            self._print_trades(applied.entry)
        self.log_point = SnapshotPoint(log_index, term, self.machine.sequence, self.machine.chain)
        if log_index % CHECKPOINT_EVERY_ENTRIES == 0:
            self.checkpoint = log_index, Checkpoint(self.machine.sequence, self.machine.chain)
        return applied

    def restore(self, meta: SnapshotMeta, blob: bytes) -> None:
        """Take over the state of a snapshot, at start or because this replica fell behind the others' logs.

        UpgradeNeeded if it is of rules that this build does not know.
        """
        try:
            machine = restore(blob, hash_key=self._hash_key, newest_rules_version=self.newest_rules_version)
        except RulesNotKnown as cause:
            raise UpgradeNeeded(f"in the snapshot at log index {meta.log_index}", cause) from None
        assert (machine.sequence, machine.chain) == (meta.sequence, meta.chain), meta
        self.close()
        self.machine = machine
        self.reserve(self._reserve_requests)
        self.log_point = meta.point
        self._open_archive()
        self._on_restored()
        logger.info("restored the state at sequence %d", meta.sequence)

    def trades(self, market_id: int, limit: int) -> list[PrintedTrade]:
        """The newest trades of a market, newest first."""
        tape = self._trades.get(market_id, ())
        return [trade for trade, _ in zip(reversed(tape), range(limit), strict=False)]

    def entries_after(self, sequence: int, limit: int) -> Stretch:
        """What the archive has after a command, as far as one question looks (``replication.archive_reader``)."""
        self.flush_archive()
        return self._reader.entries_after(sequence, limit)

    def encoded_entries_after(self, sequence: int, offset: int = 0) -> EncodedEntries:
        """The archived entries after a command as they are encoded (``replication.archive_reader``)."""
        self.flush_archive()
        return self._reader.encoded_after(sequence, self.machine.sequence, offset)

    def find_entry(self, sequence: int) -> FoundEntry | None:
        """The archived entry with a command; None: not found yet, ask again (``replication.archive_reader``)."""
        self.flush_archive()
        return self._reader.find_entry(sequence)

    def archive_changed(self) -> None:
        """Segments of the archive were replaced: forget what is known of their places."""
        self._reader = ArchiveReader(self._archive_directory)

    def end_segment(self) -> None:
        """Write on in a new segment of the archive, so that the one so far can be mended."""
        if self._archive is not None:
            self._archive.end_segment()

    def flush_archive(self) -> None:
        if self._archive is not None:
            self._archive.flush()

    def sync_archive(self) -> None:
        """Make all of it durable, also what an earlier life of this process left. Damage is left to who opens it."""
        if self._archive is not None:
            self._archive.sync()
            return
        try:
            secure_end(self._archive_directory, self.machine.sequence, self._disk)
        except ArchiveDamaged as damage:
            logger.warning("%s", damage)

    def close(self) -> None:
        if self._archive is not None:
            self._archive.close()
            self._archive = None

    def _open_archive(self) -> None:
        sequence, chain = self.machine.sequence, self.machine.chain
        self.archives_opened += 1
        self._reader = ArchiveReader(self._archive_directory)  # opening may cut off what the old one knew
        self._archive = Archive(self._archive_directory, segment_bytes_max=self._segment_bytes_max, disk=self._disk)
        try:
            self._archive.open(sequence, chain)
        except ArchiveDamaged as damage:
            # The state does not depend on it: a snapshot has it. What is sound stays, the others have the rest.
            logger.critical("%s. What is sound is kept; what is missing comes from the other replicas", damage)
            salvage_tail(self._archive_directory, sequence, disk=self._disk)
            self._archive = Archive(self._archive_directory, segment_bytes_max=self._segment_bytes_max, disk=self._disk)
            self._archive.begin_after(sequence, chain)
        self._trades.clear()
        segments = [s for s in list_segments(self._archive_directory) if s.first_sequence <= sequence]
        try:
            for segment in segments[-1:]:
                for entry, _ in read_segment(segment, read_segment_header(segment)):
                    if entry.last_sequence <= sequence:
                        self._print_trades(entry)
        except ArchiveDamaged as damage:
            logger.warning("the tape begins later: %s", damage)
            self.suspected_sequence = damage.sequence

    def _print_trades(self, entry: Entry) -> None:
        for offset, event in decode_events(entry.events, TRADES_ONLY):
            if isinstance(event, TradeExecuted):
                tape = self._trades.get(event.market_id)
                if tape is None:
                    tape = self._trades[event.market_id] = deque(maxlen=TRADES_KEPT_PER_MARKET)
                tape.append(
                    PrintedTrade(
                        event.trade_id,
                        event.price_ticks,
                        event.quantity_lots,
                        event.taker_side,
                        entry.sequence_of(offset),
                        entry.timestamp_ns,
                    )
                )


def keep_collector_quiet() -> None:
    """Tell the garbage collector that the state lives for long.

    A state of millions of orders has no cycles that are garbage, but walking over it would stall heartbeats.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1_000)
