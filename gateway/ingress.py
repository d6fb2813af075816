"""``tally ingress``: executes signed commands that come from Kafka, each once, through the routes of the HTTP API.

It is a gateway without HTTP: the same routes, the same way to the leader, the same resends (``gateway.edge``), called
in this process. What a message is and when it is done: ``gateway.kafka_commands``.

A stretch of messages is taken; those of one key are executed one after the other, in their order, and those of
different keys side by side. Then what was refused is published, and only then is the stretch committed to Kafka: who is
killed before takes it again, and the exchange recognises the ids. A command whose outcome is not known is sent again
until it is. A message that can never be executed is refused by name and blocks nobody.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge
from starlette.types import ASGIApp, Message

from gateway.edge import Edge
from gateway.errors import ApiError, Internal
from gateway.kafka_commands import (
    Answer,
    KafkaCommand,
    read_command,
    refusal_headers,
    vouched_headers,
)

RETRY_PAUSE_S_MIN: Final = 0.05
RETRY_PAUSE_S_MAX: Final = 2.0
FAULTS_MAX: Final = 5  # a fault of ours that comes again and again must not block the topic for ever
REMIND_EVERY_S: Final = 30.0

logger = logging.getLogger(__name__)


class Record(Protocol):
    """What is used of a record of kafka-python."""

    topic: str
    partition: int
    offset: int
    value: bytes | None
    headers: list[tuple[str, bytes]]


class Refusal(NamedTuple):
    """A message that was not executed, or not as a whole, for the topic of refusals."""

    topic: str
    value: bytes | None
    headers: list[tuple[str, bytes]]


class IngressMetrics:
    """In the registry of the edge's metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.commands = Counter(
            "tally_ingress_commands", "Messages that are done, by what became of them.", ["outcome"], registry=registry
        )
        self.refusals = Counter("tally_ingress_refusals", "Messages refused, by code.", ["code"], registry=registry)
        self.behind_messages = Gauge(
            "tally_ingress_behind_messages",
            "Messages that are not taken yet, as of some seconds ago.",
            registry=registry,
        )
        self.retries = Counter(
            "tally_ingress_retries", "Commands sent again because their outcome was unknown.", registry=registry
        )
        self.waiting_since_s = Gauge(
            "tally_ingress_waiting_since_timestamp_seconds",
            "Since when a command waits for its outcome; 0 while none does.",
            registry=registry,
        )


class Ingress:
    """Executes stretches of messages. ``age_s_max`` is how old a signature may be when its message is taken."""

    def __init__(self, app: ASGIApp, edge: Edge, metrics: IngressMetrics, *, age_s_max: int) -> None:
        self._app = app
        self._edge = edge
        self._metrics = metrics
        self._age_s_max = age_s_max
        self._remind_at_s = 0.0

    async def execute(self, records: Iterable[Record]) -> list[Refusal]:
        """Execute a stretch, until every outcome is known. Answers what was refused, in no particular order.

        SealError if the master key is not the one under which the author's secret was sealed.
        """
        by_key: dict[bytes, list[Record]] = {}
        for record in records:
            key = next((value for name, value in record.headers if name.lower() == "x-tally-key"), b"")
            by_key.setdefault(key, []).append(record)
        refused = await asyncio.gather(*(self._execute_in_order(those) for those in by_key.values()))
        self._metrics.waiting_since_s.set(0)
        return [refusal for some in refused for refusal in some]

    async def _execute_in_order(self, records: list[Record]) -> list[Refusal]:
        refused = []
        for record in records:
            answer = await self._outcome(record)
            self._metrics.commands.labels("refused" if answer.is_refusal else "executed").inc()
            if answer.is_refusal:
                source = f"{record.topic}:{record.partition}:{record.offset}"
                logger.info("%s: %s", source, answer.code)
                self._metrics.refusals.labels(answer.code).inc()
                headers = refusal_headers(record.headers, answer, source)
                refused.append(Refusal(record.topic, record.value, headers))
        return refused

    async def _outcome(self, record: Record) -> Answer:
        try:
            command = read_command(record.headers, record.value, time.time_ns(), self._age_s_max)
        except ApiError as error:
            return Answer(error.status, error.body())
        pause_s, faults = RETRY_PAUSE_S_MIN, 0
        while True:
            answer = await self._submit(command)
            faults += answer.status == Internal.status
            if answer.is_settled or faults >= FAULTS_MAX:
                return answer
            self._metrics.retries.inc()
            self._say_that_it_waits(record, answer)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_PAUSE_S_MAX)

    async def _submit(self, command: KafkaCommand) -> Answer:
        """Send it once, signed anew."""
        now_ns = time.time_ns()
        try:
            caller = await self._edge.keys.find(command.signed.key_id, now_ns)
            headers = vouched_headers(command, caller, now_ns)
        except ApiError as error:
            return Answer(error.status, error.body())
        return await call(self._app, command.scope(headers), command.body)

    def _say_that_it_waits(self, record: Record, answer: Answer) -> None:
        now_s = time.time()
        if now_s >= self._remind_at_s:
            self._remind_at_s = now_s + REMIND_EVERY_S
            where = f"{record.topic}:{record.partition}:{record.offset}"
            logger.warning("the command at %s waits for its outcome: %d %s", where, answer.status, answer.code)
            self._metrics.waiting_since_s.set(now_s)


async def call(app: ASGIApp, scope: Mapping[str, Any], body: bytes) -> Answer:
    """One request to an ASGI application in this process."""
    status = 500
    content = bytearray()

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            content.extend(message.get("body", b""))

    await app(dict(scope), receive, send)
    document = orjson.loads(bytes(content))
    assert isinstance(document, dict), document
    return Answer(status, document)
