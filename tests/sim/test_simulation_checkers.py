"""The simulator's checkers object: each bug that is planted here is found within a few seeds.

What a random schedule finds rarely is not here but in the scripted tests of tests/replication: an acknowledgement of an
earlier term that counts, a message of an earlier term that leaves, a vote that is counted twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from engine.machine import Applied, Machine
from engine.snapshot import restore as engine_restore
from replication.config import LogSettings
from replication.journal import Journal, JournalWriteFailed
from replication.poller import GroupCommitPoller
from replication.proposals import Outcome, Proposals
from replication.replica import Replica
from sim.simulation import Simulation
from sim.simulation_faults import Faults, draw_faults
from sim.simulation_run import memory_directory
from sim.simulation_verdict import Verdict, judge

SECONDS = 8.0
SEEDS_MAX = 20
SMALL_SNAPSHOTS = LogSettings(snapshot_every_commands=200, keep_tail_entries=5)
Plant = Callable[[pytest.MonkeyPatch], None]


def the_journal_is_opened_without_fsync(patch: pytest.MonkeyPatch) -> None:
    original = Journal.__init__

    def init(self: Journal, path: Any, **settings: Any) -> None:
        original(self, path, **{**settings, "sync": False})

    patch.setattr(Journal, "__init__", init)


def the_fsync_is_skipped(patch: pytest.MonkeyPatch) -> None:
    def sync(self: Journal) -> None:
        self._dirty_from, self._meta_dirty, self._disk_last = None, False, self.last

    patch.setattr(Journal, "sync", sync)


def a_failed_fsync_is_taken_for_done(patch: pytest.MonkeyPatch) -> None:
    original = Journal.sync

    def sync(self: Journal) -> None:
        try:
            original(self)
        except JournalWriteFailed:
            self._write_failed = False
            self._dirty_from, self._meta_dirty, self._disk_last = None, False, self.last

    patch.setattr(Journal, "sync", sync)


def answers_leave_before_the_fsync(patch: pytest.MonkeyPatch) -> None:
    def commit(self: GroupCommitPoller) -> None:
        for prepare in self.before_sync:
            prepare()
        self.queue_entries()
        # Votes still wait; acknowledgements of entries do not.
        if not self._journal.meta_dirty:
            self._outbox.flush(append_entries_only=False)
        self._journal.sync()
        self._outbox.flush(append_entries_only=False)
        for release in self.after_sync:
            release()

    patch.setattr(GroupCommitPoller, "commit", commit)


def the_leader_commits_before_a_majority_has_it(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        "replication.log_sender.LogSender.match_indexes",
        lambda self: dict.fromkeys(self._followers, self._journal.last),
    )


def the_vote_is_not_written(patch: pytest.MonkeyPatch) -> None:
    original = Journal.setCurrentTerm

    def set_current_term(self: Journal, term: int, voted_for: str | None) -> None:
        dirty = self._meta_dirty
        original(self, term, voted_for)
        self._meta_dirty = dirty

    patch.setattr(Journal, "setCurrentTerm", set_current_term)


def the_vote_is_forgotten_at_a_restart(patch: pytest.MonkeyPatch) -> None:
    original = Journal._load_meta

    def load(self: Journal, transaction: Any) -> int:
        first_index = original(self, transaction)
        self._vote = None
        return first_index

    patch.setattr(Journal, "_load_meta", load)


def a_term_is_used_again_after_a_restart(patch: pytest.MonkeyPatch) -> None:
    original = Journal._load_meta

    def load(self: Journal, transaction: Any) -> int:
        first_index = original(self, transaction)
        self._term = max(0, self._term - 1)
        return first_index

    patch.setattr(Journal, "_load_meta", load)


def the_snapshot_forgets_what_was_asked(patch: pytest.MonkeyPatch) -> None:
    def restore(data: bytes, hash_key: int = 0, **settings: int) -> Machine:
        machine = engine_restore(data, hash_key=hash_key, **settings)
        while machine.receipts.oldest():
            machine.receipts.forget_oldest()
        return machine

    patch.setattr("replication.replica.restore", restore)


def the_archive_is_not_synced_before_a_snapshot(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Replica, "sync_archive", Replica.flush_archive)


def one_replica_computes_something_else(patch: pytest.MonkeyPatch) -> None:
    original = Replica.apply

    def apply(self: Replica, log_index: int, term: int, payload: bytes) -> Applied:
        if "node-2" in str(self._archive_directory) and log_index == 30:
            later_ns = int.from_bytes(payload[:8], "little") + 10**10
            payload = later_ns.to_bytes(8, "little") + payload[8:]
        return original(self, log_index, term, payload)

    patch.setattr(Replica, "apply", apply)


def an_unknown_outcome_is_called_a_failure(patch: pytest.MonkeyPatch) -> None:
    original = Proposals._answer

    def answer(self: Proposals, proposal: Any, outcome: Outcome, detail: object) -> None:
        original(self, proposal, Outcome.FAILED if outcome is Outcome.UNKNOWN else outcome, detail)

    patch.setattr(Proposals, "_answer", answer)


# What finds some of them sooner: a leader that is heard and does not hear; power that is gone for a moment only.
MORE_OF_IT: dict[Plant, dict[str, float]] = {
    an_unknown_outcome_is_called_a_failure: {"one_way_weight": 8.0, "kill_weight": 0.0, "power_loss_weight": 0.0},
    the_archive_is_not_synced_before_a_snapshot: {"power_loss_weight": 8.0, "down_ms_max": 50.0},
}

# What the judgement says, one of several parts.
PLANTS: dict[Plant, str] = {
    the_journal_is_opened_without_fsync: "on its disk are",
    the_fsync_is_skipped: "on its disk are",
    a_failed_fsync_is_taken_for_done: "acknowledged log index|on its disk|counts as committed and is on",
    answers_leave_before_the_fsync: "acknowledged log index",
    the_leader_commits_before_a_majority_has_it: "counts as committed and is on",
    the_vote_is_not_written: "on its disk are",
    the_vote_is_forgotten_at_a_restart: "came back with",
    a_term_is_used_again_after_a_restart: "came back with",
    the_snapshot_forgets_what_was_asked: "another hash chain|another result|its receipt is forgotten",
    the_archive_is_not_synced_before_a_snapshot: "rchive",
    one_replica_computes_something_else: "another hash chain",
    an_unknown_outcome_is_called_a_failure: "certainly was not",
}


def trouble(seed: int, more: dict[str, float]) -> Faults:
    """More goes wrong than a seed draws as a rule, above all to leaders."""
    faults = replace(
        draw_faults(Random(seed)),
        fsync_fails_probability=0.01,
        cut_off_probability=0.001,
        fault_every_ms=150.0,
        lasts_ms_max=1_500.0,
        down_ms_max=300.0,
        on_leader_share=0.7,
        kill_weight=1.0,
        power_loss_weight=1.0,
        isolate_weight=2.0,
        pause_weight=1.0,
        disk_full_weight=0.0,
    )
    return replace(faults, **more)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    judgement = None
    for seed in range(1, SEEDS_MAX + 1):
        faults = trouble(seed, MORE_OF_IT.get(plant, {}))
        with memory_directory() as directory:
            simulation = Simulation(seed, directory, faults=faults, log=SMALL_SNAPSHOTS)
            simulation.run(SECONDS)
            judgement = judge(simulation)
        if judgement.verdict is Verdict.FAIL:
            print(f"seed {seed}: {judgement.reason}")
            break
    assert judgement is not None and judgement.verdict is Verdict.FAIL, f"none of {SEEDS_MAX} seeds found it"
    assert any(part in judgement.reason for part in PLANTS[plant].split("|")), judgement.reason
