"""One real broker and one exchange for all tests of this folder, skipped where Java or the jars are not to be had."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from replication.kafka_clients import keep_clients_quiet
from sim.kafka_broker import KafkaBroker, KafkaUnavailable, install_jars
from sim.local_exchange import LocalExchange


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    keep_clients_quiet()
    try:
        install_jars()
    except KafkaUnavailable as error:
        pytest.skip(f"no Kafka broker can be started here: {error}")
    with KafkaBroker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(scope="session")
def exchange(broker: KafkaBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalExchange]:
    directory = tmp_path_factory.mktemp("exchange") / "x"
    with LocalExchange(directory, kafka=broker.address) as exchange:
        yield exchange
