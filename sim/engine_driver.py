"""The engine in this process as a stage for scenarios: exact to the nanosecond, and days pass at once.

With ``restarts`` the machine is rebuilt from its snapshot after every command: a scenario must not notice it.
"""

from __future__ import annotations

from typing import Any, Final

from engine import queries
from engine.codec import decode_events, encode_command
from engine.entry import Entry
from engine.events import OrderConditions
from engine.invariants import assert_sound
from engine.machine import Machine
from engine.snapshot import restore, snapshot_bytes
from engine.types import (
    CLOSE_REASON_NAMES,
    MARKET_STATE_NAMES,
    SALE_STATUS_NAMES,
    STATUS_NAMES,
    TRANSFER_STATUS_NAMES,
    WITHDRAWAL_STATUS_NAMES,
)
from sim.driver import (
    DEPTH,
    Answer,
    Balance,
    BookLevel,
    Heard,
    MarketView,
    Movement,
    SaleView,
    Standing,
    Subscription,
)
from sim.order_sentences import conditions_of
from sim.phrases import Asked
from sim.register import Register
from sim.stage import Stage

NOON_NS: Final = 1_750_075_200 * 1_000_000_000  # 2025-06-16 12:00:00 UTC
_ROWS_MAX: Final = 1_000
_ANY_STATUS: Final = -1


class EngineDriver:
    """One exchange at a time. ``entries`` are the bytes of everything it did since the scenario began."""

    def __init__(self, *, restarts: bool = False) -> None:
        self.machine = Machine()
        self.register = Register()
        self.entries: list[Entry] = []
        self._restarts = restarts
        self._now_ns = NOON_NS

    def begin(self) -> None:
        self.machine, self.register, self._now_ns = Machine(), Register(), NOON_NS

    def now_ns(self) -> int:
        return self._now_ns

    def wait(self, duration_ns: int) -> None:
        self._now_ns += duration_ns

    def require_process(self, reason: str) -> None:
        """It is one."""

    def submit(self, asked: Asked) -> Answer:
        applied = self.machine.apply(self._now_ns, encode_command(asked.command))
        self.entries.append(applied.entry)
        assert_sound(self.machine)
        if self._restarts:
            self.machine = restore(snapshot_bytes(self.machine))
            assert_sound(self.machine)
        heard = [Heard(event, self._now_ns) for _, event in decode_events(applied.entry.events)]
        return Answer(self.machine.sequence, heard)

    def book(self, market_id: int) -> list[BookLevel]:
        book, market = queries.book(self.machine, market_id, DEPTH), self.register.markets[market_id]
        assert book is not None, market_id
        return [
            BookLevel(side[:-1], market.price(price_ticks), market.quantity(lots), count)
            for side in ("asks", "bids")
            for price_ticks, lots, count in book[side]
        ]

    def market(self, market_id: int) -> MarketView:
        fields, market = queries.market(self.machine, market_id), self.register.markets[market_id]
        assert fields is not None, market_id
        last_price_ticks = fields["last_price_ticks"]
        price_ticks, quantity_lots, surplus_lots = fields["indicative"]
        crossing = market.price(price_ticks), market.quantity(quantity_lots), market.quantity(surplus_lots)
        return MarketView(
            MARKET_STATE_NAMES[fields["state"]],
            market.price(last_price_ticks) if last_price_ticks else None,
            crossing if quantity_lots else None,
        )

    def balances(self, account_id: int) -> list[Balance]:
        rows = [(self.register.assets[row["asset_id"]], row) for row in queries.balances(self.machine, account_id)]
        return [
            Balance(asset.name, asset.amount(row["available_units"]), asset.amount(row["held_units"]))
            for asset, row in rows
        ]

    def orders(self, account_id: int) -> list[Standing]:
        return [self._standing(fields) for fields in queries.open_orders(self.machine, account_id, 0)]

    def order(self, account_id: int, client_order_id: str) -> Standing | None:
        fields = queries.order(self.machine, account_id, 0, client_order_id)
        return None if fields is None else self._standing(fields)

    def withdrawals(self, account_id: int) -> list[Movement]:
        found = queries.withdrawals(self.machine, account_id, _ANY_STATUS, 0, _ROWS_MAX)
        return [
            self._movement(fields, "withdrawal_id", WITHDRAWAL_STATUS_NAMES, "", fields["destination"])
            for fields in found
        ]

    def transfers(self, account_id: int) -> list[Movement]:
        names, found = self.register.accounts, queries.transfers(self.machine, account_id, 0, _ROWS_MAX)
        return [
            self._movement(
                fields,
                "transfer_id",
                TRANSFER_STATUS_NAMES,
                names[fields["from_account_id"]],
                names[fields["to_account_id"]],
            )
            for fields in found
        ]

    def sale(self, sale_id: int) -> SaleView | None:
        sale = self.register.sales.get(sale_id)
        fields = None if sale is None else queries.sale(self.machine, sale.name)
        if sale is None or fields is None:
            return None
        return SaleView(
            SALE_STATUS_NAMES[fields["status"]],
            f"{sale.tokens(fields['sold_lots'])} {sale.token.name}",
            f"{sale.quote.amount(fields['proceeds_units'])} {sale.quote.name}",
        )

    def subscriptions(self, account_id: int, sale_id: int) -> list[Subscription]:
        sale = self.register.sales[sale_id]
        answer = []
        for fields in queries.subscriptions(self.machine, sale_id, account_id, 0, _ROWS_MAX):
            settled, what = None, fields["settled"]
            if what is not None:
                tokens = f"{sale.tokens(what['quantity_lots'])} {sale.token.name}"
                paid, refunded = sale.quote.amount(what["paid_units"]), sale.quote.amount(what["refunded_units"])
                settled = tokens, f"{paid} {sale.quote.name}", refunded
            held = f"{sale.quote.amount(fields['held_units'])} {sale.quote.name}"
            answer.append(Subscription(fields["subscription_id"], held, settled))
        return answer

    def _standing(self, fields: dict[str, Any]) -> Standing:
        market = self.register.markets[fields["market_id"]]
        held_asset = self.register.held_asset(fields["order_id"])
        return Standing(
            fields["order_id"],
            STATUS_NAMES[fields["status"]],
            CLOSE_REASON_NAMES[fields["close_reason"]],
            market.quantity(fields["open_lots"]),
            market.quantity(fields["executed_lots"]),
            market.quote.amount(fields["notional_units"]),
            market.quote.amount(fields["fee_units"]),
            held_asset.amount(fields["held_units"]),
            conditions_of(OrderConditions(*(fields[name] for name in OrderConditions._fields)), self.register),
        )

    def _movement(
        self, fields: dict[str, Any], number: str, statuses: tuple[str, ...], giver: str, to: str
    ) -> Movement:
        asset = self.register.assets[fields["asset_id"]]
        amount = f"{asset.amount(fields['amount_units'])} {asset.name}"
        return Movement(fields[number], statuses[fields["status"]], amount, giver, to)


def engine_stage(*, restarts: bool = False) -> tuple[Stage, EngineDriver]:
    """A stage on a new engine, and the engine's driver for whoever looks behind the stage."""
    driver = EngineDriver(restarts=restarts)
    return Stage(driver), driver
