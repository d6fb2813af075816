"""Random schedules of faults over the scripted harness, checked by what only an onlooker can see.

Every seed draws its own mix of message delays, broken links, kills, kills in the middle of a commit, restarts and
snapshots. After each step: one entry per index for ever, one leader per term, and what a leader calls committed is on
the disks of a majority. After the final heal: nothing acknowledged is missing, nothing that failed is there, nothing is
there twice, all replicas are equal, and every proposal of a living replica has an outcome. A read that a leader answers
shows everything that any replica had applied when it was asked.

Repeat one seed: pytest tests/replication/test_random_schedules.py -k seed-7
"""

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from replication.journal import Journal
from replication.proposals import Outcome
from tests.replication.raft_harness import CLUSTER_ID, Cluster, Replica, World

STEPS = 3_000


class Killed(Exception):
    """The replica died in the middle of a commit."""


class Chaos:
    """A cluster, the faults that happen to it, and the onlooker."""

    def __init__(self, world: World, directory: Path, chance: random.Random, names: str) -> None:
        self.world = world
        self.chance = chance
        self.on = False
        self.applied: dict[int, tuple[int, bytes]] = {}
        self.leaders: dict[int, str] = {}
        self.outcomes: dict[bytes, Outcome] = {}
        self.proposed = 0
        self.reads_answered = 0
        self.blocked_until_s: dict[tuple[str, str], float] = {}
        self.kills_in_commit = chance.choice([0.0, 0.002, 0.01])
        self.slowness = chance.choice([0.2, 0.5, 0.9])
        self.faults = chance.choice([0.005, 0.02, 0.05])
        self.seen_applied: dict[str, int] = {}
        self.disks: dict[str, dict[int, int]] = {}
        self.cluster = Cluster(
            world, directory, names, keep_tail_entries=10, open_journal=self.open_journal, greet=False
        )

    def open_journal(self, path: Path, name: str) -> Journal:
        chaos = self

        class FragileJournal(Journal):
            """Its process may die just before or just after a sync."""

            def sync(self) -> None:
                if chaos.on and self.dirty and chaos.chance.random() < chaos.kills_in_commit:
                    raise Killed(name)
                super().sync()
                if chaos.on and chaos.chance.random() < chaos.kills_in_commit:
                    raise Killed(name)

        return FragileJournal(path, cluster_id=CLUSTER_ID, node_id=name, sync=False)

    def step(self) -> None:
        self.world.advance(self.chance.random() * 0.02)
        names = sorted(self.cluster.replicas)
        for name in names:
            if self.chance.random() < 0.6:
                self.guarded(name, lambda replica: replica.tick())
        for pair in sorted(self.world.links):
            blocked = self.blocked_until_s.get(pair, 0) > self.world.now_s
            if not blocked and pair[1] in self.cluster.replicas and self.chance.random() > self.slowness:
                self.guarded(pair[1], partial(self.deliver, pair, self.chance.randrange(1, 6)))
        self.propose()
        for replica in self.cluster:
            self.read(replica)
        if self.on and self.chance.random() < self.faults:
            self.fault()
        self.look()

    def deliver(self, pair: tuple[str, str], count: int, _receiver: Replica) -> None:
        self.world.deliver(*pair, count)

    def guarded(self, name: str, action: Callable[[Replica], None]) -> None:
        replica = self.cluster.replicas.get(name)
        if replica is None:
            return
        try:
            action(replica)
        except Killed:
            self.kill(name)

    def propose(self) -> None:
        for replica in self.cluster:
            if replica.log.is_leader and self.chance.random() < 0.5:
                self.proposed += 1
                payload = b"%06d" % self.proposed * self.chance.choice([1, 10, 1000])

                def on_outcome(outcome: Outcome, _detail: object, payload: bytes = payload) -> None:
                    assert payload not in self.outcomes, "answered twice"
                    self.outcomes[payload] = outcome

                replica.log.propose(payload, on_outcome)

    def read(self, replica: Replica) -> None:
        """Ask a replica, which may refuse, and hold its answer against what was committed before."""
        known_index = max(self.applied, default=0)

        def on_readable(readable: bool) -> None:
            if readable:
                self.reads_answered += 1
                applied_index = replica.log.applied_index
                assert applied_index >= known_index, f"{replica.name} answered as of {applied_index}, not {known_index}"

        replica.log.read(on_readable)

    def fault(self) -> None:
        names = sorted(self.cluster.names)
        one, other = self.chance.sample(names, 2)
        kind = self.chance.choice(
            ["kill", "restart", "restart", "restart", "break", "stall", "isolate", "snapshot", "leader"]
        )
        if kind == "leader":
            one = next((replica.name for replica in self.cluster if replica.log.is_leader), one)
            kind = self.chance.choice(["kill", "isolate"])
        if kind == "kill":
            self.kill(one)
        elif kind == "restart" and one not in self.cluster.replicas:
            self.start(one)
        elif kind == "break":
            self.break_link(one, other)
        elif kind == "stall":
            self.blocked_until_s[one, other] = self.world.now_s + self.chance.random() * 2
        elif kind == "isolate":
            for peer in names:
                until_s = self.world.now_s + self.chance.random()
                self.blocked_until_s[one, peer] = self.blocked_until_s[peer, one] = until_s
        elif kind == "snapshot" and one in self.cluster.replicas:
            self.guarded(one, self.snapshot)

    def snapshot(self, replica: Replica) -> None:
        reference = replica.journal.snapshot
        taken_at = reference.log_index if reference else 1
        if replica.log.applied_index > taken_at:
            replica.take_snapshot()

    def kill(self, name: str) -> None:
        """What it has sent may still arrive."""
        if name not in self.cluster.replicas:
            return
        journal = self.cluster[name].journal
        self.disks[name] = {index: term for index, term in self.cluster[name].terms() if index <= journal.durable_index}
        links = {pair: list(link) for pair, link in self.world.links.items() if pair[0] == name}
        self.cluster.kill(name)
        keep = self.chance.random() < 0.7
        for pair, messages in links.items():
            self.world.links[pair].clear()
            if keep and pair[1] in self.cluster.replicas:
                self.world.links[pair].extend(messages)

    def start(self, name: str) -> None:
        for peer in self.cluster.names:  # a new connection carries nothing of the old one
            self.world.links[name, peer].clear()
            self.world.links[peer, name].clear()
        self.cluster.start(name)
        self.seen_applied[name] = 0

    def break_link(self, one: str, other: str) -> None:
        if one in self.cluster.replicas and other in self.cluster.replicas:
            self.cluster[one].transport.link_down(other)
            self.cluster[other].transport.link_down(one)
            self.world.links[one, other].clear()
            self.world.links[other, one].clear()
            self.cluster[one].transport.link_up(other)
            self.cluster[other].transport.link_up(one)

    def look(self) -> None:
        """The onlooker's invariants."""
        for replica in self.cluster:
            self.look_at_applied(replica)
            if not replica.log.is_leader:
                continue
            leader = self.leaders.setdefault(replica.log.term, replica.name)
            assert leader == replica.name, f"{leader} and {replica.name} led term {replica.log.term}"
            index = replica.log.commit_index
            if index >= replica.journal.first:
                self.look_at_copies(replica, index, replica.journal.term_at(index))

    def look_at_copies(self, _leader: Replica, index: int, term: int) -> None:
        copies = sum(self.has_on_disk(name, index, term) for name in self.cluster.names)
        assert copies > len(self.cluster.names) / 2, f"{index} is committed with {copies} copies"

    def has_on_disk(self, name: str, index: int, term: int) -> bool:
        replica = self.cluster.replicas.get(name)
        if replica is None:
            return self.disks[name].get(index) == term or index < min(self.disks[name], default=0)
        journal = replica.journal
        if index < journal.first:
            return True
        return journal.durable_index >= index and journal.term_at(index) == term

    def look_at_applied(self, replica: Replica) -> None:
        new = replica.machine.applied[self.seen_applied.get(replica.name, 0) :]
        for index, term, payload in new:
            known = self.applied.setdefault(index, (term, payload))
            assert known == (term, payload), f"{replica.name} applied another entry at {index}"
        self.seen_applied[replica.name] = len(replica.machine.applied)

    def heal(self) -> None:
        """End of all faults: within a bounded time everybody agrees."""
        self.on = False
        self.blocked_until_s.clear()
        for name in self.cluster.names:
            if name not in self.cluster.replicas:
                self.start(name)
        self.slowness = 0.0
        self.propose = lambda: None  # type: ignore[method-assign]
        for _ in range(4_000):
            self.step()
            leaders = [replica for replica in self.cluster if replica.log.leader_ready]
            undecided = sum(replica.log.undecided_proposals for replica in self.cluster)
            if leaders and not undecided and self.all_agree(leaders[0]):
                return
        raise AssertionError("the replicas did not agree after the heal")

    def all_agree(self, leader: Replica) -> bool:
        return all(replica.machine.applied == leader.machine.applied for replica in self.cluster)

    def check_history(self) -> None:
        final = [payload for _index, _term, payload in next(iter(self.cluster)).machine.applied]
        assert len(set(final)) == len(final), "a proposal is in the log twice"
        present = set(final)
        for payload, outcome in self.outcomes.items():
            if outcome is Outcome.COMMITTED:
                assert payload in present, "an acknowledged proposal is lost"
            if outcome is Outcome.FAILED:
                assert payload not in present, "a failed proposal is in the log"


def run(seed: int, directory: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """One schedule; returns how many proposals were committed."""
    monkeypatch.setattr("replication.snapshots.CHUNK_BYTES", 2_000)
    chance = random.Random(seed)
    chaos = Chaos(World(monkeypatch, chance), directory, chance, "ABCDE" if seed % 3 == 0 else "ABC")
    chaos.on = True
    for _ in range(STEPS):
        chaos.step()
    chaos.heal()
    chaos.check_history()
    assert chaos.reads_answered > 20, "a run in which nothing was read shows nothing"
    chaos.cluster.close()
    return sum(outcome is Outcome.COMMITTED for outcome in chaos.outcomes.values())


@pytest.mark.parametrize("seed", range(10), ids=lambda seed: f"seed-{seed}")
def test_a_random_schedule_breaks_no_promise(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(seed, tmp_path, monkeypatch) > 20, "a run in which nothing was committed shows nothing"
