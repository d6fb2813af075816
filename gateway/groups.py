"""The gateway's view of a group of replicas: keeps the links, follows the leader, carries commands and queries.

Which replica leads: of those that say they serve, the one with the highest term, and only if no leader of a higher
one was ever heard of. A frozen or cut-off old leader is left behind that way; its late results are still understood.

Commands wait in ``gateway.submissions``, which knows what to send again. What is submitted within one turn of the
event loop leaves in one frame; the only delay on the way is the leader's group commit.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import ssl
from collections.abc import Coroutine, Iterable
from typing import Any, Final

from engine.codec import RECORD_LENGTH_MAX
from gateway.errors import ApiError, NoLeader, Overloaded
from gateway.fresh_reads import FreshReads, Links
from gateway.freshness import AtLeast
from gateway.metrics import GroupMetrics
from gateway.outcomes import Outcome
from gateway.replica_link import ReplicaLink
from gateway.submissions import OnOutcome, Submissions
from replication.protocol import (
    FRAME_BYTES_MAX,
    NOT_LEADING,
    RESULT,
    Answer,
    ProtocolError,
    Query,
    Status,
    decode_message,
    decode_results,
    encode_message,
    encode_submit,
)
from replication.refusals import Refusals
from replication.tls import LinkCredentials, refusal_reason

_SWEEP: Final = ""  # its task has no node's name
_SWEEP_INTERVAL_S: Final = 0.1
_SILENCE_S_MAX: Final = 3.0
_CONNECT_TIMEOUT_S: Final = 2.0
_RECONNECT_PAUSES_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
_REFUSAL_PAUSE_S: Final = 0.02
_QUERY_TIMEOUT_S: Final = 3.0
_QUERY_PAUSE_S: Final = 0.05
_COMMANDS_PER_FRAME_MAX: Final = FRAME_BYTES_MAX // (2 * RECORD_LENGTH_MAX)
_CORRELATION_MASK: Final = 0xFFFF_FFFF

logger = logging.getLogger(__name__)


class Replica:
    """One configured replica, linked or not, and what it said last."""

    def __init__(self, node_id: str, host: str, port: int) -> None:
        self.node_id = node_id
        self.host = host
        self.port = port
        self.link: ReplicaLink | None = None
        self.was_open = False
        self.lost = asyncio.Event()
        self.status: Status | None = None


class Group:
    """All methods belong to one event loop, between :meth:`start` and :meth:`stop`."""

    def __init__(
        self,
        *,
        doors: dict[str, tuple[str, int]],
        group_id: bytes,
        credentials: LinkCredentials,
        metrics: GroupMetrics,
        request_timeout_ms: int,
    ) -> None:
        """``doors`` are the (host, port) of each node's door, ``group_id`` is what its links begin with.

        The credentials say who this gateway is.
        """
        self.sequence = 0
        self.term = 0
        self.replicas = {node_id: Replica(node_id, host, port) for node_id, (host, port) in doors.items()}
        self.cluster_id = credentials.identity.cluster_id
        self.public_keys: dict[str, str] = {}
        """What the receipts of each node are checked with, in hexadecimal, as it said last."""
        self._group_id = group_id
        self._credentials = credentials
        self._metrics = metrics
        self._request_timeout_s = request_timeout_ms / 1_000
        self._leader: ReplicaLink | None = None
        self._leader_found = asyncio.Event()
        self._correlations = itertools.count(1)
        self._submissions = Submissions(metrics)
        self._flush_scheduled = False
        self._paused_until_s = 0.0
        self._fresh_reads = FreshReads(self._open_links, self._ask_link)
        self._queries: dict[int, tuple[ReplicaLink, asyncio.Future[Answer | None]]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def leader(self) -> ReplicaLink | None:
        return self._leader

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._refusals = Refusals(self._loop.time)
        for replica in self.replicas.values():
            self._start_task(replica.node_id, self._keep_linked(replica))
        self._start_task(_SWEEP, self._sweep())

    async def stop(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for replica in self.replicas.values():
            if replica.link is not None:
                replica.link.abort()

    def submit(self, command: bytes, on_outcome: OnOutcome) -> None:
        """Send one command record to the leader, now or as soon as there is one; ``on_outcome`` is called once, later.

        Commands submitted one after the other reach the log in that order. Raises Overloaded if too many wait already.
        """
        correlation = next(self._correlations) & _CORRELATION_MASK
        self._submissions.add(correlation, command, on_outcome, self._loop.time() + self._request_timeout_s)
        self._schedule_flush()

    async def execute(self, commands: Iterable[bytes]) -> list[Outcome | ApiError]:
        """Submit commands in one go and wait until each has an outcome."""
        futures = []
        for command in commands:
            future: asyncio.Future[Outcome | ApiError] = self._loop.create_future()
            futures.append(future)
            try:
                self.submit(command, _resolver(future))
            except Overloaded as error:
                future.set_result(error)
        return await asyncio.gather(*futures)

    async def query(self, name: str, arguments: dict[str, Any]) -> Answer:
        """Ask the leader, whichever it is by then: nobody was told anything before this call that the answer lacks.

        Raises NoLeader if nobody answers in time.
        """
        deadline_s = self._loop.time() + min(_QUERY_TIMEOUT_S, self._request_timeout_s)
        while (remaining_s := deadline_s - self._loop.time()) > 0:
            try:
                await asyncio.wait_for(self._leader_found.wait(), remaining_s)
            except TimeoutError:
                break
            leader = self._leader
            if leader is not None:
                answer = await self._ask_link(leader, name, arguments, deadline_s)
                if answer is not None and not answer.error:
                    return answer
                if answer is not None and answer.error != NOT_LEADING:
                    logger.warning("query %s answered with an error by %s: %s", name, leader.node_id, answer.error)
            await asyncio.sleep(_QUERY_PAUSE_S)
        raise NoLeader

    async def query_any(self, name: str, arguments: dict[str, Any], at_least: AtLeast) -> Answer:
        """Ask any replica that has come far enough (``gateway.fresh_reads``). Raises TooOld or NoLeader."""
        return await self._fresh_reads.ask(name, arguments, at_least)

    async def query_replica(
        self, node_id: str, name: str, arguments: dict[str, Any], *, min_sequence: int | None = None
    ) -> Answer | None:
        """Ask one replica, leader or not: about itself, or about a state that has this sequence.

        None if it does not answer in time, or refuses.
        """
        replica = self.replicas.get(node_id)
        link = None if replica is None else replica.link
        if link is None or not link.open:
            return None
        answer = await self._ask_link(
            link, name, arguments, self._loop.time() + _QUERY_TIMEOUT_S, min_sequence=min_sequence
        )
        return None if answer is None or answer.error else answer

    async def _ask_link(
        self,
        link: ReplicaLink,
        name: str,
        arguments: dict[str, Any],
        deadline_s: float,
        *,
        min_sequence: int | None = None,
        wait_ms: int = 0,
    ) -> Answer | None:
        """What one replica answers, refusals included; None if it does not in time or its link is lost."""
        correlation = next(self._correlations) & _CORRELATION_MASK
        future: asyncio.Future[Answer | None] = self._loop.create_future()
        self._queries[correlation] = (link, future)
        link.send(encode_message(Query(correlation, name, arguments, min_sequence, wait_ms)))
        try:
            answer = await asyncio.wait_for(future, deadline_s - self._loop.time())
        except TimeoutError:
            return None
        finally:
            del self._queries[correlation]
        if answer is not None:
            self._saw_sequence(answer.sequence)
            self._metrics.read_answered(link.node_id, answer.error)
        return answer

    def _open_links(self) -> Links:
        links = [replica.link for replica in self.replicas.values() if replica.link is not None and replica.link.open]
        return Links(self._leader, [link for link in links if link is not self._leader])

    def _schedule_flush(self) -> None:
        """Flush at the end of this turn of the loop, or once the pause after a refusal is over."""
        if self._flush_scheduled:
            return
        self._flush_scheduled = True
        delay_s = self._paused_until_s - self._loop.time()
        if delay_s > 0:
            self._loop.call_later(delay_s, self._flush)
        else:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        if self._leader is None:
            return
        if self._paused_until_s > self._loop.time():
            self._schedule_flush()
            return
        batch = self._submissions.take(self._leader)
        for start in range(0, len(batch), _COMMANDS_PER_FRAME_MAX):
            self._leader.send(encode_submit(batch[start : start + _COMMANDS_PER_FRAME_MAX]))

    def _receive(self, link: ReplicaLink, frame: bytes) -> None:
        if frame[:1] == bytes((RESULT,)):
            for result in decode_results(frame):
                self._saw_sequence(result.sequence)
                if self._submissions.settle(link, result):
                    self._paused_until_s = self._loop.time() + _REFUSAL_PAUSE_S
                    self._schedule_flush()
            return
        message = decode_message(frame)
        if isinstance(message, Answer):
            waiting = self._queries.get(message.correlation)
            if waiting is not None and not waiting[1].done():
                waiting[1].set_result(message)
        elif isinstance(message, Status):
            if link.node_id not in self.replicas:
                return
            self.replicas[link.node_id].status = message
            self.public_keys[link.node_id] = message.public_key
            self._metrics.replica_sequence[link.node_id].set(message.sequence)
            self._metrics.engine_compiled[link.node_id].set(message.compiled)
            self._metrics.fsyncs[link.node_id].set(message.fsyncs)
            self._metrics.archive_missing[link.node_id].set(message.archive_missing)
            self._metrics.archive_damaged_files[link.node_id].set(message.archive_damaged_files)
            self._metrics.voter[link.node_id].set(message.voter)
            self._metrics.rules_version[link.node_id].set(message.rules_version)
            self._metrics.newest_rules_version[link.node_id].set(message.newest_rules_version)
            self._saw_sequence(message.sequence)
            self._choose_leader()
            if link is self._leader:
                self._follow_members(message.doors)
            elif self._leader is None:
                # The leader may be a node that joined a moment ago, and whom only the others have named so far.
                self._link_with({name: door for name, door in message.doors.items() if name not in self.replicas})
        else:
            raise ProtocolError("a replica must not send queries")

    def _follow_members(self, doors: dict[str, tuple[str, int]]) -> None:
        """The leader says who the members are: keep links with these and with nobody else."""
        self._link_with(doors)
        for node_id in (self.replicas.keys() - doors.keys()) if doors else ():
            logger.info("%s is no member any more", node_id)
            replica = self.replicas.pop(node_id)
            self._tasks.pop(node_id).cancel()
            if replica.link is not None:
                replica.link.abort()
            self._metrics.forget(node_id)

    def _link_with(self, doors: dict[str, tuple[str, int]]) -> None:
        for node_id, (host, port) in doors.items():
            replica = self.replicas.get(node_id)
            if replica is None:
                logger.info("%s is a member now", node_id)
                replica = self.replicas[node_id] = Replica(node_id, host, port)
                self._start_task(node_id, self._keep_linked(replica))
            replica.host, replica.port = host, port

    def _start_task(self, name: str, work: Coroutine[None, None, None]) -> None:
        self._tasks[name] = self._loop.create_task(work)
        self._tasks[name].add_done_callback(_report_end)

    def _choose_leader(self) -> None:
        """Follow the serving replica of the highest term, and take along all commands without an outcome."""
        chosen: ReplicaLink | None = None
        for replica in self.replicas.values():
            status = replica.status
            if status is not None and status.serving and status.term >= self.term:
                chosen = replica.link
                self.term = status.term
        self._metrics.term.set(self.term)
        if chosen is self._leader:
            return
        self._leader = chosen
        if chosen is None:
            self._leader_found.clear()
            return
        logger.info("following leader %s of term %d", chosen.node_id, self.term)
        self._metrics.leader_changes.inc()
        self._leader_found.set()
        self._submissions.follow(chosen)
        self._schedule_flush()

    def _saw_sequence(self, sequence: int) -> None:
        if sequence > self.sequence:
            self.sequence = sequence
            self._metrics.sequence.set(sequence)

    async def _keep_linked(self, replica: Replica) -> None:
        """Connect, wait for the end of the link, connect again, for ever."""
        failures = 0
        while True:
            replica.lost.clear()
            try:
                # Not wait_for: where the attempt fails in the moment of the cancellation, it forgets the latter.
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    await self._loop.create_connection(
                        lambda: self._new_link(replica),
                        replica.host,
                        replica.port,
                        ssl=self._credentials.client_context,
                    )
                await replica.lost.wait()
            except ssl.SSLError as error:
                self._refuse(replica, refusal_reason(error))
                replica.link = None
            except OSError:
                replica.link = None
            if replica.was_open:
                failures, replica.was_open = 0, False
            await asyncio.sleep(_RECONNECT_PAUSES_S[failures])
            failures = min(failures + 1, len(_RECONNECT_PAUSES_S) - 1)

    def _new_link(self, replica: Replica) -> ReplicaLink:
        replica.link = ReplicaLink(
            replica.node_id,
            self.cluster_id,
            self._group_id,
            on_open=self._link_open,
            on_frame=self._receive,
            on_lost=self._link_lost,
        )
        return replica.link

    def _link_open(self, link: ReplicaLink) -> None:
        replica = self.replicas.get(link.node_id)
        if replica is None:
            link.abort()
            return
        replica.was_open = True
        self._metrics.link_up[link.node_id].set(1)
        self._metrics.certificate_expiry_s[link.node_id].set(link.certificate_expires_s)

    def _link_lost(self, link: ReplicaLink) -> None:
        """Whether what was sent on the link arrived is unknown from here on."""
        replica = self.replicas.get(link.node_id)
        if replica is not None:
            replica.link = None
            replica.status = None
            if link.refusal:
                self._refuse(replica, link.refusal)
            self._metrics.link_up[link.node_id].set(0)
        for waiting_link, future in self._queries.values():
            if waiting_link is link and not future.done():
                future.set_result(None)
        self._submissions.lose(link)
        self._choose_leader()
        if replica is not None:
            replica.lost.set()

    def _refuse(self, replica: Replica, why: str) -> None:
        self._refusals.warn(f"{replica.node_id} at {replica.host}:{replica.port}", why)

    async def _sweep(self) -> None:
        """Give up on commands whose time is over, and drop links that say nothing."""
        while True:
            await asyncio.sleep(_SWEEP_INTERVAL_S)
            now_s = self._loop.time()
            self._submissions.expire(now_s)
            for replica in list(self.replicas.values()):
                if replica.link is not None and now_s - replica.link.heard_at_s > _SILENCE_S_MAX:
                    replica.link.close("it says nothing")


def _resolver(future: asyncio.Future[Outcome | ApiError]) -> OnOutcome:
    def resolve(outcome: Outcome | ApiError) -> None:
        if not future.done():
            future.set_result(outcome)

    return resolve


def _report_end(task: asyncio.Task[None]) -> None:
    """These tasks end by being cancelled only; anything else is a fault of ours that must not pass in silence."""
    if not task.cancelled():
        logger.critical("a task of the group ended: requests may hang from here on", exc_info=task.exception())
