"""`tally up --kafka` writes into the cluster's file; adding groups is in test_market_groups."""

from pathlib import Path

from replication.config import Address, load_config
from replication.config_edit import use_kafka
from tests.replication.test_config import MINIMAL


def test_a_broker_is_written_into_the_file_and_what_stands_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text("# mine\n" + MINIMAL)
    kafka = use_kafka(path, Address("127.0.0.1", 9092)).kafka
    assert kafka is not None
    assert (kafka.bootstrap_servers, kafka.replication_factor, kafka.min_insync_replicas) == (("127.0.0.1:9092",), 1, 1)
    assert path.read_text().startswith("# mine\n" + MINIMAL)
    assert load_config(path).kafka == kafka


def test_another_broker_replaces_the_address_alone(tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text(
        MINIMAL
        + '[kafka]\nbootstrap_servers = [\n  "a:1",\n  "b:2",\n]\ntopic_prefix = "mine"\nreplication_factor = 2\n'
    )
    kafka = use_kafka(path, Address("127.0.0.1", 9093)).kafka
    assert kafka is not None
    assert (kafka.bootstrap_servers, kafka.topic_prefix, kafka.replication_factor) == (("127.0.0.1:9093",), "mine", 2)


def test_the_same_broker_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text(MINIMAL)
    use_kafka(path, Address("127.0.0.1", 9092))
    before = path.read_bytes()
    use_kafka(path, Address("127.0.0.1", 9092))
    assert path.read_bytes() == before
