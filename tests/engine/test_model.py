"""The engine against the model, over streams of commands in which everything collides.

After each command both must agree on what happened, on every balance, book and order.
"""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import queries, rejects
from engine.codec import decode_events, encode_command
from engine.commands import CancelAll, Command, Deposit
from engine.events import (
    CommandRejected,
    Event,
    FundsDeposited,
    OrderAccepted,
    OrderAmended,
    OrderClosed,
    OrderReported,
    OrdersCancelled,
    RequestRepeated,
    TradeExecuted,
)
from engine.invariants import assert_sound
from engine.machine import Machine
from engine.types import BUY, FORGOTTEN_PER_COMMAND_MAX, SELL
from tests.engine.model import Happening, Model, Rules, facts
from tests.engine.workload import ACCOUNTS, CHOICE_LIMITS, LISTING, NOTHING, STRANGER, Choice, Workload, seeded_choices

CHOICES = st.builds(Choice, *(st.integers(0, limit - 1) for limit in CHOICE_LIMITS))


class Pair:
    """An engine and a model that execute the same commands, and must agree."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.seen: Counter[str] = Counter()
        for command in LISTING:
            if not isinstance(command, Deposit):
                self.machine.apply(command.issued_at_ns, encode_command(command))
        directory = queries.directory(self.machine)
        self.model = Model(
            markets={
                market["market_id"]: Rules(
                    market["base_asset_id"],
                    market["quote_asset_id"],
                    market["base_decimals"],
                    market["quote_decimals"],
                    market["tick_units"],
                    market["lot_units"],
                    market["notional_units"],
                    market["min_notional_units"],
                    market["maker_fee_ppm"],
                    market["taker_fee_ppm"],
                )
                for market in directory["markets"]
            },
            decimals={asset["asset_id"]: asset["decimals"] for asset in directory["assets"]},
            accounts={0, *ACCOUNTS},
            sequence=self.machine.sequence,
        )
        for command in LISTING:
            if isinstance(command, Deposit):
                self.execute(command.issued_at_ns, command)

    def run(self, choices: list[Choice]) -> None:
        workload = Workload()
        for choice in choices:
            if choice.kind == NOTHING:
                continue
            now_ns, command = workload.next_command(choice)
            self._let_ids_be_forgotten(now_ns)
            self.execute(now_ns, command)
            self._compare_state()

    def execute(self, now_ns: int, command: Command) -> None:
        applied = self.machine.apply(now_ns, encode_command(command))
        budgets = {order.order_id for order in self.machine.trading.orders.values() if order.budget_units}
        happened = [_plain(event, budgets) for _, event in decode_events(applied.entry.events)]
        assert happened == self.model.apply(now_ns, command), command
        assert_sound(self.machine)
        for happening in happened:
            self.seen[happening[0]] += 1
            if happening[0] == "refused":
                self.seen[rejects.reason_code(happening[1])] += 1

    def _let_ids_be_forgotten(self, now_ns: int) -> None:
        """The engine forgets a few ids per command, the model all at once: give the engine commands to do it."""
        for _ in range(len(self.model.memory) // FORGOTTEN_PER_COMMAND_MAX + 1):
            if self.machine.receipts.next_to_forget(now_ns) is None:
                break
            self.execute(now_ns, CancelAll(STRANGER, now_ns, 0, b"stranger"))
        assert self.machine.receipts.next_to_forget(now_ns) is None, "old ids are not forgotten"

    def _compare_state(self) -> None:
        machine, model = self.machine, self.model
        for account_id in (0, *ACCOUNTS):
            balances = {row["asset_id"]: row for row in queries.balances(machine, account_id)}
            for asset_id in model.decimals:
                row = balances.get(asset_id, {"available_units": 0, "held_units": 0})
                expected = (model.available(account_id, asset_id), model.held(account_id, asset_id))
                assert (row["available_units"], row["held_units"]) == expected, (account_id, asset_id)
            ids = [order["order_id"] for order in queries.open_orders(machine, account_id, 0)]
            assert ids == sorted(order.number for order in model.open_orders(account_id))
        for market_id in model.markets:
            book = queries.book(machine, market_id, 1_000)
            assert book is not None
            assert book == {"bids": self._levels(market_id, BUY), "asks": self._levels(market_id, SELL)}
        assert sorted(machine.trading.orders) == sorted(model.orders)
        for number, order in model.orders.items():
            found = queries.order(machine, order.asked.account_id, number, "")
            assert found is not None
            assert tuple(found[name] for name in FACTS) == facts(order)

    def _levels(self, market_id: int, side: int) -> list[list[int]]:
        levels: list[list[int]] = []
        for order in self.model.queue(market_id, side):
            if not levels or levels[-1][0] != order.price:
                levels.append([order.price, 0, 0])
            levels[-1][1] += order.open
            levels[-1][2] += 1
        return levels


FACTS = (
    "order_id",
    "close_reason",
    "price_ticks",
    "quantity_lots",
    "open_lots",
    "executed_lots",
    "prevented_lots",
    "cancelled_lots",
    "notional_units",
    "fee_units",
    "held_units",
)


def _plain(event: Event, budgets: set[int]) -> Happening:
    """What the model would say. How many lots a budget order has in mind between two trades is its own affair."""
    match event:
        case CommandRejected():
            return ("refused", event.reason, event.original_sequence)
        case RequestRepeated():
            return ("repeats", event.original_sequence, event.reason)
        case FundsDeposited():
            return ("deposited", event.account_id, event.asset_id, event.amount_units, event.available_units)
        case OrderReported():
            return ("order", *(getattr(event, name) for name in FACTS))
        case OrderAccepted():
            return ("accepted", event.order_id, event.price_ticks, event.quantity_lots, event.held_units)
        case TradeExecuted():
            taker_open_lots = None if event.taker_order_id in budgets else event.taker_open_lots
            return (
                "trade",
                event.maker_order_id,
                event.taker_order_id,
                event.price_ticks,
                event.quantity_lots,
                event.maker_fee_units,
                event.taker_fee_units,
                event.maker_open_lots,
                taker_open_lots,
            )
        case OrderClosed():
            parts = (event.executed_lots, event.prevented_lots, event.cancelled_lots)
            return ("closed", event.order_id, event.reason, *parts)
        case OrderAmended():
            return (
                "amended",
                event.order_id,
                event.kept_place,
                event.price_ticks,
                event.quantity_lots,
                event.open_lots,
                event.held_units,
            )
        case OrdersCancelled():
            return ("cancelled", event.order_count)
    raise AssertionError(event)


@settings(max_examples=250, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
@given(st.lists(CHOICES, min_size=40, max_size=60))
def test_engine_and_model_agree_on_streams_that_shrink(choices: list[Choice]) -> None:
    Pair().run(choices)


@pytest.mark.parametrize("seed", range(24))
def test_engine_and_model_agree_on_a_long_stream(seed: int) -> None:
    pair = Pair()
    pair.run(seeded_choices(Random(seed), 500))
    # A stream in which little happened would prove little.
    assert pair.seen["trade"] > 20, (seed, pair.seen)
