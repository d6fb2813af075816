"""Writes receipts: looks the entry up in the archive, checks it against the chain, and signs.

Only what this replica has executed gets a receipt, and that is committed. The question costs a bounded amount of work:
whoever is told ``searching`` asks again (``replication.archive_reader``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from engine.types import OPERATOR
from replication.receipts import Receipt, extract, statement
from replication.replica import Replica
from replication.signing_key import SigningKey

FOUND: Final = "found"
UNKNOWN: Final = "unknown"  # not executed yet
SEARCHING: Final = "searching"
NOT_ARCHIVED: Final = "not archived"  # it came to this replica as a snapshot
TOO_LARGE: Final = "too large"  # the entry is


class ReceiptDesk:
    """Of one replica. ``receipt`` is a question like those of ``replication.reads``."""

    def __init__(
        self, replica: Replica, key: SigningKey, *, cluster_id: bytes, group: str, node: str, now_ns: Callable[[], int]
    ) -> None:
        self._replica = replica
        self._key = key
        self._cluster_id = cluster_id
        self._group = group
        self._node = node
        self._now_ns = now_ns

    def receipt(self, _replica: Replica, sequence: int, for_operator: bool) -> dict[str, Any]:
        """``{"status"}`` and, if it is FOUND, whose command it is and the fields of a Receipt."""
        machine = self._replica.machine
        if not 1 <= sequence <= machine.sequence:
            return {"status": UNKNOWN}
        found = self._replica.find_entry(sequence)
        if found is None:
            return {"status": SEARCHING}
        entry = found.entry
        if entry is None:
            return {"status": TOO_LARGE if found.is_too_large else NOT_ARCHIVED}
        offset = sequence - entry.first_sequence
        extracted = extract(entry.commands, entry.events, offset, sees_all=False)
        account = machine.registry.account(extracted.account_id)
        if account is not None and account.role == OPERATOR:
            # What it does to the accounts of others is its business.
            extracted = extract(entry.commands, entry.events, offset, sees_all=True)
        is_shown = for_operator or extracted.is_alone
        unsigned = Receipt(
            cluster_id=self._cluster_id,
            group=self._group,
            node=self._node,
            sequence=sequence,
            signed_at_ns=self._now_ns(),
            first_sequence=entry.first_sequence,
            timestamp_ns=entry.timestamp_ns,
            command_count=entry.command_count,
            commands_length=len(entry.commands),
            events_length=len(entry.events),
            chain_before=found.chain_before,
            chain_after=entry.chain,
            command=extracted.command,
            outcome=extracted.outcome,
            whole=extracted.whole,
            public_key=self._key.public_key,
            signature=b"",
            commands=entry.commands if is_shown else None,
            events=entry.events if is_shown else None,
        )
        receipt = unsigned._replace(signature=self._key.sign(statement(unsigned)))
        return {"status": FOUND, "account_id": extracted.account_id, "receipt": receipt._asdict()}
