"""Rows I5 and I6 of the rule book, on a simulated cluster: recovery to the same state, and damage that is found."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from engine.snapshot import state_hash
from replication.archive import ArchiveDamaged, ArchiveGap, list_segments, read_segment, read_segment_header
from replication.archive_mending import find_holes
from replication.archive_salvage import damaged_files
from replication.config import LogSettings, node_data_dir
from replication.replay import replay
from sim.simulation import Simulation
from sim.simulation_faults import calm, draw_faults
from sim.simulation_run import memory_directory
from sim.simulation_verdict import Verdict, judge

SMALL_SNAPSHOTS = LogSettings(snapshot_every_commands=200, keep_tail_entries=5)


def test_i5_a_leader_that_loses_its_unsynced_tail_comes_back_with_all_that_was_acknowledged() -> None:
    faults = replace(calm(draw_faults(Random(5))), power_share=1.0, torn_write_probability=1.0)
    with memory_directory() as directory:
        simulation = Simulation(5, directory, faults=faults, log=SMALL_SNAPSHOTS)
        with simulation.in_virtual_time():
            simulation.set_up()
            simulation.begin()
            while simulation.clients.tally["answered"] < 400:
                simulation.play(0.1)
            leader = simulation.leader()
            assert leader is not None
            leader.cut_off_at = ("before-fsync", 0)
            simulation.play(2.0)
            assert leader.starts == 2
            simulation.settle()
            live = {name: state_hash(machine) for name, machine in simulation.machines().items()}
            leader.stop()
            leader.start()
            simulation.settle()
            assert leader.node is not None
            from_snapshot_and_tail = state_hash(leader.node.replica.machine)
        from_zero = state_hash(replay(node_data_dir(simulation.config, leader.name)).machine)
        judgement = judge(simulation)
    assert set(live.values()) == {from_snapshot_and_tail} == {from_zero}
    assert judgement.verdict is not Verdict.FAIL, judgement.reason


def test_i6_a_flipped_bit_is_named_by_the_auditor_and_costs_the_replica_that_entry_alone() -> None:
    """What fetches it from the others is no part of the simulation: tests/replication/test_archive_keeper.py."""
    with memory_directory() as directory:
        simulation = Simulation(6, directory, faults=calm(draw_faults(Random(6))), log=SMALL_SNAPSHOTS)
        with simulation.in_virtual_time():
            simulation.set_up()
            simulation.begin()
            while simulation.onlooker.sequence < 1_000:
                simulation.play(0.1)
            process = simulation.processes["node-2"]
            process.stop()
            damaged = flip_a_bit_of_sequence(simulation, "node-2", 500)
            with pytest.raises(ArchiveDamaged) as found:
                replay(node_data_dir(simulation.config, "node-2"))
            assert found.value.sequence == damaged <= 500
            process.start()
            assert damaged_files(node_data_dir(simulation.config, "node-2") / "archive") == 1
            before = simulation.clients.tally["answered"]
            simulation.play(3.0)
            assert simulation.clients.tally["answered"] > before + 100
            simulation.settle()
            assert process.node is not None, "it serves without that entry"
            live = {state_hash(machine) for machine in simulation.machines().values()}
            assert len(live) == 1
        data_dir = node_data_dir(simulation.config, "node-2")
        with pytest.raises(ArchiveGap) as gap:
            replay(data_dir)
        assert gap.value.first_missing == damaged
        (hole,) = find_holes(data_dir / "archive")
        assert hole.last_sequence == gap.value.last_missing
        others = [node_data_dir(simulation.config, name) for name in ("node-1", "node-3")]
        assert {state_hash(replay(data_dir, others=others).machine)} == live


def flip_a_bit_of_sequence(simulation: Simulation, name: str, sequence: int) -> int:
    """Damage the entry with this command in one replica's archive. Answers the entry's first sequence."""
    for segment in list_segments(node_data_dir(simulation.config, name) / "archive"):
        for entry, end_offset in read_segment(segment, read_segment_header(segment)):
            if entry.first_sequence <= sequence <= entry.last_sequence:
                data = bytearray(segment.path.read_bytes())
                data[end_offset - 40] ^= 0x10
                segment.path.write_bytes(data)
                return entry.first_sequence
    raise AssertionError(f"sequence {sequence} is not in the archive of {name}")


def test_a_replica_without_its_disk_has_no_vote_until_it_has_caught_up() -> None:
    """One follower is far behind, the other loses its disk, and the leader, which has what was acknowledged, is gone.

    The two would be a majority, if the lost disk had a vote.
    """
    with memory_directory() as directory:
        simulation = Simulation(4, directory, faults=calm(draw_faults(Random(4))))
        with simulation.in_virtual_time():
            simulation.set_up()
            simulation.begin()
            simulation.play(0.5)
            leader = simulation.leader()
            assert leader is not None
            behind, empty = (process for process in simulation.processes.values() if process is not leader)
            for name in (leader.name, empty.name):
                simulation.network.block(name, behind.name, 60.0)
                simulation.network.block(behind.name, name, 60.0)
            simulation.play(1.0)
            empty.end("its disk is lost", power_lost=True)
            simulation.onlooker.disk_lost(empty.name)
            empty.replace_disk()
            leader.end("gone", power_lost=True)
            simulation.network.heal()
            empty.start()
            simulation.play(10.0)
            assert simulation.leader() is None
            leader.start_again()
            simulation.play(3.0)
            simulation.settle()
            assert simulation.leader() is not None
        judgement = judge(simulation)
    assert judgement.verdict is not Verdict.FAIL, judgement.reason


def test_a_torn_end_of_the_archive_is_cut_off_before_a_snapshot_stands_for_it() -> None:
    """A follower's power is lost, and its journal with it. It begins anew with a snapshot, from nothing but an archive
    whose end was torn: what was lost there is no damage to what others have.
    """
    faults = replace(calm(draw_faults(Random(9))), torn_write_probability=1.0)
    for seed in range(3):
        with memory_directory() as directory:
            simulation = Simulation(seed, directory, faults=faults, log=SMALL_SNAPSHOTS)
            with simulation.in_virtual_time():
                simulation.set_up()
                simulation.begin()
                leader = simulation.leader()
                assert leader is not None
                behind = next(process for process in simulation.processes.values() if process is not leader)
                simulation.play(0.5)
                behind.end("gone", power_lost=True)
                behind.damage(Random(seed))
                simulation.play(4.0)
                behind.start()
                simulation.play(3.0)
                simulation.settle()
            judgement = judge(simulation)
        assert judgement.verdict is not Verdict.FAIL, f"seed {seed}: {judgement.reason}"
