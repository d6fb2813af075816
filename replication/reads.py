"""Questions that a replica answers from its applied state.

A replica answers what it has applied, which is committed and durable. Whether that is new enough is decided before
(``replication.read_desk``). Every answer names the sequence that it reflects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from engine import queries
from replication.archive import ArchiveDamaged
from replication.protocol import Answer
from replication.replica import Replica

ROWS_MAX: Final = 1_001  # one more than a page, which tells whether there is another


Question = Callable[..., Any]
"""Called with the replica and the question's arguments by name."""


def answer(
    replica: Replica, name: str, arguments: dict[str, Any], questions: Mapping[str, Question] | None = None
) -> Answer:
    """Look the question up in QUESTIONS, or in another table. An unknown one, or wrong arguments, gets an ``error``."""
    sequence = replica.machine.sequence
    question = (QUESTIONS if questions is None else questions).get(name)
    if question is None:
        return Answer(0, sequence, None, f"there is no question {name!r}")
    try:
        return Answer(0, sequence, question(replica, **arguments))
    except TypeError as error:
        return Answer(0, sequence, None, f"wrong arguments for {name!r}: {error}")
    except (ArchiveDamaged, OSError) as error:
        # A reader's misfortune: what this replica executes does not depend on it.
        return Answer(0, sequence, None, str(error))


def _directory(replica: Replica) -> Any:
    return queries.directory(replica.machine)


def _account(replica: Replica, account_id: int) -> Any:
    return queries.account(replica.machine, account_id)


def _account_by_name(replica: Replica, name: str) -> Any:
    return queries.account_by_name(replica.machine, name)


def _api_key(replica: Replica, key_id: str) -> Any:
    return queries.api_key(replica.machine, key_id)


def _balances(replica: Replica, account_id: int) -> Any:
    return queries.balances(replica.machine, account_id)


def _balances_and_in_flight(replica: Replica, account_id: int) -> Any:
    return queries.balances_and_in_flight(replica.machine, account_id)


def _order(replica: Replica, account_id: int, order_id: int, client_order_id: str) -> Any:
    return queries.order(replica.machine, account_id, order_id, client_order_id)


def _open_orders(replica: Replica, account_id: int, market_id: int, after_order_id: int, limit: int) -> Any:
    return queries.open_orders(replica.machine, account_id, market_id, after_order_id, min(limit, ROWS_MAX))


def _book(replica: Replica, market_id: int, depth: int) -> Any:
    return queries.book(replica.machine, market_id, min(depth, ROWS_MAX))


def _market(replica: Replica, market_id: int) -> Any:
    return queries.market(replica.machine, market_id)


def _markets(replica: Replica) -> Any:
    """What changes about each market, all as of one sequence."""
    markets = [market for market in replica.machine.registry.markets if market is not None]
    return [queries.market(replica.machine, market.market_id) for market in markets]


def _withdrawals(replica: Replica, account_id: int, status: int, after_id: int, limit: int) -> Any:
    return queries.withdrawals(replica.machine, account_id, status, after_id, min(limit, ROWS_MAX))


def _transfers(replica: Replica, account_id: int, after_id: int, limit: int) -> Any:
    return queries.transfers(replica.machine, account_id, after_id, min(limit, ROWS_MAX))


def _sent_transfers(replica: Replica, account_id: int, after_id: int, limit: int) -> Any:
    return queries.sent_transfers(replica.machine, account_id, after_id, min(limit, ROWS_MAX))


def _sent_transfer(replica: Replica, transfer_id: int) -> Any:
    return queries.sent_transfer(replica.machine, transfer_id)


def _received_transfer(replica: Replica, from_group: str, transfer_id: int) -> Any:
    return queries.received_transfer(replica.machine, from_group, transfer_id)


def _in_flight(replica: Replica) -> Any:
    return queries.in_flight(replica.machine)


def _standing(replica: Replica, name: str) -> Any:
    return queries.standing(replica.machine, name)


def _sales(replica: Replica, after_id: int, limit: int) -> Any:
    """A page of the sales by ascending number: all of them together may be larger than an answer."""
    sales = [sale for sale in queries.sales(replica.machine) if sale["sale_id"] > after_id]
    return sales[: min(limit, ROWS_MAX)]


def _sale(replica: Replica, name: str) -> Any:
    return queries.sale(replica.machine, name)


def _subscriptions(replica: Replica, sale_id: int, account_id: int, after_id: int, limit: int) -> Any:
    return queries.subscriptions(replica.machine, sale_id, account_id, after_id, min(limit, ROWS_MAX))


def _trades(replica: Replica, market_id: int, limit: int) -> Any:
    """The newest trades, newest first, as far as the tape goes back."""
    return [trade._asdict() for trade in replica.trades(market_id, min(limit, ROWS_MAX))]


def _events(replica: Replica, after_sequence: int, limit: int) -> Any:
    """What happened after a command, from the archive: encoded, for whoever asks to decode."""
    found = replica.entries_after(after_sequence, min(limit, ROWS_MAX))
    return {"entries": [entry._asdict() for entry in found.entries], "more": found.more}


def _entries(replica: Replica, after_sequence: int, offset: int = 0) -> Any:
    """Raw history, for ``replication.entry_source``, which says what the fields mean."""
    return replica.encoded_entries_after(after_sequence, offset)._asdict()


QUESTIONS: Final[Mapping[str, Question]] = {
    "directory": _directory,
    "account": _account,
    "account_by_name": _account_by_name,
    "api_key": _api_key,
    "balances": _balances,
    "balances_and_in_flight": _balances_and_in_flight,
    "order": _order,
    "open_orders": _open_orders,
    "book": _book,
    "market": _market,
    "markets": _markets,
    "trades": _trades,
    "withdrawals": _withdrawals,
    "transfers": _transfers,
    "sent_transfers": _sent_transfers,
    "sent_transfer": _sent_transfer,
    "received_transfer": _received_transfer,
    "in_flight": _in_flight,
    "standing": _standing,
    "sales": _sales,
    "sale": _sale,
    "subscriptions": _subscriptions,
    "events": _events,
    "entries": _entries,
}
