"""Do the replicas agree? Each tells the others its chain value at fixed places of the log.

The same entries must give the same chain on every replica. A replica whose value differs from one
that a majority of the replicas shares at the same place has diverged: it must stop, and the others go on.
With one other opinion only there is no majority yet, so nobody stops on the word of a single peer.
"""

from __future__ import annotations

from typing import Final, NamedTuple

CHECKPOINT_EVERY_ENTRIES: Final = 32
CHECKPOINTS_KEPT: Final = 256


class Checkpoint(NamedTuple):
    sequence: int
    chain: bytes


class Diverged(Exception):
    """This replica computed something else than a majority of the replicas."""


class Agreement:
    """What this replica and its peers said about each checkpoint, the newest ones only."""

    def __init__(self, replica_count: int) -> None:
        """`replica_count` may be set anew when members come and go."""
        self.replica_count = replica_count
        self._own: dict[int, Checkpoint] = {}
        self._peers: dict[int, dict[str, Checkpoint]] = {}

    def record_own(self, log_index: int, checkpoint: Checkpoint) -> None:
        """Diverged if a majority of the replicas agreed on something else there."""
        self._own[log_index] = checkpoint
        self._check(log_index)
        _drop_oldest(self._own)

    def record_peer(self, peer_id: str, log_index: int, checkpoint: Checkpoint) -> None:
        """Diverged if that makes a majority against this replica."""
        self._peers.setdefault(log_index, {})[peer_id] = checkpoint
        self._check(log_index)
        _drop_oldest(self._peers)

    def _check(self, log_index: int) -> None:
        own, peers = self._own.get(log_index), self._peers.get(log_index)
        if own is None or peers is None:
            return
        for theirs in peers.values():
            agreeing = sum(other == theirs for other in peers.values())
            if theirs != own and agreeing > self.replica_count // 2:
                raise Diverged(
                    f"at log index {log_index} this replica has sequence {own.sequence} and chain {own.chain.hex()}, "
                    f"but {agreeing} replicas have sequence {theirs.sequence} and chain {theirs.chain.hex()}"
                )


def _drop_oldest(checkpoints: dict[int, Checkpoint] | dict[int, dict[str, Checkpoint]]) -> None:
    while len(checkpoints) > CHECKPOINTS_KEPT:
        del checkpoints[min(checkpoints)]
