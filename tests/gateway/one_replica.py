"""A group of doors with one real engine behind them, without Raft: what a gateway needs to be tested against.

The certificates, the handshake, the protocol, the state machine and the questions that it answers are the product's.
All doors share one machine, as replicas share one log; one of them leads. ``faults`` says what happens to the next
SUBMIT frames: the link is lost before or after the commands are applied, and so on, each time with another leader
afterwards.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Mapping
from itertools import islice
from struct import Struct
from types import MappingProxyType
from typing import cast

from engine.codec import decode_events, encode_command
from engine.commands import Tick
from engine.entry import BY_TIME, GENESIS_CHAIN, Entry
from engine.events import TradeExecuted
from engine.machine import Machine
from engine.snapshot import state_hash
from engine.types import EXCHANGE_ACCOUNT, NS_PER_S
from replication import reads
from replication.archive_reader import FoundEntry
from replication.handshake import check_hello, hello
from replication.protocol import (
    COMMITTED,
    CUT_OFF,
    FAILED,
    NOT_LEADING,
    SUBMIT,
    TOO_OLD,
    UNKNOWN,
    Answer,
    Query,
    Result,
    Status,
    decode_message,
    decode_submit,
    encode_message,
    encode_results,
)
from replication.receipt_desk import NOT_ARCHIVED, ReceiptDesk
from replication.replica import PrintedTrade, Replica
from replication.signing_key import SigningKey
from replication.tls import LinkCredentials
from tests.replication.link_certificates import CLUSTER_ID, node

SIGNING_KEYS = {f"node-{number}": SigningKey(bytes((number,)) * 32) for number in (1, 2, 3)}
_LENGTH = Struct("<I")

# What may happen to a SUBMIT frame.
LOSE_BEFORE = "the link is lost before the commands are applied"
LOSE_AFTER = "the link is lost after the commands are applied, before the results are sent"
LOSE_HALFWAY = "the link is lost after the first half of the commands is applied"
FAIL = "the replica does not lead any more"
UNKNOWN_BEFORE = "the replica says unknown, and the commands are not applied"
UNKNOWN_AFTER = "the replica says unknown, and the commands are applied"
FREEZE_AFTER = "the replica says nothing any more after it applied the commands, and its link stays"
REFUSE = "the replica cannot take it now, but goes on to lead"
SWALLOW = "nothing happens and nobody says anything"


class DoorLink(asyncio.Protocol):
    """One gateway's link to a door."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.frozen = False
        self._buffer = b""
        self.ready = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.door.links.append(self)
        self.send(hello(CLUSTER_ID))

    def connection_lost(self, exc: Exception | None) -> None:
        self.door.links.remove(self)

    def send(self, frame: bytes) -> None:
        if not self.frozen:
            self.transport.write(_LENGTH.pack(len(frame)) + frame)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._buffer)[0]
            if len(self._buffer) < end:
                break
            frame, self._buffer = self._buffer[_LENGTH.size : end], self._buffer[end:]
            self._receive(frame)

    def _receive(self, frame: bytes) -> None:
        if not self.ready:
            check_hello(frame, CLUSTER_ID)
            self.ready = True
            self.send(encode_message(self.door.status()))
        elif frame[0] == SUBMIT:
            self.door.group.submitted(self, list(decode_submit(frame)))
        else:
            query = decode_message(frame)
            assert isinstance(query, Query)
            self.door.group.asked(self, query)


class Door:
    """Where gateways reach one replica."""

    def __init__(self, group: OneReplicaGroup, node_id: str, credentials: LinkCredentials) -> None:
        self.group = group
        self.node_id = node_id
        self.credentials = credentials
        self.links: list[DoorLink] = []
        self.address = ("127.0.0.1", 0)

    def status(self) -> Status:
        group = self.group
        serving = group.leader == self.node_id
        compiled = self.node_id == "node-1"  # as where only one machine has a compiler
        fsyncs = self.node_id == "node-2"
        key = SIGNING_KEYS[self.node_id].public_key.hex()
        return Status(
            node=self.node_id,
            serving=serving,
            leader=group.leader,
            term=group.term,
            sequence=group.machine.sequence,
            compiled=compiled,
            fsyncs=fsyncs,
            public_key=key,
            doors=group.members,
            rules_version=group.machine.rules.version,
            newest_rules_version=group.machine.rules.newest_known,
            archive_missing=0 if fsyncs else 7,
            archive_damaged_files=0 if fsyncs else 1,
        )

    async def open(self) -> None:
        context = self.credentials.server_context
        self._server = await asyncio.get_running_loop().create_server(
            lambda: DoorLink(self), *self.address, ssl=context
        )
        self.address = self._server.sockets[0].getsockname()[:2]

    def close(self) -> None:
        self._server.close()
        for link in list(self.links):
            link.transport.abort()


class OneReplicaGroup:
    """``leader`` is a node id, or "" while nobody leads. ``shown`` is what nodes show instead of their certificates."""

    def __init__(
        self,
        node_ids: tuple[str, ...] = ("node-1", "node-2"),
        shown: Mapping[str, LinkCredentials] = MappingProxyType({}),
    ) -> None:
        self.machine = Machine()
        self.term = 1
        self.leader = node_ids[0]
        self.faults: deque[str] = deque()
        self.frames: list[list[bytes]] = []
        self.clock_offset_ns = 0
        self.cut_off: set[str] = set()
        self.lag: dict[str, int] = {}
        self.answered_by: Counter[str] = Counter()
        self.entries: list[Entry] = []
        self.without_archive: set[str] = set()
        self.searches_left = 0
        self.entry_bytes_max = 1 << 20
        self._tapes: dict[int, list[PrintedTrade]] = {}
        self.members: dict[str, tuple[str, int]] = {}  # as the statuses name them
        self.doors = {node_id: Door(self, node_id, shown.get(node_id) or node(node_id)) for node_id in node_ids}

    async def open(self) -> None:
        for door in self.doors.values():
            await door.open()
        self._heartbeat = asyncio.get_running_loop().create_task(self._beat())

    def close(self) -> None:
        self._heartbeat.cancel()
        for door in self.doors.values():
            door.close()

    def elect(self, node_id: str) -> None:
        """Another leader, in a new term; "" for nobody."""
        self.leader = node_id
        self.term += 1 if node_id else 0
        for link in self.doors[node_id].links if node_id else ():
            if link.frozen:
                link.transport.abort()
        self._tell_status()

    def elect_another(self) -> None:
        self.elect(next(node_id for node_id in self.doors if node_id != self.leader))

    def submitted(self, link: DoorLink, commands: list[tuple[int, bytes]]) -> None:
        self.frames.append([command for _, command in commands])
        if self.leader != link.door.node_id:
            link.send(encode_results(Result(correlation, FAILED, 0, 0, b"") for correlation, _ in commands))
            return
        fault = self.faults.popleft() if self.faults else ""
        if fault == LOSE_HALFWAY:
            self._apply(commands[: (len(commands) + 1) // 2])
        applied = fault in ("", LOSE_AFTER, UNKNOWN_AFTER, FREEZE_AFTER)
        results = self._apply(commands) if applied else []
        if fault in (LOSE_BEFORE, LOSE_AFTER, LOSE_HALFWAY):
            link.transport.abort()
        elif fault in (FAIL, REFUSE):
            link.send(encode_results(Result(correlation, FAILED, 0, 0, b"") for correlation, _ in commands))
        elif fault in (UNKNOWN_BEFORE, UNKNOWN_AFTER):
            link.send(encode_results(Result(correlation, UNKNOWN, 0, 0, b"") for correlation, _ in commands))
        elif fault == FREEZE_AFTER:
            link.frozen = True
        elif fault != SWALLOW:
            link.send(encode_results(results))
        if fault not in ("", REFUSE, SWALLOW):
            self.elect_another()

    def asked(self, link: DoorLink, query: Query) -> None:
        """Answer as a replica does: the leader anything, the others what says how new is enough."""
        node_id, loop = link.door.node_id, asyncio.get_running_loop()
        refusal = ""
        if query.name not in ("state_hash", "status"):
            if query.min_sequence is None:
                refusal = "" if node_id == self.leader else NOT_LEADING
            elif node_id in self.cut_off:
                refusal = CUT_OFF
            elif self.applied(node_id) < query.min_sequence:
                refusal = TOO_OLD
        if refusal == TOO_OLD and query.wait_ms > 0:
            later = Query(query.correlation, query.name, query.arguments, query.min_sequence, query.wait_ms - 10)
            loop.call_later(0.01, self.asked, link, later)
            return
        if refusal:
            link.send(encode_message(Answer(query.correlation, self.applied(node_id), None, refusal)))
            return
        self.answered_by[node_id] += 1
        link.send(encode_message(self.answer(node_id, query)))

    def applied(self, node_id: str) -> int:
        """How far a replica is, as far as it admits."""
        return self.machine.sequence - self.lag.get(node_id, 0)

    def answer(self, node_id: str, query: Query) -> Answer:
        if query.name == "state_hash":
            value = {"chain": self.machine.chain.hex(), "state_hash": state_hash(self.machine).hex()}
            return Answer(query.correlation, self.machine.sequence, value)
        if query.name == "status":
            return Answer(query.correlation, self.machine.sequence, {"node": self.leader, "transfers_stuck": 0})
        questions = {**reads.QUESTIONS, "receipt": self.receipt(node_id)}
        # This group is all that the questions need of a replica: its machine, its trades and its entries.
        answer = reads.answer(cast(Replica, self), query.name, query.arguments, questions)
        assert not answer.error, (query.name, answer.error)
        return Answer(query.correlation, answer.sequence, answer.value)

    def find_entry(self, sequence: int) -> FoundEntry | None:
        if self.searches_left:
            self.searches_left -= 1
            return None
        chain = GENESIS_CHAIN
        for entry in self.entries:
            if entry.last_sequence >= sequence:
                is_too_large = len(entry.commands) + len(entry.events) > self.entry_bytes_max
                return FoundEntry(None, is_too_large=True) if is_too_large else FoundEntry(entry, chain)
            chain = entry.chain
        raise AssertionError(sequence)

    def receipt(self, node_id: str) -> reads.Question:
        desk = ReceiptDesk(
            cast(Replica, self),
            SIGNING_KEYS[node_id],
            cluster_id=CLUSTER_ID,
            group="main",
            node=node_id,
            now_ns=time.time_ns,
        )
        return lambda replica, sequence, for_operator: (
            {"status": NOT_ARCHIVED}
            if node_id in self.without_archive
            else desk.receipt(replica, sequence, for_operator)
        )

    def trades(self, market_id: int, limit: int) -> list[PrintedTrade]:
        return list(islice(reversed(self._tapes.get(market_id, [])), limit))

    def move_clock(self, seconds: float) -> None:
        """Move the log's clock on for good, by less than what a signature lives."""
        self.clock_offset_ns += int(seconds * NS_PER_S)

    def pass_time(self, seconds: float) -> None:
        """Move the log's clock on, and let happen what is due, as a leader does when nobody asks anything."""
        self.move_clock(seconds)
        now_ns = time.time_ns() + self.clock_offset_ns
        applied = self.machine.apply(now_ns, encode_command(Tick(EXCHANGE_ACCOUNT, now_ns)))
        self._keep(applied.entry)

    def _apply(self, commands: list[tuple[int, bytes]]) -> list[Result]:
        now_ns = time.time_ns() + self.clock_offset_ns
        entry, start, event_ends = self.machine.apply(now_ns, b"".join(command for _, command in commands))
        self._keep(entry)
        results = []
        for offset, ((correlation, _), end) in enumerate(zip(commands, event_ends, strict=True)):
            sequence = entry.first_sequence + offset
            results.append(Result(correlation, COMMITTED, sequence, entry.timestamp_ns, entry.events[start:end]))
            start = end
        return results

    def _keep(self, entry: Entry) -> None:
        self.entries.append(entry)
        self._print_trades(entry)

    def _print_trades(self, entry: Entry) -> None:
        for offset, event in decode_events(entry.events):
            if isinstance(event, TradeExecuted):
                sequence = entry.first_sequence + (0 if offset == BY_TIME else offset)
                printed = (event.trade_id, event.price_ticks, event.quantity_lots, event.taker_side)
                tape = self._tapes.setdefault(event.market_id, [])
                tape.append(PrintedTrade(*printed, sequence, entry.timestamp_ns))

    def _tell_status(self) -> None:
        for door in self.doors.values():
            for link in door.links:
                if link.ready:
                    link.send(encode_message(door.status()))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self._tell_status()
