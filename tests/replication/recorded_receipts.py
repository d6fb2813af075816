"""Receipts of the recorded history, from real archives, signed at a known moment with known keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from replication.receipt_desk import FOUND, ReceiptDesk
from replication.receipts import Receipt
from replication.replica import Replica
from replication.signing_key import SigningKey
from tests.replication.recorded_history import NOW_NS, payloads

CLUSTER_ID = bytes(range(16))
GROUP = "main"
SIGNED_AT_NS = NOW_NS + 123_456_789
KEYS = {"node-1": SigningKey(bytes(range(32))), "node-2": SigningKey(bytes(range(32, 64)))}
ENTRIES = 6


def replica(directory: Path, entries: int = ENTRIES) -> Replica:
    """A replica that has executed the recorded history."""
    executed = Replica(directory / "archive")
    for log_index, payload in enumerate(payloads(entries), start=2):
        executed.apply(log_index, 1, payload)
    return executed


def desk(of: Replica, node: str = "node-1") -> ReceiptDesk:
    return ReceiptDesk(of, KEYS[node], cluster_id=CLUSTER_ID, group=GROUP, node=node, now_ns=lambda: SIGNED_AT_NS)


def ask(of: ReceiptDesk, sequence: int, *, for_operator: bool = False) -> dict[str, Any]:
    """The first answer that is more than "ask again"."""
    for _ in range(1_000):
        answer = of.receipt(of._replica, sequence, for_operator)
        if answer["status"] != "searching":
            return answer
    raise AssertionError("it never gets there")


def receipt(of: ReceiptDesk, sequence: int, *, for_operator: bool = False) -> Receipt:
    answer = ask(of, sequence, for_operator=for_operator)
    assert answer["status"] == FOUND, answer
    return Receipt(**answer["receipt"])


def exchange(directory: Path) -> None:
    """The data of two replicas as ``tally up`` has it, archives only."""
    for node in KEYS:
        executed = replica(directory / "data" / node)
        executed.close()
