"""`tally admin` on real processes: a node is added and another removed while requests flow."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from replication.local_cluster import LocalCluster, free_port
from sim.admin import main
from sim.client import ExchangeUnreachable
from sim.local_exchange import LocalExchange

TALLY = Path(__file__).parents[2] / "tally.py"
LIMIT_S = 30.0


class Asking:
    """A client that makes one account after the other and remembers which it was promised."""

    def __init__(self, exchange: LocalExchange) -> None:
        self.acknowledged: list[str] = []
        self.slowest_s = 0.0
        self._client = exchange.operator()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            name = f"trader-{number}"
            begun_s = time.monotonic()
            try:
                response = self._client.request("POST", "/v1/admin/accounts", {"name": name})
            except ExchangeUnreachable:
                continue
            self.slowest_s = max(self.slowest_s, time.monotonic() - begun_s)
            if response.ok:
                self.acknowledged.append(name)


def admin(exchange: LocalExchange, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(TALLY), "admin", *arguments, "--config", str(exchange.directory / "cluster.toml")],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, (done.stdout, done.stderr, exchange.log_ends())
    return done.stdout


@contextmanager
def node_4(exchange: LocalExchange, peer: str, door: str) -> Iterator[subprocess.Popen[bytes]]:
    """A fourth node with a configuration of its own, as on another machine."""
    config_file = exchange.directory / "four.toml"
    table = f'\n[nodes.node-4]\npeer = "{peer}"\ndoor = "{door}"\n'
    config_file.write_text((exchange.directory / "cluster.toml").read_text() + table)
    assert (
        main(["certs", "--config", str(config_file), "--out", str(exchange.directory / "tls"), "--node", "node-4"]) == 0
    )
    with (exchange.directory / "logs" / "node-4.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(TALLY), "node", "--config", str(config_file), "--node", "node-4"],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(LIMIT_S)


@pytest.mark.cluster
def test_a_node_is_added_and_the_leader_removed_while_requests_flow(tmp_path: Path) -> None:
    peer, door = (f"127.0.0.1:{free_port()}" for _ in range(2))
    with LocalExchange(tmp_path / "data") as exchange, node_4(exchange, peer, door):
        asking = Asking(exchange)
        try:
            leader = exchange.leader()
            said = admin(exchange, "member", "add", "node-4", peer, door)
            assert said.splitlines()[-1] == "node-4 votes"
            said = admin(exchange, "member", "remove", leader)
            assert f"{leader} is no member any more" in said
            halted = len(asking.acknowledged)
            deadline_s = time.monotonic() + LIMIT_S
            while len(asking.acknowledged) < halted + 50:
                assert time.monotonic() < deadline_s, exchange.log_ends()
                time.sleep(0.02)
        finally:
            asking.stop()
        view = json.loads(admin(exchange, "member", "list", "--json"))
        names = [member["node"] for member in view["members"]]
        assert names == sorted({"node-1", "node-2", "node-3", "node-4"} - {leader})
        assert all(member["voter"] and member["linked"] for member in view["members"])
        replicas = exchange.agreed_replicas()
        assert sorted(str(replica["node"]) for replica in replicas) == names
        assert len({replica["state_hash"] for replica in replicas}) == 1
        accounts = exchange.operator()
        for name in asking.acknowledged[:: max(1, len(asking.acknowledged) // 40)]:
            again = accounts.request("POST", "/v1/admin/accounts", {"name": name})
            assert not again.ok or again.body.get("repeated"), f"{name} was acknowledged and is lost"
        log = (exchange.directory / "logs" / f"{leader}.log").read_text()
        assert f"{leader} was removed from the cluster" in log
        assert not exchange.is_running(leader)
        assert asking.slowest_s < 5


def config_file(directory: Path) -> Path:
    with LocalCluster(directory) as cluster:
        cluster.load()
        return cluster.config_file


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["member", "list"], "no replica answers. node-1 (127.0.0.1:"),
        (["member", "add", "node-4", "127.0.0.1:1", "127.0.0.1:2"], "no replica answers."),
        (["member", "replace", "node-1", "node-1", "127.0.0.1:1", "127.0.0.1:2"], "start it with an empty folder"),
    ],
)
def test_a_command_that_cannot_work_says_why_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main([*arguments, "--config", str(config_file(tmp_path / "data"))]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("tally admin: ")
    assert words in said.err
    assert said.err.count("\n") == 1


def test_a_configuration_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["member", "list", "--config", str(tmp_path / "none.toml")]) == 1
    assert f"tally admin: {tmp_path / 'none.toml'}: there is no such file" in capsys.readouterr().err
