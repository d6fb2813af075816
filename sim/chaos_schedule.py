"""What goes wrong, and in which order: a function of the seed.

The schedule names roles (the leader, a follower), not processes: who leads when a fault strikes depends on time, and
time is real here. So the same seed means the same faults with the same numbers in the same order, and never the same
run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Final, NamedTuple

KILL_LEADER: Final = "kill-leader"

FAULTS: Final[dict[str, str]] = {
    KILL_LEADER: "SIGKILL of the leader; it is started again up to 2 s later",
    "kill-follower": "SIGKILL of a follower",
    "kill-all": "SIGKILL of all replicas at once",
    "kill-gateway": "SIGKILL of the gateway",
    "old-leader-first": "SIGKILL of all replicas; the one that led is started first, the others up to 3 s later",
    "pause-leader": "SIGSTOP of the leader, for 1 to 30 s",
    "pause-follower": "SIGSTOP of a follower, for 1 to 30 s",
    "delay": "what replicas send each other comes 25 to 125 ms later",
    "drop": "connections between replicas break, again and again",
    "cut-one-way": "a replica is heard by nobody, or hears nobody",
    "isolate": "a replica neither hears the others nor is heard",
    "flip": "a bit of what replicas send each other is another one",
    "disk-full": "no space is left on the disk of a replica",
    "journal-flipped": "a byte of the journal of a replica that is down is another one",
    "journal-truncated": "the journal of a replica that is down loses its end",
    "snapshots-flipped": "a byte of the snapshots of a replica that is down is another one",
    "archive-flipped": "a byte of the archive of a replica that is down is another one",
    "archive-truncated": "the archive of a replica that is down loses its end",
    "wipe": "all files of a replica that is down are gone",
    "second-process": "another process is started on the folder of a replica: it must refuse",
    "wrong-cluster": "a replica of another cluster is started on the folder of one that is down: it must refuse",
}
"""All kinds by name, and what each does."""

_DURATIONS_S: Final[dict[str, tuple[float, float]]] = {
    KILL_LEADER: (0.0, 2.0),
    "kill-follower": (0.0, 5.0),
    "kill-all": (0.0, 2.0),
    "kill-gateway": (0.0, 2.0),
    "old-leader-first": (0.0, 3.0),
    "pause-leader": (1.0, 30.0),
    "pause-follower": (1.0, 30.0),
}
_DURATION_S: Final = (2.0, 10.0)  # of the others
_PAUSE_S: Final = (1.0, 4.0)


class Planned(NamedTuple):
    """One fault. ``duration_s`` is how long it lasts, ``pause_s`` how long nothing happens before it.

    ``chance``, in [0, 1), decides all that is left open: which follower, which byte, which way.
    """

    number: int
    kind: str
    duration_s: float
    pause_s: float
    chance: float


def schedule(seed: int, kinds: Sequence[str]) -> Iterator[Planned]:
    """Faults without end. Every kind comes once before any comes again; the order is another one each time."""
    random = Random(seed)
    number = 0
    while True:
        deck = list(kinds)
        random.shuffle(deck)
        for kind in deck:
            number += 1
            duration_s = random.uniform(*_DURATIONS_S.get(kind, _DURATION_S))
            yield Planned(number, kind, duration_s, random.uniform(*_PAUSE_S), random.random())


def read_kinds(text: str) -> list[str]:
    """The kinds that a list such as ``kill-leader,flip`` names. ValueError says what is wrong."""
    kinds = [kind.strip() for kind in text.split(",") if kind.strip()]
    unknown = [kind for kind in kinds if kind not in FAULTS]
    if unknown or not kinds:
        raise ValueError(f"there is no fault {', '.join(unknown) or repr(text)}; there are {', '.join(FAULTS)}")
    return list(dict.fromkeys(kinds))
