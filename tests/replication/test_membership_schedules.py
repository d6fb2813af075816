"""Random schedules in which members come, go and lose their disks, on top of all other faults.

The onlooker knows lives, not names: a node whose disk was wiped is another one. After each step: what a leader calls
committed is on the disks of a majority of the voters that it needs, and every majority that it needs now meets every
majority that it needed before. Votes are checked where they leave: one per term and life. A disk is lost only while
all other voters have theirs, since Raft promises nothing beyond that.

Repeat one seed: pytest tests/replication/test_membership_schedules.py -k seed-7
"""

import random
import shutil
from pathlib import Path

import pytest

from replication.member_changes import ChangeRefused
from replication.membership import decode_membership
from replication.proposals import Outcome
from tests.replication.raft_harness import NOWHERE, Replica, World
from tests.replication.test_holes import majorities_meet
from tests.replication.test_random_schedules import Chaos

STEPS = 2_500
NAMES = "ABCDEFG"
MEMBERS_MAX = 5


class MembershipChaos(Chaos):
    """Chaos with an operator who changes the members, and with disks that are lost."""

    def __init__(self, world: World, directory: Path, chance: random.Random) -> None:
        self.disks_of_lives: dict[bytes, dict[int, int]] = {}
        self.lost: set[bytes] = set()
        self.done: dict[str, int] = {}
        self.changes = chance.choice([0.02, 0.05, 0.1])
        super().__init__(world, directory, chance, "ABC")
        self.cluster.stop_removed = self.kill

    def step(self) -> None:
        super().step()
        down = [name for name in sorted(self.cluster.names) if name not in self.cluster.replicas]
        if down and self.on and self.chance.random() < 0.01:
            self.start(self.chance.choice(down))
        if self.on and self.chance.random() < self.changes:
            leaders = [replica for replica in self.cluster if replica.log.is_leader]
            if leaders:
                self.change(max(leaders, key=lambda replica: replica.log.term))

    def change(self, leader: Replica) -> None:
        kind = self.chance.choice(["add", "add", "remove", "wipe", "hand over"])
        try:
            if kind == "add":
                self.add(leader)
            elif kind == "remove":
                self.remove(leader)
            elif kind == "wipe":
                self.wipe(leader)
            else:
                leader.log.transfer_leadership()
        except ChangeRefused:
            return
        self.done[kind] = self.done.get(kind, 0) + 1

    def add(self, leader: Replica) -> None:
        membership = leader.log.members.membership
        assert membership is not None
        strangers = [name for name in NAMES if membership.find(name) is None]
        if len(membership.members) >= MEMBERS_MAX:
            raise ChangeRefused("enough members for this test")
        name = self.chance.choice(strangers)
        leader.log.membership.add(name, NOWHERE, lambda _outcome, _detail: None)
        if name not in self.cluster.names:
            self.cluster.names.append(name)
        if name not in self.cluster.replicas:
            self.start(name)

    def remove(self, leader: Replica) -> None:
        name = self.chance.choice(sorted(leader.members().upper()))
        if len(leader.voters() - {name}) < 2:
            raise ChangeRefused("two voters at least, for this test")
        leader.log.membership.remove(name, lambda _outcome, _detail: None)

    def wipe(self, leader: Replica) -> None:
        membership = leader.log.members.membership
        assert membership is not None
        members = [self.cluster.replicas.get(name) for name in membership.node_ids]
        all_agree = all(member is not None and member.members() == leader.members() for member in members)
        if not all_agree or not leader.log.membership.settled or len(membership.voters) < 3:
            raise ChangeRefused("no disk may be lost now")
        if self.lost & set(membership.voters.values()):
            raise ChangeRefused("one lost disk at a time")
        name = self.chance.choice(sorted(membership.voters))
        self.lost.add(self.cluster[name].journal.incarnation)
        self.kill(name)
        shutil.rmtree(self.cluster.directory / name)
        self.start(name)

    def kill(self, name: str) -> None:
        replica = self.cluster.replicas.get(name)
        if replica is None:
            return
        super().kill(name)
        self.disks_of_lives[replica.journal.incarnation] = self.disks[name]

    def look(self) -> None:
        super().look()
        leaders = [replica for replica in self.cluster if replica.log.is_leader]
        if leaders:
            leader = max(leaders, key=lambda replica: replica.log.term)
            assert majorities_meet(leader.voters(), leader.committed_voters()), "two majorities need not meet"

    def look_at_copies(self, leader: Replica, index: int, term: int) -> None:
        latest = leader.log.members.membership
        assert latest is not None
        # A change may have been appended since the entry was committed: then the one before it counted.
        shares = []
        for membership in (latest, decode_membership(leader.journal.membership_at(index))):
            copies = sum(self.life_has(name, life, index, term) for name, life in membership.voters.items())
            shares.append(2 * copies > len(membership.voters))
        assert any(shares), f"{index} is committed without a majority of {leader.members()}"

    def life_has(self, name: str, life: bytes, index: int, term: int) -> bool:
        replica = self.cluster.replicas.get(name)
        if replica is not None and replica.journal.incarnation == life:
            return self.has_on_disk(name, index, term)
        disk = self.disks_of_lives[life]
        return disk.get(index) == term or index < min(disk, default=0)

    def all_agree(self, leader: Replica) -> bool:
        membership = leader.log.members.membership
        assert membership is not None
        for name in membership.node_ids:
            # Told by an earlier leader that it was removed, when it was a member again: its operator starts it.
            if name not in self.cluster.names:
                self.cluster.names.append(name)
                self.start(name)
        members = [self.cluster[name] for name in membership.node_ids]
        return (
            leader.log.membership.settled
            and leader.members().isupper()
            and {member.members() for member in members} == {leader.members()}
            and all(member.machine.applied == leader.machine.applied for member in members)
        )

    def check_history(self) -> None:
        leader = next(replica for replica in self.cluster if replica.log.leader_ready)
        for name in sorted(self.cluster.replicas.keys() - set(leader.members())):
            self.kill(name)
        self.cluster.replicas = {leader.name: leader} | self.cluster.replicas
        super().check_history()


def run(seed: int, directory: Path, monkeypatch: pytest.MonkeyPatch) -> MembershipChaos:
    """One schedule to its end."""
    monkeypatch.setattr("replication.snapshots.CHUNK_BYTES", 2_000)
    chance = random.Random(seed)
    chaos = MembershipChaos(World(monkeypatch, chance), directory, chance)
    chaos.on = True
    for _ in range(STEPS):
        chaos.step()
    chaos.heal()
    chaos.check_history()
    chaos.cluster.close()
    return chaos


@pytest.mark.parametrize("seed", range(8), ids=lambda seed: f"seed-{seed}")
def test_changes_of_members_break_no_promise(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chaos = run(seed, tmp_path, monkeypatch)
    print(f"seed {seed}: {chaos.done}")
    committed = sum(outcome is Outcome.COMMITTED for outcome in chaos.outcomes.values())
    assert committed > 20, "a run in which nothing was committed shows nothing"
    assert chaos.done, "a run without a change shows nothing"
