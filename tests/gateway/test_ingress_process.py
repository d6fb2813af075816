"""The loop between Kafka and the exchange, against topics in memory that fail; tests/kafka has a real broker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from kafka.errors import KafkaError, KafkaTimeoutError

from gateway import ingress_process
from gateway.ingress import Record, Refusal
from gateway.ingress_process import consume
from tests.gateway.live_gateway import Market, expect
from tests.gateway.test_ingress import Lane, open_ids, order


class MemoryTopics:
    """All connections share what was finished. The next calls fail with what stands in ``faults``."""

    def __init__(self, records: list[Record]) -> None:
        self.records = records
        self.finished = 0
        self.refused: list[Refusal] = []
        self.faults: dict[str, list[KafkaError]] = {}
        self.opened = 0
        self.closed = 0
        self.at_finish = threading.Event()
        self.may_finish = threading.Event()
        self.may_finish.set()
        self._taken = 0

    def open(self) -> MemoryTopics:
        self._fail("open")
        self.opened += 1
        self._taken = self.finished
        return self

    def poll(self) -> list[Record]:
        self._fail("poll")
        found = self.records[self._taken :]
        self._taken = len(self.records)
        return found

    def finish(self, refused: Sequence[Refusal]) -> None:
        self.at_finish.set()
        assert self.may_finish.wait(10)
        self._fail("finish")
        self.refused += refused
        self.finished = self._taken

    def close(self) -> None:
        self.closed += 1

    def _fail(self, name: str) -> None:
        if self.faults.get(name):
            raise self.faults[name].pop(0)


@pytest.fixture(scope="module")
def lane(exchange: Market) -> Iterator[Lane]:
    lane = Lane(exchange)
    yield lane
    lane.close()


@pytest.fixture(autouse=True)
def _clean_book(exchange: Market, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ingress_process, "RETRY_PAUSE_S", 0.01)
    yield
    expect(200, exchange.ana("DELETE", "/v1/orders"))


def consume_until(lane: Lane, topics: MemoryTopics, condition: Any) -> None:
    async def run() -> None:
        task = asyncio.create_task(consume(topics.open, lane.ingress))
        for _ in range(1_000):
            if condition() or task.done():
                break
            await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled(), task.exception()

    lane.market.gateway.run(run())
    assert condition()


def test_messages_are_executed_and_then_finished(lane: Lane, exchange: Market) -> None:
    records: list[Record] = [lane.message(exchange.ana, "POST", "/v1/orders", order(f"p-{n}")) for n in range(5)]
    topics = MemoryTopics([*records, lane.message(exchange.ana, "POST", "/v1/orders", order("p-5") | {"price": "x"})])
    consume_until(lane, topics, lambda: topics.finished == 6)
    assert open_ids(exchange.ana) == [f"p-{n}" for n in range(5)]
    assert len(topics.refused) == 1
    assert topics.closed == topics.opened == 1


def test_nothing_is_finished_before_it_was_executed(lane: Lane, exchange: Market) -> None:
    topics = MemoryTopics([lane.message(exchange.ana, "POST", "/v1/orders", order("q-1"))])
    topics.may_finish.clear()
    threading.Timer(0.5, topics.may_finish.set).start()
    consume_until(lane, topics, topics.at_finish.is_set)
    assert open_ids(exchange.ana) == ["q-1"]


def test_killed_before_the_end_it_takes_the_same_messages_again_and_executes_none_twice(
    lane: Lane, exchange: Market
) -> None:
    sell: list[Record] = [lane.message(exchange.ana, "POST", "/v1/orders", order(f"r-{n}")) for n in range(5)]
    topics = MemoryTopics(sell)
    topics.faults["finish"] = [KafkaTimeoutError("the broker is gone")] * 2
    consume_until(lane, topics, lambda: topics.finished == 5)
    assert topics.opened == 3
    assert open_ids(exchange.ana) == [f"r-{n}" for n in range(5)]
    assert not topics.refused


@pytest.mark.parametrize("where", ["open", "poll"])
def test_kafka_that_is_away_is_waited_for_and_said_once(
    lane: Lane, exchange: Market, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    topics = MemoryTopics([lane.message(exchange.ana, "POST", "/v1/orders", order(f"s-{where}"))])
    topics.faults[where] = [KafkaTimeoutError("nobody answers")] * 3
    caplog.set_level("INFO")
    consume_until(lane, topics, lambda: topics.finished == 1)
    said = [one.message for one in caplog.records if one.name == "gateway.ingress_process"]
    assert [one.split(" since ")[0].split(",")[0] for one in said] == ["no commands are taken", "taking commands again"]
    assert open_ids(exchange.ana) == [f"s-{where}"]
