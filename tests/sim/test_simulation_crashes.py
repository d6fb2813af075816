"""The crash matrix: a replica is cut off at every point of its work, as leader and as follower, with and without power.

Whatever was acknowledged before and after must be in the log exactly once, on every replica (`simulation_verdict`).
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from replication.config import LogSettings
from sim.simulation import Simulation
from sim.simulation_faults import POINTS, calm, draw_faults
from sim.simulation_process import SimulatedProcess
from sim.simulation_run import memory_directory
from sim.simulation_verdict import Verdict, judge

SMALL_SNAPSHOTS = LogSettings(snapshot_every_commands=200, keep_tail_entries=5)
NOTHING_GOES_WRONG = calm(draw_faults(Random(0)))


def victim(simulation: Simulation, role: str) -> SimulatedProcess:
    leader = simulation.leader()
    assert leader is not None
    if role == "leader":
        return leader
    return next(process for process in simulation.processes.values() if process is not leader)


@pytest.mark.parametrize("power_lost", [False, True], ids=["killed", "without-power"])
@pytest.mark.parametrize("role", ["leader", "follower"])
@pytest.mark.parametrize("point", [point for point in POINTS if point != "after-create"])
def test_what_was_acknowledged_survives_exactly_once(point: str, role: str, power_lost: bool) -> None:
    faults = replace(NOTHING_GOES_WRONG, power_share=float(power_lost), down_ms_max=500.0)
    with memory_directory() as directory:
        simulation = Simulation(POINTS.index(point), directory, faults=faults, log=SMALL_SNAPSHOTS)
        with simulation.in_virtual_time():
            simulation.set_up()
            simulation.begin()
            simulation.play(0.5)
            process = victim(simulation, role)
            process.cut_off_at = (point, 1)
            for _ in range(30):
                if process.starts == 1:
                    simulation.play(0.1)
            assert process.starts == 2, f"{point} was never passed"
            simulation.play(0.2)
            simulation.settle()
        judgement = judge(simulation)
    assert judgement.verdict is not Verdict.FAIL, judgement.reason
    assert simulation.clients.tally["answered"] > 100


@pytest.mark.parametrize("passes", range(3), ids=["journal", "snapshots", "archive"])
@pytest.mark.parametrize("power_lost", [False, True], ids=["killed", "without-power"])
def test_a_replica_may_die_when_it_makes_a_file_and_lose_its_power_later(passes: int, power_lost: bool) -> None:
    """The name of the file is durable by then, whoever made it."""
    faults = replace(NOTHING_GOES_WRONG, power_share=float(power_lost), down_ms_max=100.0, lost_name_probability=1.0)
    with memory_directory() as directory:
        simulation = Simulation(passes, directory, faults=faults, log=SMALL_SNAPSHOTS)
        simulation.faults = faults
        process = simulation.processes["node-2"]
        process.cut_off_at = ("after-create", passes)
        with simulation.in_virtual_time():
            simulation.set_up()
            simulation.begin()
            simulation.play(2.0)
            assert process.starts == 2
            process.end("gone", power_lost=True)
            process.start_again()
            simulation.play(0.5)
            simulation.settle()
        judgement = judge(simulation)
    assert judgement.verdict is not Verdict.FAIL, judgement.reason
