"""What is checked when the trouble is over: the files of every replica, and the traders' books against them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from engine.entry import Entry
from engine.snapshot import state_hash
from projections.balances import BalancesDisagree
from projections.order_book import OrderBooks
from replication.archive import ArchiveDamaged, ArchiveGap
from replication.replay import ReplayDiverged, replay
from sim.audit import first_difference
from sim.chaos_history import History, HistoryContradicts
from sim.chaos_reconciliation import reconcile
from sim.chaos_traders import Books


class Seen(NamedTuple):
    """Where a replica said that it was, at some moment of the run."""

    node_id: str
    sequence: int
    chain: str


def check_replicas(found: list[dict[str, Any]]) -> list[str]:
    """At the end all are at one place, with one chain and one state."""
    complaints = []
    for what in ("sequence", "chain", "state_hash"):
        if len({replica[what] for replica in found}) != 1:
            told = ", ".join(f"{replica['node']} {replica[what]}" for replica in found)
            complaints.append(f"the replicas do not have the same {what}: {told}")
    return complaints


def check_files(
    directories: list[Path], found: list[dict[str, Any]], seen: Iterable[Seen], books: list[Books]
) -> list[str]:
    """Execute each replica's archive again from nothing, and reconcile the traders' books with what it says.

    ``found`` is what the replicas said at the end, before they were stopped. Each archive must have the whole history:
    what came to a replica as a snapshot, or was damaged, is mended by then.
    """
    complaints: list[str] = []
    told = {str(replica["node"]): replica for replica in found}
    for directory in directories:
        history, order_books = History(), OrderBooks()

        def fold(entry: Entry, history: History = history, order_books: OrderBooks = order_books) -> None:
            history.add(entry)
            order_books.apply_entry_events(entry.events)

        try:
            machine = replay(directory, observe=fold).machine
        except (
            ArchiveDamaged,
            ArchiveGap,
            ReplayDiverged,
            HistoryContradicts,
            BalancesDisagree,
            AssertionError,
        ) as fault:
            where = "".join(f" ({note})" for note in getattr(fault, "__notes__", ()))
            complaints.append(f"the archive of {directory.name}: {fault}{where}")
            continue
        replica = told[directory.name]
        derived = machine.sequence, machine.chain.hex(), state_hash(machine).hex()
        if derived != (replica["sequence"], replica["chain"], replica["state_hash"]):
            complaints.append(f"the archive of {directory.name} gives {derived}, the replica said {replica}")
        difference = first_difference(machine, history.balances, order_books)
        if difference:
            complaints.append(f"the archive of {directory.name}: events and engine disagree: {difference}")
        complaints += _check_seen(seen, history)
        complaints += [f"{directory.name}: {complaint}" for complaint in reconcile(books, history)]
    return complaints


def _check_seen(seen: Iterable[Seen], history: History) -> list[str]:
    """What a replica once said that it had committed is still the history."""
    return [
        f"{one.node_id} was at sequence {one.sequence} with chain {one.chain[:16]}, the archives have another one there"
        for one in seen
        if history.chains.get(one.sequence, b"").hex() != one.chain and one.sequence
    ]
