"""The leader's side of replication: what to send to which follower, and when.

Per follower there is one of three states, as in etcd's raft:

- PROBE: it is not known where the follower's log agrees with ours. One message at a time; the answer moves
  `next_index`. A refusal counts only if it answers the message that is out, so that a burst of refusals of one
  burst of messages moves `next_index` once.
- REPLICATE: the logs agree up to `next_index`. Entries are sent ahead of their acknowledgements until a window of bytes
  is full; `next_index` only grows.
- SNAPSHOT: the follower needs entries that were compacted away. It gets the newest snapshot chunk by chunk and asks for
  each next one; entries follow when it has caught up with our log.

The same message object goes to all followers that need the same entries, so it is encoded once.
"""

import enum
from collections import deque
from collections.abc import Iterable

import msgspec

from replication.halt import Halt
from replication.journal import Journal
from replication.messages import AppendEntries, NextIndex, SnapshotChunk, SnapshotProgress
from replication.snapshots import SnapshotGone, SnapshotMeta, SnapshotStore
from replication.transport import Transport

WINDOW_BYTES = 8 * 1024 * 1024
BATCH_BYTES = 1024 * 1024
_ENTRY_OVERHEAD_BYTES = 32
_CHUNK_TIMEOUT_S = 1.0
_FIRST_NEXT_INDEX = 2  # the entry at index 1 is the same on every replica


class _State(enum.Enum):
    PROBE = enum.auto()
    REPLICATE = enum.auto()
    SNAPSHOT = enum.auto()


class _Follower:
    """What the leader knows about one follower in its term."""

    def __init__(self, next_index: int) -> None:
        self.connected = False
        self.state = _State.PROBE
        self.match_index = 0
        self.next_index = next_index
        self.probe_is_out = False
        self.in_flight: deque[tuple[int, int]] = deque()  # (last log index, bytes) of each message
        self.in_flight_bytes = 0
        self.snapshot: SnapshotMeta | None = None
        self.chunk_number = 0
        self.chunk_sent_s: float | None = None

    def probe(self, next_index: int) -> None:
        self.state = _State.PROBE
        self.next_index = next_index
        self.probe_is_out = False
        self.in_flight.clear()
        self.in_flight_bytes = 0
        self.snapshot = None

    def acknowledge(self, matched_index: int) -> None:
        self.match_index = max(self.match_index, matched_index)
        while self.in_flight and self.in_flight[0][0] <= self.match_index:
            self.in_flight_bytes -= self.in_flight.popleft()[1]
        if self.state is _State.PROBE and matched_index >= self.next_index - 1:
            self.state = _State.REPLICATE
        self.next_index = max(self.next_index, self.match_index + 1)

    def refuse(self, prev_index: int, next_index: int) -> bool:
        """Take a refusal of the message after `prev_index`; False if it says nothing new."""
        stale = prev_index <= self.match_index
        if self.state is _State.SNAPSHOT or stale:
            return False
        if self.state is _State.PROBE and prev_index != self.next_index - 1:
            return False
        self.probe(max(self.match_index + 1, _FIRST_NEXT_INDEX, min(next_index, prev_index)))
        return True

    def may_send(self) -> bool:
        if self.state is _State.PROBE:
            return not self.probe_is_out
        return self.in_flight_bytes < WINDOW_BYTES

    def sent(self, last_index: int, size_bytes: int) -> None:
        if self.state is _State.PROBE:
            self.probe_is_out = True
            return
        self.next_index = last_index + 1
        self.in_flight.append((last_index, size_bytes))
        self.in_flight_bytes += size_bytes


class LogSender:
    """Sends log and snapshots to the followers of a leader; idle on other replicas."""

    def __init__(
        self, journal: Journal, transport: Transport, snapshots: SnapshotStore, peer_ids: Iterable[str] = ()
    ) -> None:
        self._journal = journal
        self._transport = transport
        self._snapshots = snapshots
        self.read_round = 0
        """What append_entries ask their receivers to repeat (`replication.read_index`)."""
        self._followers = {peer_id: _Follower(_FIRST_NEXT_INDEX) for peer_id in sorted(peer_ids)}

    def set_followers(self, peer_ids: Iterable[str]) -> None:
        """Whom to send to from now on; what is known of those that stay is kept."""
        known = self._followers
        new_next_index = self._journal.last + 1
        self._followers = {peer_id: known.get(peer_id) or _Follower(new_next_index) for peer_id in sorted(peer_ids)}

    def follows(self, peer_id: str) -> bool:
        """Whether this peer is sent to."""
        return peer_id in self._followers

    def begin_anew(self, peer_id: str) -> None:
        """The follower lost its disk: nothing that it acknowledged is there any more."""
        if peer_id in self._followers:
            self._followers[peer_id] = _Follower(self._journal.last + 1)

    def lead(self) -> None:
        """Begin a term as leader: nothing is known about any follower."""
        for peer_id, previous in self._followers.items():
            follower = _Follower(next_index=self._journal.last + 1)
            follower.connected = previous.connected
            self._followers[peer_id] = follower

    def connected(self, peer_id: str) -> None:
        """There is a link to a peer."""
        if peer_id in self._followers:
            self._followers[peer_id].connected = True

    def disconnected(self, peer_id: str) -> None:
        """The link is gone and with it what was in flight."""
        follower = self._followers.get(peer_id)
        if follower is None:
            return
        follower.connected = False
        follower.probe(follower.match_index + 1 if follower.match_index else follower.next_index)

    def match_indexes(self) -> dict[str, int]:
        """How far each follower's log is known to agree with ours, on its disk."""
        return {peer_id: follower.match_index for peer_id, follower in self._followers.items()}

    def send(self, *, term: int, commit_index: int, now_s: float, heartbeat: bool) -> None:
        """Send what each follower may get now; with `heartbeat` at least one message to each."""
        built: dict[int, tuple[AppendEntries, int]] = {}
        for peer_id, follower in self._followers.items():
            if not follower.connected:
                continue
            if follower.next_index <= self._journal.first:
                self._send_chunk(peer_id, follower, term, now_s, heartbeat)
            else:
                self._send_entries(peer_id, follower, built, term, commit_index, heartbeat)

    def on_next_index(self, peer_id: str, answer: NextIndex) -> bool:
        """Take a follower's answer of this term; True if that calls for sending to it at once."""
        follower = self._followers[peer_id]
        if answer.success:
            matched_index = answer.next_index - 1
            if matched_index > self._journal.last:
                raise Halt(f"{peer_id} acknowledged log index {matched_index}, ours ends at {self._journal.last}")
            follower.acknowledge(matched_index)
            if follower.state is _State.SNAPSHOT and follower.next_index > self._journal.first:
                follower.probe(follower.next_index)
                return True
            return False
        if answer.reset:
            return follower.refuse(answer.prev_index, answer.next_index)
        return False

    def on_snapshot_progress(self, peer_id: str, progress: SnapshotProgress) -> bool:
        """Take a follower's request for a chunk; True if that calls for sending to it at once."""
        follower = self._followers[peer_id]
        meta = follower.snapshot
        if meta is None or meta.log_index != progress.log_index or progress.next_number >= meta.chunk_count:
            return False
        follower.chunk_number = progress.next_number
        follower.chunk_sent_s = None
        return True

    def _send_entries(
        self,
        peer_id: str,
        follower: _Follower,
        built: dict[int, tuple[AppendEntries, int]],
        term: int,
        commit_index: int,
        heartbeat: bool,
    ) -> None:
        if follower.state is _State.SNAPSHOT:
            follower.probe(follower.next_index)
        sent = False
        while follower.next_index <= self._journal.last and follower.may_send():
            found = built.get(follower.next_index)
            if found is None:
                found = built[follower.next_index] = self._build(follower.next_index, term, commit_index)
            message, size_bytes = found
            self._transport.send(peer_id, message)
            follower.sent(message.prev_index + len(message.entries), size_bytes)
            sent = True
        if heartbeat and not sent:
            prev_index = follower.next_index - 1
            prev_term = self._journal.term_at(prev_index)
            self._transport.send(peer_id, AppendEntries(term, commit_index, prev_index, prev_term, [], self.read_round))

    def _build(self, next_index: int, term: int, commit_index: int) -> tuple[AppendEntries, int]:
        entries: list[tuple[int, bytes]] = []
        size_bytes = 0
        for index in range(next_index, self._journal.last + 1):
            command, _index, entry_term = self._journal.entry(index)
            entries.append((entry_term, command))
            size_bytes += len(command) + _ENTRY_OVERHEAD_BYTES
            if size_bytes >= BATCH_BYTES:
                break
        prev_index = next_index - 1
        prev_term = self._journal.term_at(prev_index)
        return AppendEntries(term, commit_index, prev_index, prev_term, entries, self.read_round), size_bytes

    def _send_chunk(self, peer_id: str, follower: _Follower, term: int, now_s: float, heartbeat: bool) -> None:
        follower.state = _State.SNAPSHOT
        waits = follower.chunk_sent_s is not None and now_s - follower.chunk_sent_s < _CHUNK_TIMEOUT_S
        if follower.snapshot is None or follower.snapshot.log_index <= follower.match_index:
            self._begin_snapshot(follower)
        elif waits:
            if heartbeat:
                # It shows that the leader lives; a refusal of it is ignored in this state.
                first = self._journal.first
                first_term = self._journal.term_at(first)
                self._transport.send(peer_id, AppendEntries(term, 0, first, first_term, [], self.read_round))
            return
        data = self._read_chunk(follower)
        meta = follower.snapshot
        assert meta is not None
        if not meta.membership:
            # An earlier build wrote it; the journal knows.
            meta = msgspec.structs.replace(meta, membership=self._journal.membership_at(meta.log_index))
        self._transport.send(peer_id, SnapshotChunk(term, meta, follower.chunk_number, data))
        follower.chunk_sent_s = now_s

    def _read_chunk(self, follower: _Follower) -> bytes:
        assert follower.snapshot is not None
        try:
            return self._snapshots.read_chunk(follower.snapshot, follower.chunk_number)
        except SnapshotGone:
            # Two newer ones were taken since this transfer began: start over with the newest.
            meta = self._begin_snapshot(follower)
            return self._snapshots.read_chunk(meta, follower.chunk_number)

    def _begin_snapshot(self, follower: _Follower) -> SnapshotMeta:
        meta = self._snapshots.latest()
        if meta is None or meta.log_index < self._journal.first:
            raise Halt(f"the log begins at {self._journal.first}, but no snapshot covers what came before")
        follower.snapshot = meta
        follower.chunk_number = 0
        follower.chunk_sent_s = None
        return meta
