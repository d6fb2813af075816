"""What replicas say to each other, and how it looks on the wire: MessagePack arrays with the kind first.

Every message carries the sender's term at the moment it was queued. Decoding checks kind, number, type and range of
all known fields; what does not fit raises `MalformedMessage`, and the link it came from is dropped. Nothing is ever
unpickled.
"""

from typing import Annotated

import msgspec

from engine.rules import OLDEST_RULES_VERSION
from replication.membership import Incarnation, Membership
from replication.snapshots import SnapshotMeta

Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Digest = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class MalformedMessage(Exception):
    """Bytes that are not a message of ours; the link they came from cannot be trusted any further."""


class _Message(msgspec.Struct, frozen=True, array_like=True):
    """Fields are written in order, so their order is part of the protocol.

    A later build may say more behind them: that is not read (`replication.handshake`). New fields have defaults, which
    hold where an earlier build says less.
    """

    term: Count


class AppendEntries(_Message, frozen=True, array_like=True, tag=1):
    """Leader: here are the entries after (prev_index, prev_term); without entries it is a heartbeat.

    Entry k of `entries` is (term, command) at log index `prev_index + 1 + k`. The answer repeats `read_round` (see
    `replication.read_index`).
    """

    commit_index: Count
    prev_index: Count
    prev_term: Count
    entries: list[tuple[Count, bytes]]
    read_round: Count = 0


class NextIndex(_Message, frozen=True, array_like=True, tag=2):
    """Follower's answer to append_entries and snapshots (pysyncobj calls it next_node_idx).

    `success`: my log equals yours before `next_index`, and it is on my disk. `reset`: I do not have your entry at
    `prev_index`; try from `next_index`. Neither: I am here, and this is my term. `read_round` is that of the
    append_entries which this answers, or 0.
    """

    next_index: Count
    prev_index: Count
    success: bool
    reset: bool
    read_round: Count = 0


class RequestVote(_Message, frozen=True, array_like=True, tag=3):
    """Candidate: vote for me in this term; my log ends like this.

    It asks one life of a node: who is another, its disk having been wiped, cannot know what that one promised.
    """

    last_log_index: Count
    last_log_term: Count
    voter: Incarnation


class ResponseVote(_Message, frozen=True, array_like=True, tag=4):
    """I voted for you in this term. There is no message for a refusal."""


class TimeoutNow(_Message, frozen=True, array_like=True, tag=5):
    """Leader: start an election at once, you are to take over."""


class SnapshotChunk(_Message, frozen=True, array_like=True, tag=6):
    """Leader: chunk number `number` of the snapshot `meta`, which replaces log entries that I no longer have."""

    meta: SnapshotMeta
    number: Count
    data: bytes


class SnapshotProgress(_Message, frozen=True, array_like=True, tag=7):
    """Follower: of the snapshot at `log_index` I want chunk `next_number` next."""

    log_index: Count
    next_number: Count


class Checkpoint(_Message, frozen=True, array_like=True, tag=8):
    """I applied everything up to `log_index`; my commands ended at `sequence` with this hash chain."""

    log_index: Count
    sequence: Count
    chain: Digest


class RequestPreVote(_Message, frozen=True, array_like=True, tag=9):
    """I lost my patience with the leader of `term`: would you vote for me in the next? My log ends like this.

    `voter` is as in a request for votes.
    """

    last_log_index: Count
    last_log_term: Count
    voter: Incarnation


class ResponsePreVote(_Message, frozen=True, array_like=True, tag=10):
    """I would have voted for you when you asked in term `asked_in_term`. There is no message for a refusal."""

    asked_in_term: Count


class Hello(_Message, frozen=True, array_like=True, tag=11):
    """The first message on every link: which life of this node speaks, and where it can be reached.

    `founders` are those who found the cluster if it is new, as its configuration says; empty unless it is fresh: it
    knows of no membership, has no log, and never voted. `had_data`: its folder has what an earlier life left, so the
    cluster is not new. `is_member`: the membership that it knows has it. `newest_rules_version` is up to where the code
    of its `build` knows the rules (`engine.rules`).
    """

    incarnation: Incarnation
    founders: tuple[str, ...]
    had_data: bool
    is_member: bool
    peer: str
    door: str
    newest_rules_version: Count = OLDEST_RULES_VERSION
    build: str = ""

    @property
    def fresh(self) -> bool:
        """Whether it knows of no membership."""
        return bool(self.founders)


class Foundation(_Message, frozen=True, array_like=True, tag=12):
    """To one that is fresh: the membership with which the log of this cluster begins."""

    membership: Membership


class Removed(_Message, frozen=True, array_like=True, tag=13):
    """Leader, to one that is no member: that life of that node was removed, and the log says so at `log_index`."""

    incarnation: Incarnation
    log_index: Count


Message = (
    AppendEntries
    | NextIndex
    | RequestVote
    | ResponseVote
    | TimeoutNow
    | SnapshotChunk
    | SnapshotProgress
    | Checkpoint
    | RequestPreVote
    | ResponsePreVote
    | Hello
    | Foundation
    | Removed
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    """One message as the payload of one frame."""
    return _encoder.encode(message)


def decode(payload: bytes) -> Message:
    """The message in one frame; MalformedMessage if it is none."""
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedMessage(f"{len(payload)} bytes that are no message: {error}") from error
