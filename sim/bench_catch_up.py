"""``tally bench catch-up``: how long a replica that stood still takes to reach the others while orders flow.

A follower is stopped (SIGSTOP) while ``tally load`` sends batches of orders. When the leader has taken a snapshot that
has more than the follower, and has cut its log behind that, the follower goes on: it gets the snapshot in chunks, then
the log that is behind it, then what is committed meanwhile.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from replication.blocking_door import BlockingDoor
from replication.config import Config, load_config
from replication.identity import OPERATOR
from replication.local_cluster import NODE_IDS, OPERATOR_NAME
from replication.market_groups import group_id
from replication.tls import load_credentials
from sim.local_exchange import TALLY, LocalExchange

_BATCH: Final = 50
_CONNECTIONS: Final = 16
_CAUGHT_UP_LAG: Final = 1_000  # commands: less than what is committed while one is being asked
_LIMIT_S: Final = 300.0
_POLL_S: Final = 0.02
_RESTORED: Final = "restored the state at sequence"


class NoCatchUp(Exception):
    """The measurement did not come about. The text says why."""


def measure_catch_up(exchange: LocalExchange) -> dict[str, Any]:
    """Stop a follower, let it go on behind the leader's log, and wait. Answers what was measured."""
    config = load_config(exchange.directory / "cluster.toml")
    leader = exchange.leader()
    follower = next(node_id for node_id in NODE_IDS if node_id != leader)
    log_file = exchange.directory / "logs" / f"{follower}.log"
    pid, restored_before = exchange.pid(follower), log_file.read_text().count(_RESTORED)
    with _load(exchange) as load, _door(config, leader) as at_leader:
        try:
            os.kill(pid, signal.SIGSTOP)
            stopped = _details(at_leader)
            _wait(load, lambda: _details(at_leader)["first_index"] > stopped["applied_index"] + 1)
            behind = _details(at_leader)
        finally:
            os.kill(pid, signal.SIGCONT)
        resumed_s = time.monotonic()
        with _door(config, follower) as at_follower:
            _wait(
                load,
                lambda: _details(at_follower)["sequence"] >= _details(at_leader)["sequence"] - _CAUGHT_UP_LAG,
            )
        caught_up_s = time.monotonic()
        committed = _details(at_leader)["sequence"] - behind["sequence"]
    if log_file.read_text().count(_RESTORED) == restored_before:
        raise NoCatchUp("the follower found all it lacked in the leader's log: no snapshot was sent")
    return {
        "bench": "catch-up",
        "commands_behind": behind["sequence"] - stopped["sequence"],
        "time_s": round(caught_up_s - resumed_s, 2),
        "commands_committed_meanwhile": committed,
        "commands_per_s_meanwhile": round(committed / (caught_up_s - resumed_s)),
    }


def _load(exchange: LocalExchange) -> subprocess.Popen[bytes]:
    """Orders in batches, until it is killed: its ``with`` block must end it."""
    arguments = ["--connections", str(_CONNECTIONS), "--batch", str(_BATCH), "--seconds", str(int(_LIMIT_S))]
    return _KilledAtTheEnd(
        [sys.executable, str(TALLY), "load", "--url", exchange.url, "--data", str(exchange.directory), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


class _KilledAtTheEnd(subprocess.Popen[bytes]):
    def __exit__(self, *exception: Any) -> None:
        self.kill()
        super().__exit__(*exception)


def _door(config: Config, node_id: str) -> BlockingDoor:
    credentials = load_credentials(config, OPERATOR, OPERATOR_NAME)
    return BlockingDoor(node_id, config.nodes[node_id].door, group_id(config), credentials)


def _details(door: BlockingDoor) -> dict[str, Any]:
    value: dict[str, Any] = door.ask("status").value
    return value


def _wait(load: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + _LIMIT_S
    while not condition():
        if load.poll() is not None or time.monotonic() > deadline_s:
            raise NoCatchUp("the load ended before the follower had caught up")
        time.sleep(_POLL_S)
