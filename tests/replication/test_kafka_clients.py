import socket
import threading
from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaTimeoutError

from replication import kafka_clients
from replication.kafka_clients import keep_clients_quiet, open_client
from replication.local_cluster import LOOPBACK, free_port


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_clients_quiet()
    monkeypatch.setattr(kafka_clients, "BOOTSTRAP_TIMEOUT_MS", 300)


@pytest.fixture
def hangs_up() -> Iterator[int]:
    """The port of a server that is no broker: it closes every connection."""
    server = socket.create_server((LOOPBACK, 0))

    def serve() -> None:
        while True:
            try:
                server.accept()[0].close()
            except OSError:
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()


@pytest.mark.parametrize("make", [KafkaAdminClient, KafkaConsumer, KafkaProducer])
def test_a_client_that_reaches_nobody_leaves_no_thread_and_says_why(make: type) -> None:
    port = free_port()
    before = set(threading.enumerate())
    for _ in range(3):
        with pytest.raises(KafkaTimeoutError, match=rf"no broker can be used at 127.0.0.1:{port}: .*ECONNREFUSED"):
            open_client(make, {"bootstrap_servers": [f"{LOOPBACK}:{port}"]})
    left = set(threading.enumerate()) - before
    for thread in left:
        thread.join(5.0)  # its loop ends on its own
    assert not [thread for thread in left if thread.is_alive()]


def test_what_was_wrong_with_one_server_is_not_told_of_the_next(hangs_up: int) -> None:
    with pytest.raises(KafkaTimeoutError, match="ECONNREFUSED"):
        open_client(KafkaAdminClient, {"bootstrap_servers": [f"{LOOPBACK}:{free_port()}"]})
    with pytest.raises(KafkaTimeoutError, match="socket disconnected") as caught:
        open_client(KafkaAdminClient, {"bootstrap_servers": [f"{LOOPBACK}:{hangs_up}"]})
    assert "ECONNREFUSED" not in str(caught.value)
