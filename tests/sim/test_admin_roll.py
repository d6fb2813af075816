"""`tally admin roll` and `tally admin rules` on real processes: restarts while orders flow, then other rules."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from replication.local_cluster import NODE_IDS, LocalCluster
from sim.admin import main
from sim.client import Client, ExchangeUnreachable
from sim.local_exchange import TALLY, LocalExchange

LIMIT_S = 60.0
pytestmark = pytest.mark.cluster


class Trading:
    """A trader who places one order after the other and remembers which were acknowledged, and when."""

    def __init__(self, trader: Client) -> None:
        self.acknowledged: dict[str, int | None] = {}
        self.longest_silence_s = 0.0
        self._trader = trader
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        number, heard_s = 0, time.monotonic()
        while not self._stop.is_set():
            name = f"r{number}"
            try:
                response = self._trader.place(
                    "GLD-EUR", "buy", quantity="0.001", price="1.00", time_in_force="ioc", client_order_id=name
                )
            except ExchangeUnreachable:
                continue
            if response.status in (200, 201):
                now_s = time.monotonic()
                self.longest_silence_s = max(self.longest_silence_s, now_s - heard_s)
                heard_s, number = now_s, number + 1
                self.acknowledged[name] = response.sequence


def roll(config_file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return admin(config_file, "roll", *arguments)


def admin(config_file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(TALLY), "admin", *arguments, "--config", str(config_file)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )


def trader_of(exchange: LocalExchange) -> Client:
    operator = exchange.operator()
    operator.create_asset("EUR", 5).expect()
    operator.create_asset("GLD", 3).expect()
    operator.create_market("GLD", "EUR", tick="0.01", lot="0.001", maker_fee="0", taker_fee="0").expect()
    operator.create_account("ana").expect()
    operator.deposit("ana", "EUR", "10000.00", "dep-1").expect()
    key = operator.create_key("ana").expect().body
    return exchange.client(key["key_id"], key["secret"])


def test_a_rolling_restart_loses_no_order_and_ends_with_the_leader(tmp_path: Path) -> None:
    with LocalExchange(tmp_path / "data") as exchange:
        config_file = exchange.directory / "cluster.toml"
        leader, pids = exchange.leader(), {name: exchange.pid(name) for name in NODE_IDS}
        followers = [name for name in NODE_IDS if name != leader]
        trader = trader_of(exchange)

        os.kill(pids[followers[1]], signal.SIGSTOP)
        try:
            refused = roll(config_file)
        finally:
            os.kill(pids[followers[1]], signal.SIGCONT)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.startswith(f"tally admin roll: nothing was restarted. {followers[1]} (127.0.0.1:")
        assert {name: exchange.pid(name) for name in NODE_IDS} == pids

        exchange.agreed_replicas()
        order = [*followers, exchange.leader()]
        trading = Trading(trader)
        try:
            planned = roll(config_file, "--dry-run").stdout.splitlines()
            done = roll(config_file)
        finally:
            trading.stop()
        print(f"longest time without an acknowledgement: {trading.longest_silence_s * 1000:.0f} ms")
        assert planned == [f"1. {order[0]}", f"2. {order[1]}", f"3. {order[2]} (leads: hands over first)"]
        assert done.returncode == 0, (done, exchange.log_ends())
        lines = done.stdout.splitlines()
        assert [line.split()[0] for line in lines if " is back after " in line] == order
        assert f"{order[2]} has handed over to {order[0]} after " in lines[2]
        assert lines[-1].startswith("3 replicas restarted in ")
        assert not set(pids.values()) & {exchange.pid(name) for name in NODE_IDS}
        assert trading.longest_silence_s < 5

        assert admin(config_file, "rules", "status").stdout.splitlines() == [
            "group main: version 1 of the rules is in force; every replica knows version 2: tally admin rules set 2",
            "NODE    BUILD  RULES KNOWN",
            *(f"{name}  0.1.0  up to 2" for name in NODE_IDS),
        ]
        unknown = admin(config_file, "rules", "set", "3")
        assert (unknown.returncode, unknown.stdout) == (1, "")
        assert unknown.stderr.startswith("tally admin rules: group main: not every replica could follow version 3 ")
        assert admin(config_file, "rules", "set", "2").stdout == "group main: version 2 of the rules is in force\n"
        assert (
            admin(config_file, "rules", "status").stdout.splitlines()[0].endswith(" version 2 of the rules is in force")
        )

        for name, sequence in trading.acknowledged.items():
            assert trader.order(name).expect().body["order"]["order_id"] == sequence, name
        assert len(trading.acknowledged) > 20
        assert len({replica["state_hash"] for replica in exchange.agreed_replicas()}) == 1


@contextmanager
def unattended_nodes(config_file: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Replicas that nobody starts again."""
    with ExitStack() as stack:
        processes = {}
        for name in NODE_IDS:
            log = stack.enter_context((config_file.parent / f"{name}.log").open("wb"))
            processes[name] = subprocess.Popen(
                [sys.executable, str(TALLY), "node", "--config", str(config_file), "--node", name], stderr=log
            )
        try:
            yield processes
        finally:
            for process in processes.values():
                process.kill()
                process.wait()


def test_a_replica_that_does_not_come_back_ends_the_roll(tmp_path: Path) -> None:
    with LocalCluster(tmp_path / "data") as cluster:
        cluster.load()
        config_file = cluster.config_file
    with unattended_nodes(config_file) as processes:
        deadline_s = time.monotonic() + LIMIT_S
        while (planned := roll(config_file, "--dry-run")).returncode:
            assert time.monotonic() < deadline_s, planned
        first, second, third = (line.split()[1] for line in planned.stdout.splitlines())
        done = roll(config_file, "--timeout-s", "2")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(
            f"tally admin roll: {first} was asked to restart and is not back after 2 s: does something start it again"
        )
        assert done.stderr.endswith(f". Not restarted: {second}, {third}\n")
        assert processes[first].wait(LIMIT_S) == 75
        assert [processes[name].poll() for name in (second, third)] == [None, None]
        again = roll(config_file, "--node", second)
        assert (again.returncode, again.stdout) == (1, "")
        assert f"nothing was restarted. {first} (127.0.0.1:" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "tally admin roll: nothing was restarted. no replica answers. node-1 (127.0.0.1:"),
        (["--group", "metals"], "there is no group 'metals'; the file has main"),
    ],
)
def test_what_cannot_be_rolled_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    with LocalCluster(tmp_path / "data") as cluster:
        cluster.load()
    assert main(["roll", "--config", str(cluster.config_file), *arguments]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert words in said.err
