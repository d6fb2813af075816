"""What goes wrong, how often and how badly. Every seed draws its own mixture.

Always the same mixture would never show what happens when one kind of fault is rare and another is common (swarm
testing: Groce et al., ISSTA 2012). Ranges follow TigerBeetle's VOPR where ours has the same fault.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Final

WEIGHT: Final = "_weight"
POINTS: Final = (
    "after-create",
    "before-append",
    "before-fsync",
    "after-fsync",
    "before-apply",
    "after-apply",
    "in-snapshot",
    "before-publish",
    "after-publish",
)
"""Places in a replica's work where it may be cut off; see `sim.simulation_process`."""


@dataclass(frozen=True)
class Faults:
    """Probabilities are per occasion, from 0 to 1; ``_weight`` is a share of all faults of the schedule."""

    # Links
    delay_ms_min: float
    delay_ms_mean: float
    late_probability: float
    late_ms_max: float
    # Disks
    fsync_ms_mean: float
    slow_fsync_probability: float
    slow_fsync_ms_max: float
    fsync_fails_probability: float
    torn_write_probability: float
    lost_name_probability: float
    # Processes
    cut_off_probability: float
    power_share: float
    in_flight_lost_share: float
    down_ms_max: float
    wake_ms_max: float
    # The schedule: one fault after the other, so far apart on average
    fault_every_ms: float
    kill_weight: float
    power_loss_weight: float
    blackout_weight: float
    restart_weight: float
    pause_weight: float
    break_weight: float
    clog_weight: float
    one_way_weight: float
    isolate_weight: float
    split_weight: float
    disk_full_weight: float
    lost_disk_weight: float
    clock_jump_weight: float
    on_leader_share: float
    lasts_ms_max: float
    # Clients, and how long their gateways collect what they send on together
    flush_ms_mean: float
    sent_twice_probability: float
    retried_late_probability: float


def draw_faults(chance: Random) -> Faults:
    """The mixture of one seed."""
    pick = chance.choice
    return Faults(
        delay_ms_min=pick([0.1, 0.5, 2.0]),
        delay_ms_mean=pick([0.5, 2.0, 8.0]),
        late_probability=pick([0.0, 0.001, 0.01]),
        late_ms_max=pick([50.0, 400.0]),
        fsync_ms_mean=pick([0.5, 2.0, 5.0]),
        slow_fsync_probability=pick([0.0, 0.0005, 0.005]),
        slow_fsync_ms_max=pick([100.0, 1_000.0]),
        fsync_fails_probability=pick([0.0, 0.0001, 0.0005]),
        torn_write_probability=pick([0.2, 0.9]),
        lost_name_probability=pick([0.2, 0.9]),
        cut_off_probability=pick([0.0, 0.0003, 0.002]),
        power_share=pick([0.2, 0.5, 0.9]),
        in_flight_lost_share=pick([0.1, 0.5, 0.9]),
        down_ms_max=pick([100.0, 1_000.0, 4_000.0]),
        wake_ms_max=pick([0.2, 2.0, 10.0]),
        fault_every_ms=pick([100.0, 300.0, 1_000.0, 4_000.0]),
        kill_weight=pick([0.0, 1.0, 4.0]),
        power_loss_weight=pick([0.0, 1.0, 4.0]),
        blackout_weight=pick([0.0, 0.3]),
        restart_weight=pick([0.0, 1.0]),
        pause_weight=pick([0.0, 1.0, 4.0]),
        break_weight=pick([0.0, 1.0, 4.0]),
        clog_weight=pick([0.0, 1.0, 4.0]),
        one_way_weight=pick([0.0, 1.0, 4.0]),
        isolate_weight=pick([0.0, 1.0, 4.0]),
        split_weight=pick([0.0, 1.0]),
        disk_full_weight=pick([0.0, 0.3]),
        lost_disk_weight=pick([0.0, 0.3]),
        clock_jump_weight=pick([0.0, 0.5]),
        on_leader_share=pick([0.3, 0.7]),
        lasts_ms_max=pick([300.0, 1_500.0, 6_000.0]),
        flush_ms_mean=pick([100.0, 200.0, 300.0]),
        sent_twice_probability=pick([0.0, 0.01, 0.05]),
        retried_late_probability=pick([0.01, 0.05]),
    )


def calm(faults: Faults) -> Faults:
    """The same links and disks without anything that goes wrong: what is left after everything was healed."""
    weights = {name: 0.0 for name in vars(faults) if name.endswith(WEIGHT)}
    return replace(
        faults,
        **weights,
        late_probability=0.0,
        slow_fsync_probability=0.0,
        fsync_fails_probability=0.0,
        cut_off_probability=0.0,
        sent_twice_probability=0.0,
        retried_late_probability=0.0,
    )
