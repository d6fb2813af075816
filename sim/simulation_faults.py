"""What goes wrong, how often and how badly. Every seed draws its own mixture.

Always the same mixture would never show what happens when one kind of fault is rare and another is common (swarm
testing: Groce et al., ISSTA 2012). Ranges follow TigerBeetle's VOPR where ours has the same fault. Whoever wants other
ones writes a file (`sim.simulation_fault_file`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from random import Random
from typing import Final, NamedTuple

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

BY_CHANCE: Final = ("cut-off", "fsync-fails", "slow-fsync", "write-fails", "open-fails", "loss")
"""What happens on an occasion and not by the schedule; see `sim.simulation_schedule`."""


class Span(NamedTuple):
    """Any number from ``low`` to ``high``."""

    low: float
    high: float


Range = tuple[float, ...] | Span
"""One of these numbers, or any within a span."""


@dataclass(frozen=True)
class Faults:
    """Probabilities are per occasion, from 0 to 1; ``_weight`` is a share of all faults of the schedule."""

    # Links. What is lost on its way takes its connection with it: inside one nothing is lost.
    delay_ms_min: float
    delay_ms_mean: float
    late_probability: float
    late_ms_max: float
    loss_probability: float
    # Disks
    fsync_ms_mean: float
    slow_fsync_probability: float
    slow_fsync_ms_max: float
    fsync_fails_probability: float
    write_fails_probability: float
    open_fails_probability: float
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
    misplaced_write_weight: float
    clock_jump_weight: float
    hand_over_weight: float
    replace_member_weight: float
    on_leader_share: float
    lasts_ms_max: float
    # Clients, and how long their gateways collect what they send on together
    flush_ms_mean: float
    sent_twice_probability: float
    retried_late_probability: float


RANGES: Final[Mapping[str, Range]] = {
    "delay_ms_min": (0.1, 0.5, 2.0),
    "delay_ms_mean": (0.5, 2.0, 8.0),
    "late_probability": (0.0, 0.001, 0.01),
    "late_ms_max": (50.0, 400.0),
    "loss_probability": (0.0, 0.0, 0.0001, 0.001),
    "fsync_ms_mean": (0.5, 2.0, 5.0),
    "slow_fsync_probability": (0.0, 0.0005, 0.005),
    "slow_fsync_ms_max": (100.0, 1_000.0),
    "fsync_fails_probability": (0.0, 0.0001, 0.0005),
    "write_fails_probability": (0.0, 0.0001, 0.0005),
    "open_fails_probability": (0.0, 0.0, 0.01),
    "torn_write_probability": (0.2, 0.9),
    "lost_name_probability": (0.2, 0.9),
    "cut_off_probability": (0.0, 0.0003, 0.002),
    "power_share": (0.2, 0.5, 0.9),
    "in_flight_lost_share": (0.1, 0.5, 0.9),
    "down_ms_max": (100.0, 1_000.0, 4_000.0),
    "wake_ms_max": (0.2, 2.0, 10.0),
    "fault_every_ms": (100.0, 300.0, 1_000.0, 4_000.0),
    "kill_weight": (0.0, 1.0, 4.0),
    "power_loss_weight": (0.0, 1.0, 4.0),
    "blackout_weight": (0.0, 0.3),
    "restart_weight": (0.0, 1.0),
    "pause_weight": (0.0, 1.0, 4.0),
    "break_weight": (0.0, 1.0, 4.0),
    "clog_weight": (0.0, 1.0, 4.0),
    "one_way_weight": (0.0, 1.0, 4.0),
    "isolate_weight": (0.0, 1.0, 4.0),
    "split_weight": (0.0, 1.0),
    "disk_full_weight": (0.0, 0.3),
    "lost_disk_weight": (0.0, 0.3),
    "misplaced_write_weight": (0.0, 0.3),
    "clock_jump_weight": (0.0, 0.5),
    "hand_over_weight": (0.0, 1.0),
    "replace_member_weight": (0.0, 0.3),
    "on_leader_share": (0.3, 0.7),
    "lasts_ms_max": (300.0, 1_500.0, 6_000.0),
    "flush_ms_mean": (100.0, 200.0, 300.0),
    "sent_twice_probability": (0.0, 0.01, 0.05),
    "retried_late_probability": (0.01, 0.05),
}
"""What a seed draws from. A number that stands there twice comes twice as often."""

assert list(RANGES) == [field.name for field in fields(Faults)]


def draw_faults(chance: Random, ranges: Mapping[str, Range] = RANGES) -> Faults:
    """The mixture of one seed. What is drawn for one name does not depend on the ranges of the others."""
    base = chance.getrandbits(64)
    return Faults(**{name: _draw(Random(f"{base} {name}"), ranges[name]) for name in RANGES})


def calm(faults: Faults) -> Faults:
    """The same links and disks without anything that goes wrong: what is left after everything was healed."""
    weights = {name: 0.0 for name in vars(faults) if name.endswith(WEIGHT)}
    return replace(
        faults,
        **weights,
        late_probability=0.0,
        loss_probability=0.0,
        slow_fsync_probability=0.0,
        fsync_fails_probability=0.0,
        write_fails_probability=0.0,
        open_fails_probability=0.0,
        cut_off_probability=0.0,
        sent_twice_probability=0.0,
        retried_late_probability=0.0,
    )


def _draw(chance: Random, of: Range) -> float:
    return of.low + chance.random() * (of.high - of.low) if isinstance(of, Span) else chance.choice(of)
