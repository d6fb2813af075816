"""One replica of ours for ``tally bench log``: the log with its journal and links, and nothing that executes it.

``python -m sim.bench_log_replica CONFIG NODE COMMANDS_PER_ENTRY IN_FLIGHT SECONDS``; the leader prints its result as
JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from replication.config import load_config, node_addresses, node_data_dir
from replication.identity import NODE
from replication.journal import Journal
from replication.market_groups import group_id
from replication.poller import GroupCommitPoller, Poller
from replication.proposals import Outcome
from replication.pysyncobj_adapter import RaftTiming
from replication.replicated_log import ReplicatedLog
from replication.snapshots import SnapshotMeta, SnapshotStore
from replication.tls import load_credentials
from replication.transport import PeerTransport
from sim.bench_log_clock import LoadClock

_IDLE_WAIT_S = 0.01


class Nothing:
    """A state machine that only counts."""

    def __init__(self) -> None:
        self.entries = 0

    def apply(self, _log_index: int, _term: int, _payload: bytes) -> object:
        self.entries += 1
        return None

    def restore(self, _meta: SnapshotMeta, _blob: bytes) -> None:
        raise AssertionError("nobody took a snapshot")


class Measured:
    """Proposes while this replica leads, so many entries at a time."""

    def __init__(self, config_file: Path, node_id: str, clock: LoadClock) -> None:
        config = load_config(config_file)
        data_dir = node_data_dir(config, node_id)
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.clock = clock
        poller = Poller()
        journal = Journal(data_dir / "journal", cluster_id=group_id(config), node_id=node_id)
        transport = PeerTransport(
            credentials=load_credentials(config, NODE, node_id),
            bind=node_addresses(config, node_id).peer,
            peers={peer_id: addresses.peer for peer_id, addresses in config.nodes.items() if peer_id != node_id},
            group_id=group_id(config),
            poller=poller,
            clock_s=time.monotonic,
        )
        group_commit = GroupCommitPoller(poller, journal, transport)
        self._log = ReplicatedLog(
            node_id=node_id,
            peer_ids=[peer_id for peer_id in config.nodes if peer_id != node_id],
            journal=journal,
            transport=transport,
            poller=group_commit,
            state_machine=Nothing(),
            snapshots=SnapshotStore(data_dir / "snapshots"),
            timing=RaftTiming(),
        )
        group_commit.before_sync.append(self._propose)

    def run(self) -> None:
        while True:
            self._log.tick(_IDLE_WAIT_S)

    def _propose(self) -> None:
        if not self._log.leader_ready:
            self.clock.stop()
            return
        while self.clock.wants_more():
            proposed_s = self.clock.begin()
            self._log.propose(self.clock.payload, lambda outcome, _, at=proposed_s: self._on_decided(outcome, at))  # type: ignore[misc]

    def _on_decided(self, outcome: Outcome, proposed_s: float) -> None:
        result = self.clock.end(proposed_s, committed=outcome is Outcome.COMMITTED)
        if result is not None:
            print(json.dumps(result), flush=True)


def main(arguments: list[str]) -> None:
    config_file, node_id, size, in_flight, seconds = arguments
    Measured(Path(config_file), node_id, LoadClock(int(size), int(in_flight), float(seconds))).run()


if __name__ == "__main__":
    main(sys.argv[1:])
