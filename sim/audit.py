"""``tally replay``: the audit of an archive, with a second opinion on every balance and every book.

The engine executes the log again (``replication.replay``). Beside it, projections fold nothing but the archived
events into balances and price levels. At the end both must agree: two derivations, one result.
"""

from __future__ import annotations

import sys
from pathlib import Path

from engine import queries
from engine.entry import Entry
from engine.machine import Machine
from engine.rules import RulesNotKnown
from projections.balances import Balances, BalancesDisagree
from projections.order_book import OrderBooks
from replication.archive import ArchiveDamaged, ArchiveGap
from replication.replay import NothingToReplay, ReplayDiverged, group_directories, print_replay


def main(directory: Path) -> int:
    """Audit the archives below a folder, group by group. Answers the exit code: 0 only if all was derived and equal."""
    directories = group_directories(directory)
    codes = []
    for group in directories:
        if len(directories) > 1:
            print(f"{'' if group == directory else chr(10)}group        {group}")
        codes.append(_audit(group))
    return max(codes)


def _audit(directory: Path) -> int:
    balances, books = Balances(), OrderBooks()

    def fold(entry: Entry) -> None:
        balances.apply_entry_events(entry.events)
        books.apply_entry_events(entry.events)

    try:
        replayed = print_replay(directory, observe=fold)
        difference = first_difference(replayed.machine, balances, books)
    except NothingToReplay as error:
        print(f"tally replay: {error}", file=sys.stderr)
        return 2
    except RulesNotKnown as error:
        print(f"tally replay: {error}: replay it with a newer one", file=sys.stderr)
        return 2
    except (ArchiveDamaged, ArchiveGap, ReplayDiverged, BalancesDisagree) as error:
        where = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
        print(f"tally replay: {error}{where}", file=sys.stderr)
        return 1
    if difference:
        print(f"tally replay: events and engine disagree: {difference}", file=sys.stderr)
        return 1
    print("verified     chain, events, state, and every balance and book from the events alone")
    return 0


def first_difference(machine: Machine, balances: Balances, books: OrderBooks) -> str:
    """Compare the engine's state with the folds of its events. Empty if they agree."""
    ledger = {
        (account_id, asset_id): available + held for account_id, asset_id, available, held in machine.ledger.rows()
    }
    folded = balances.totals()
    for key in sorted(ledger.keys() | folded.keys()):
        if ledger.get(key, 0) != folded.get(key, 0):
            return f"account {key[0]}, asset {key[1]}: {ledger.get(key, 0)} and {folded.get(key, 0)} base units"
    for market in machine.trading.markets:
        depth = max(len(market.book.bids.levels), len(market.book.asks.levels))
        book = queries.book(machine, market.market_id, depth)
        sides = (("bids", books.bids(market.market_id, depth + 1)), ("asks", books.asks(market.market_id, depth + 1)))
        for name, levels in sides:
            if book is None or book[name] != [list(level) for level in levels]:
                return f"the {name} of {market.spec.name.decode()} differ"
    return ""
