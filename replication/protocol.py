"""The door between gateways and a replica: bytes in, messages out, no I/O.

Both ends first authenticate each other (``replication.handshake``), then exchange frames of
``u8 kind, body``. A frame of commands or results carries many records, so that one system call serves
many orders::

    gateway                                            replica
    SUBMIT   (u32 correlation, command record)*   -->
    QUERY    {correlation, name, arguments,
              min_sequence | None, wait_ms}       -->
                                                  <--  STATUS   {node, serving, leader, term, sequence, compiled,
                                                                 fsyncs, public_key}
                                                  <--  RESULT   (u32 correlation, u8 outcome, u64 sequence,
                                                                 i64 timestamp_ns, u32 length, event records)*
                                                  <--  ANSWER   {correlation, sequence, value | error}

A STATUS is sent on connection, at each change of role or leader, and once a second. Commands
reach the log in the order in which they were submitted on a link. How new an answer is: ``replication.read_desk``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Any, Final

import msgspec

from engine import codec
from engine.rules import OLDEST_RULES_VERSION

SUBMIT: Final = 1
RESULT: Final = 2
QUERY: Final = 3
ANSWER: Final = 4
STATUS: Final = 5

FRAME_BYTES_MAX: Final = 16 * 1024 * 1024

# Outcomes of a submitted command.
COMMITTED: Final = 0  # in the log, durable on a majority, applied; its events follow
FAILED: Final = 1  # certainly not in the log and never will be: safe to send elsewhere
UNKNOWN: Final = 2  # may or may not happen: only a retry with the same id finds out
MALFORMED: Final = 3  # the replica's door could not read the record: certainly did not happen

READER_QUESTIONS: Final = frozenset(("entries", "status"))
"""All that a reader's certificate may ask; it may send no commands."""

# Why a replica does not answer a question (``Answer.error``). Another one may.
NOT_LEADING: Final = "not leading"
CUT_OFF: Final = "cut off from the others"
TOO_OLD: Final = "too old"
TOO_MANY_READS: Final = "too many reads wait"

_CORRELATION: Final = Struct("<I")
_RESULT: Final = Struct("<IBQqI")


class ProtocolError(ValueError):
    """The peer sent something that is not a message. The link is closed."""


class Status(msgspec.Struct, frozen=True):
    """``serving``: this replica leads and has applied everything of earlier terms. ``leader`` may be unknown ("").

    ``compiled`` is the form of its engine; ``fsyncs``: what it acknowledges is on its disk; ``public_key`` (hex) is
    what its receipts are checked with. ``doors`` are the (host, port) of all members' doors, by node. ``voter``: it
    votes and counts, as far as it knows. ``rules_version`` is in force as far as it has applied the log, and
    ``newest_rules_version`` the newest that its build knows (``engine.rules``). ``archive_missing`` is how many
    commands its archive lacks, ``archive_damaged_files`` how many segments of it were ever set aside as damaged,
    when it last looked.
    """

    node: str
    serving: bool
    leader: str
    term: int
    sequence: int
    compiled: bool = False
    fsyncs: bool = True
    public_key: str = ""
    doors: dict[str, tuple[str, int]] = {}
    voter: bool = True
    rules_version: int = OLDEST_RULES_VERSION
    newest_rules_version: int = OLDEST_RULES_VERSION
    archive_missing: int = 0
    archive_damaged_files: int = 0


class Query(msgspec.Struct, frozen=True):
    """``name`` is one of the table in ``replication.reads``, or ``status``, ``state_hash`` or ``entries``, which every
    replica answers about itself at once, or one of ``replication.member_desk``. ``min_sequence`` None asks for the
    newest state, which only a leader has; with one, ``entries`` waits for it like the others.
    """

    correlation: int
    name: str
    arguments: dict[str, Any]
    min_sequence: int | None = None
    wait_ms: int = 0


class Answer(msgspec.Struct, frozen=True):
    """``sequence`` is the last command that the value reflects. ``error`` is "" or says why there is no value: one of
    the names above, or a sentence about a question that cannot be answered.
    """

    correlation: int
    sequence: int
    value: Any
    error: str = ""


class Result(msgspec.Struct, frozen=True):
    """``sequence`` and ``timestamp_ns`` are 0 unless the outcome is COMMITTED."""

    correlation: int
    outcome: int
    sequence: int
    timestamp_ns: int
    events: bytes


_pack = msgspec.msgpack.Encoder().encode
_unpack_status = msgspec.msgpack.Decoder(Status).decode
_unpack_query = msgspec.msgpack.Decoder(Query).decode
_unpack_answer = msgspec.msgpack.Decoder(Answer).decode


def encode_submit(commands: Iterable[tuple[int, bytes]]) -> bytes:
    """``commands`` are (correlation, command record) in the order in which they are to reach the log."""
    parts = [bytes((SUBMIT,))]
    for correlation, command in commands:
        parts.append(_CORRELATION.pack(correlation))
        parts.append(command)
    return b"".join(parts)


def decode_submit(frame: bytes) -> Iterator[tuple[int, bytes]]:
    position = 1
    while position < len(frame):
        start = position + _CORRELATION.size
        if len(frame) < start + codec.COMMAND_HEADER.size:
            raise ProtocolError("a submitted command is cut short")
        end = start + codec.COMMAND_HEADER.unpack_from(frame, start)[1]
        if end > len(frame) or end < start + codec.COMMAND_HEADER.size:
            raise ProtocolError("a submitted command is cut short")
        yield _CORRELATION.unpack_from(frame, position)[0], frame[start:end]
        position = end


def encode_results(results: Iterable[Result]) -> bytes:
    parts = [bytes((RESULT,))]
    for result in results:
        parts.append(
            _RESULT.pack(result.correlation, result.outcome, result.sequence, result.timestamp_ns, len(result.events))
        )
        parts.append(result.events)
    return b"".join(parts)


def decode_results(frame: bytes) -> Iterator[Result]:
    position = 1
    while position < len(frame):
        if len(frame) < position + _RESULT.size:
            raise ProtocolError("a result is cut short")
        correlation, outcome, sequence, timestamp_ns, length = _RESULT.unpack_from(frame, position)
        position += _RESULT.size + length
        if position > len(frame):
            raise ProtocolError("a result is cut short")
        yield Result(correlation, outcome, sequence, timestamp_ns, frame[position - length : position])


def encode_message(message: Status | Query | Answer) -> bytes:
    kind = STATUS if isinstance(message, Status) else QUERY if isinstance(message, Query) else ANSWER
    return bytes((kind,)) + _pack(message)


def decode_message(frame: bytes) -> Status | Query | Answer:
    """Read a STATUS, QUERY or ANSWER frame. ProtocolError for anything else."""
    kind, body = frame[:1], frame[1:]
    try:
        if kind == bytes((STATUS,)):
            return _unpack_status(body)
        if kind == bytes((QUERY,)):
            return _unpack_query(body)
        if kind == bytes((ANSWER,)):
            return _unpack_answer(body)
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"not a message: {error}") from None
    raise ProtocolError(f"unknown kind of frame {kind!r}")
