"""Token sales: the rulebook's section H, each refusal at its boundary, time, retries, and rows of a snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import rejects
from engine.amounts import ABSENT, SCALE_UNREPRESENTABLE, Decimal, parse_decimal
from engine.commands import CreateSale, DecideSale, SubscribeSale
from engine.event_writer import EventWriter
from engine.events import Event, RequestRepeated, SaleChanged, SaleSettled, SaleSubscribed
from engine.ledger import Ledger
from engine.registry import Registry
from engine.sale import Sales
from engine.sale_state import SALE_ROW, SUBSCRIPTION_ROW
from engine.timers import SALE_CLOSES, SALE_OPENS, Timers
from engine.types import (
    AMOUNT_MAX,
    CANCEL_SALE,
    CLOSE_SALE,
    EXCHANGE_ACCOUNT,
    FIXED_PRICE,
    NOTIONAL_MAX,
    NS_PER_S,
    OPEN_SALE,
    POT,
    SALE_ANNOUNCED,
    SALE_CANCELLED,
    SALE_FAILED,
    SALE_OPEN,
    SALE_SUCCEEDED,
    SUBSCRIPTIONS_PER_SALE_MAX,
    TRADER,
    UNIFORM_PRICE,
    AccountSpec,
    AssetSpec,
    MarketSpec,
)
from tests.engine.exchange import emitted

NOW_NS = 1_750_000_000 * NS_PER_S
ISSUER, ANA, BO, CY, DEE = 1, 2, 3, 4, 5
EUR, TOK, BIG = 1, 2, 3  # with 2, 3 and 0 decimals
TOK_EUR, EUR_TOK = 1, 2  # markets
UNREPRESENTABLE_TEXT = "1e400"

Term = int | str | bytes  # a text is a decimal

POT_OF_A_THOUSAND = CreateSale(
    account_id=EXCHANGE_ACCOUNT,
    issued_at_ns=NOW_NS,
    issuer_account_id=ISSUER,
    token_asset_id=TOK,
    quote_asset_id=EUR,
    market_id=0,
    kind=POT,
    price_mantissa=2,
    price_scale=0,
    lot_mantissa=1,
    lot_scale=0,
    quantity_mantissa=1_000,
    quantity_scale=0,
    soft_cap_mantissa=0,
    soft_cap_scale=0,
    account_cap_mantissa=0,
    account_cap_scale=0,
    opens_at_ns=0,
    closes_at_ns=0,
    name=b"tok-1",
)


class FreezableRegistry(Registry):
    """A registry whose accounts a test freezes without the desk that does it for operators."""

    def __init__(self) -> None:
        super().__init__()
        self.cold: list[int] = []

    def is_frozen(self, account_id: int) -> bool:
        return account_id in self.cold


class Desk:
    """The sales desk of a small exchange, checked as a whole after every step."""

    def __init__(self) -> None:
        self.registry = FreezableRegistry()
        for asset_id, decimals, name in ((EUR, 2, b"EUR"), (TOK, 3, b"TOK"), (BIG, 0, b"BIG")):
            self.registry.add_asset(AssetSpec(asset_id, name, decimals, asset_id))
        for account_id in (ISSUER, ANA, BO, CY, DEE):
            self.registry.add_account(AccountSpec(account_id, b"account-%d" % account_id, TRADER, account_id))
        for market_id, base, quote in ((TOK_EUR, TOK, EUR), (EUR_TOK, EUR, TOK)):
            market = MarketSpec(market_id, b"market-%d" % market_id, base, quote, 3, 2, 1, 1_000, 1, 0, 0, 0, 9)
            self.registry.add_market(market)
        self.ledger = Ledger()
        self.sequence = 100
        self.now_ns = NOW_NS
        self.delisted: list[int] = []
        self.opened: list[tuple[int, int]] = []
        self.timers = Timers()
        self.sales = self._new_sales(self.timers)
        self.checks = True

    def fund(self, account_id: int, asset_id: int, units: int) -> None:
        self.ledger.deposit(account_id, asset_id, units)

    def restart(self) -> None:
        """Go on with what a snapshot of the sales would bring back."""
        sale_rows = [(SALE_ROW.unpack(SALE_ROW.pack(*row)), texts) for row, texts in self.sales.sale_rows()]
        subscription_rows = [
            (SUBSCRIPTION_ROW.unpack(SUBSCRIPTION_ROW.pack(*row)), texts)
            for row, texts in self.sales.subscription_rows()
        ]
        self.timers = Timers()
        restored = self._new_sales(self.timers)
        restored.restore(iter(sale_rows), iter(subscription_rows))
        assert restored.sale_rows() == sale_rows == self.sales.sale_rows()
        assert restored.subscription_rows() == subscription_rows == self.sales.subscription_rows()
        assert list(restored.holds()) == list(self.sales.holds())
        self.sales = restored

    def create(self, **terms: Term) -> tuple[int, list[Event]]:
        """A pot of 1,000 TOK at 2 EUR, except for what is said."""
        fields: dict[str, Any] = {}
        for name, value in terms.items():
            if isinstance(value, str):
                fields[f"{name}_mantissa"], fields[f"{name}_scale"] = decimal(value)
            else:
                fields[name] = value
        return self._execute(POT_OF_A_THOUSAND._replace(**fields))

    def decide(self, decision: int, sale_id: int = 1) -> tuple[int, list[Event]]:
        return self._execute(DecideSale(EXCHANGE_ACCOUNT, self.now_ns, sale_id, decision))

    def subscribe(
        self, account_id: int, amount: str, price: str | None = None, sale_id: int = 1
    ) -> tuple[int, list[Event]]:
        price_decimal = ABSENT if price is None else decimal(price)
        command = SubscribeSale(account_id, self.now_ns, sale_id, *decimal(amount), *price_decimal, b"request")
        return self._execute(command)

    def pass_time(self, now_ns: int) -> list[Event]:
        """Let an entry with this time begin, without a command in it."""
        self.now_ns = now_ns
        emit = EventWriter()
        while (timer := self.timers.pop_due(now_ns)) is not None:
            _, kind, sale_id = timer
            assert kind in (SALE_OPENS, SALE_CLOSES)
            handler = self.sales.on_opens if kind == SALE_OPENS else self.sales.on_closes
            handler(sale_id, now_ns, emit)
        self._assert_sound()
        return emitted(emit)

    def balance(self, account_id: int, asset_id: int) -> tuple[int, int]:
        return self.ledger.available_units(account_id, asset_id), self.ledger.held_units(account_id, asset_id)

    def available(self, asset_id: int) -> list[int]:
        """What the issuer, Ana, Bo, Cy and Dee have; nothing is held any more."""
        assert not any(self.ledger.held_units(account_id, asset_id) for account_id in range(6))
        return [self.ledger.available_units(account_id, asset_id) for account_id in range(1, 6)]

    def _new_sales(self, timers: Timers) -> Sales:
        return Sales(self.registry, self.ledger, timers, self._open_market, self.delisted.__contains__)

    def _open_market(self, market_id: int, price_units: int, emit: EventWriter) -> None:
        self.opened.append((market_id, price_units))

    def _execute(self, command: CreateSale | DecideSale | SubscribeSale) -> tuple[int, list[Event]]:
        self.sequence += 1
        emit = EventWriter()
        before = self._state() if self.checks else None
        if isinstance(command, CreateSale):
            reason = self.sales.create(command, self.sequence, self.now_ns, emit)
        elif isinstance(command, DecideSale):
            reason = self.sales.decide(command, self.sequence, self.now_ns, emit)
        else:
            reason = self.sales.subscribe(command, self.sequence, self.now_ns, emit)
        events = emitted(emit)
        if reason:
            assert not events
            assert reason in (rejects.NAME_TAKEN, rejects.WRONG_STATE) or self.sales.conflicts_with == 0
        else:
            assert events and self.sales.conflicts_with == 0
        if self.checks and (reason or isinstance(events[0], RequestRepeated)):
            assert self._state() == before, "what is refused or repeated has changed something"
        if self.checks:
            self._assert_sound()
        return reason, events

    def _state(self) -> object:
        rows = (self.ledger.rows(), self.sales.sale_rows(), self.sales.subscription_rows())
        return rows, self.timers.next_due_ns(), len(self.opened)

    def _assert_sound(self) -> None:
        held: dict[tuple[int, int], int] = {}
        for account_id, asset_id, units in self.sales.holds():
            assert units > 0
            held[account_id, asset_id] = held.get((account_id, asset_id), 0) + units
        totals: dict[int, int] = {}
        for account_id, asset_id, available_units, held_units in self.ledger.rows():
            assert held.pop((account_id, asset_id), 0) == held_units
            totals[asset_id] = totals.get(asset_id, 0) + available_units + held_units
        assert not held
        assert sorted(totals.items()) == self.ledger.supplies(), "units were made or lost"


def decimal(text: str) -> Decimal:
    parsed = parse_decimal(text)
    assert parsed is not None, text
    return parsed


def changed(events: list[Event]) -> SaleChanged:
    (event,) = [event for event in events if isinstance(event, SaleChanged)]
    return event


def settled(events: list[Event]) -> list[tuple[int, int, int, int]]:
    """(account, lots, paid, refunded) of each subscription, in order of the events."""
    return [
        (event.account_id, event.quantity_lots, event.paid_units, event.refunded_units)
        for event in events
        if isinstance(event, SaleSettled)
    ]


def status_of(desk: Desk, sale_id: int = 1) -> int:
    return desk.sales.sales[sale_id].status


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.fund(ISSUER, TOK, 1_000_000)
    for account_id in (ANA, BO, CY, DEE):
        desk.fund(account_id, EUR, 1_000_000)
    return desk


@pytest.fixture(params=[FIXED_PRICE, POT, UNIFORM_PRICE], ids=["fixed_price", "pot", "uniform_price"])
def kind(request: pytest.FixtureRequest) -> int:
    found: int = request.param
    return found


def opened(desk: Desk, **terms: Term) -> Desk:
    assert desk.create(**terms)[0] == rejects.ACCEPTED
    assert desk.decide(OPEN_SALE, len(desk.sales.sales))[0] == rejects.ACCEPTED
    return desk


# The rulebook's section H.


def test_h1_a_fixed_price_is_first_come_first_served(desk: Desk) -> None:
    opened(desk, kind=FIXED_PRICE)
    desk.subscribe(ANA, "600")
    _, events = desk.subscribe(BO, "500")
    assert events == [SaleSubscribed(desk.sequence, 1, BO, 200, 400, 80_000)]
    assert desk.balance(BO, EUR) == (920_000, 80_000)  # 200 of the 1,000 that he asked for are never taken
    assert desk.subscribe(CY, "1")[0] == rejects.SOLD_OUT
    _, events = desk.decide(CLOSE_SALE)
    assert settled(events) == [(ANA, 600, 120_000, 0), (BO, 400, 80_000, 0)]
    assert desk.available(EUR) == [200_000, 880_000, 920_000, 1_000_000, 1_000_000]
    assert desk.available(TOK) == [0, 600_000, 400_000, 0, 0]


def test_h2_a_pot_is_divided_pro_rata(desk: Desk) -> None:
    opened(desk)
    for account_id, amount in ((ANA, "1500"), (BO, "2500"), (CY, "1000")):
        assert desk.subscribe(account_id, amount)[0] == rejects.ACCEPTED
    _, events = desk.decide(CLOSE_SALE)
    assert settled(events) == [
        (ANA, 300, 60_000, 90_000),
        (BO, 500, 100_000, 150_000),
        (CY, 200, 40_000, 60_000),
    ]
    assert changed(events)[6:7] + changed(events)[14:17] == (SALE_SUCCEEDED, 200, 1_000, 200_000)
    assert desk.available(TOK) == [0, 300_000, 500_000, 200_000, 0]
    assert desk.available(EUR) == [200_000, 940_000, 900_000, 960_000, 1_000_000]


def test_h3_the_largest_remainder_and_a_tie_go_to_the_earlier(desk: Desk) -> None:
    opened(desk, price="1", quantity="100")
    for account_id in (CY, ANA, BO):
        desk.subscribe(account_id, "100")
    _, events = desk.decide(CLOSE_SALE)
    assert settled(events) == [(CY, 34, 3_400, 6_600), (ANA, 33, 3_300, 6_700), (BO, 33, 3_300, 6_700)]
    assert desk.available(EUR)[0] == 10_000


def test_h4_below_its_soft_cap_a_sale_fails_and_the_retried_close_has_the_same_receipt(desk: Desk) -> None:
    opened(desk, soft_cap="5000", quantity="1000")
    desk.subscribe(ANA, "3000.00")
    desk.subscribe(BO, "1999.99")
    reason, events = desk.decide(CLOSE_SALE)
    closed_sequence = desk.sequence
    assert (reason, changed(events).status) == (rejects.ACCEPTED, SALE_FAILED)
    assert settled(events) == [(ANA, 0, 0, 300_000), (BO, 0, 0, 199_999)]
    assert desk.available(EUR) == [0, 1_000_000, 1_000_000, 1_000_000, 1_000_000]
    assert desk.available(TOK) == [1_000_000, 0, 0, 0, 0]
    reason, again = desk.decide(CLOSE_SALE)
    assert reason == rejects.ACCEPTED
    assert again == [RequestRepeated(closed_sequence, rejects.ACCEPTED), events[0]]


def test_h4_a_soft_cap_that_is_just_reached_is_reached(desk: Desk) -> None:
    opened(desk, soft_cap="5000")
    desk.subscribe(ANA, "3000.00")
    desk.subscribe(BO, "2000.00")
    assert changed(desk.decide(CLOSE_SALE)[1]).status == SALE_SUCCEEDED


def test_h5_all_pay_the_lowest_price_that_won(desk: Desk) -> None:
    opened(desk, kind=UNIFORM_PRICE, price="1", quantity="100")
    for account_id, price in ((ANA, "3"), (BO, "2.5"), (CY, "2"), (DEE, "1.5")):
        assert desk.subscribe(account_id, "40", price)[0] == rejects.ACCEPTED
    _, events = desk.decide(CLOSE_SALE)
    assert settled(events) == [
        (ANA, 40, 8_000, 4_000),
        (BO, 40, 8_000, 2_000),
        (CY, 20, 4_000, 4_000),
        (DEE, 0, 0, 6_000),
    ]
    assert (changed(events).clearing_price_units, changed(events).proceeds_units) == (200, 20_000)
    assert desk.available(EUR)[0] == 20_000


def test_h6_what_a_capped_account_cannot_take_goes_to_the_others_and_the_rest_back(desk: Desk) -> None:
    opened(desk, account_cap="400")
    for account_id, amount in ((ANA, "3000"), (BO, "500"), (CY, "500")):
        desk.subscribe(account_id, amount)
    _, events = desk.decide(CLOSE_SALE)
    assert settled(events) == [(ANA, 400, 80_000, 220_000), (BO, 250, 50_000, 0), (CY, 250, 50_000, 0)]
    assert (changed(events).sold_lots, changed(events).proceeds_units) == (900, 180_000)
    assert desk.available(TOK) == [100_000, 400_000, 250_000, 250_000, 0]


# Announcing.


def test_an_announced_sale_holds_the_tokens_and_tells_its_terms_per_lot(desk: Desk) -> None:
    _, events = desk.create(
        kind=UNIFORM_PRICE,
        price="0.02",
        lot="0.5",
        quantity="12.5",
        soft_cap="0.05",
        account_cap="2",
        market_id=TOK_EUR,
        opens_at_ns=NOW_NS + 1,
        closes_at_ns=NOW_NS + 2,
    )
    assert events == [
        SaleChanged(
            sale_id=1,
            issuer_account_id=ISSUER,
            token_asset_id=TOK,
            quote_asset_id=EUR,
            market_id=TOK_EUR,
            kind=UNIFORM_PRICE,
            status=SALE_ANNOUNCED,
            price_units=1,
            lot_units=500,
            quantity_lots=25,
            soft_cap_units=5,
            account_cap_lots=4,
            opens_at_ns=NOW_NS + 1,
            closes_at_ns=NOW_NS + 2,
            clearing_price_units=0,
            sold_lots=0,
            proceeds_units=0,
            name=b"tok-1",
        )
    ]
    assert desk.balance(ISSUER, TOK) == (1_000_000 - 12_500, 12_500)
    assert list(desk.sales.holds()) == [(ISSUER, TOK, 12_500)]


def test_a_token_may_cost_less_than_a_unit_if_a_lot_does_not(desk: Desk) -> None:
    _, events = desk.create(price="0.001", lot="10", quantity="100")
    assert changed(events).price_units == 1


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"name": b""}, rejects.MALFORMED),
        ({"name": b"a b"}, rejects.MALFORMED),
        ({"name": b"a" * 65}, rejects.MALFORMED),
        ({"kind": 3}, rejects.MALFORMED),
        ({"issuer_account_id": 6}, rejects.UNKNOWN_ACCOUNT),
        ({"token_asset_id": 0}, rejects.UNKNOWN_ASSET),
        ({"quote_asset_id": 4}, rejects.UNKNOWN_ASSET),
        ({"market_id": 3}, rejects.UNKNOWN_MARKET),
        ({"issuer_account_id": EXCHANGE_ACCOUNT}, rejects.NOT_ALLOWED),
        ({"token_asset_id": EUR}, rejects.SALE_RULES),
        ({"market_id": EUR_TOK}, rejects.SALE_RULES),
        ({"price": "0"}, rejects.SALE_RULES),
        ({"price": "-2"}, rejects.SALE_RULES),
        ({"price": UNREPRESENTABLE_TEXT}, rejects.SALE_RULES),
        ({"price": "0.015"}, rejects.SALE_RULES),
        ({"price": "0.001", "lot": "9"}, rejects.SALE_RULES),
        ({"price": "0.01", "lot": "0.5"}, rejects.SALE_RULES),
        ({"lot": "0"}, rejects.SALE_RULES),
        ({"lot": "0.0001"}, rejects.SALE_RULES),
        ({"quantity": "0"}, rejects.SALE_RULES),
        ({"quantity": "999.5"}, rejects.SALE_RULES),
        ({"soft_cap": "0.001"}, rejects.SALE_RULES),
        ({"soft_cap": "-1"}, rejects.SALE_RULES),
        ({"account_cap": "0.5"}, rejects.SALE_RULES),
        ({"account_cap": UNREPRESENTABLE_TEXT}, rejects.SALE_RULES),
        ({"closes_at_ns": NOW_NS}, rejects.SALE_RULES),
        ({"opens_at_ns": -1}, rejects.SALE_RULES),
        ({"closes_at_ns": -1}, rejects.SALE_RULES),
        ({"opens_at_ns": NOW_NS + 9, "closes_at_ns": NOW_NS + 9}, rejects.SALE_RULES),
        ({"quantity": "1001"}, rejects.NO_FUNDS),
    ],
)
def test_a_sale_that_breaks_a_rule_is_refused(desk: Desk, terms: dict[str, Term], reason: int) -> None:
    assert desk.create(**terms) == (reason, [])
    assert desk.sales.conflicts_with == 0


@pytest.mark.parametrize(
    "terms",
    [
        {"name": b"a" * 64},
        {"price": "0.01"},
        {"price": "0.001", "lot": "10"},
        {"quantity": "1000"},
        {"soft_cap": "0.01"},
        {"account_cap": "1"},
        {"account_cap": "5000"},
        {"market_id": TOK_EUR},
        {"closes_at_ns": NOW_NS + 1},
        {"opens_at_ns": 1},
        {"opens_at_ns": NOW_NS + 9, "closes_at_ns": NOW_NS + 10},
    ],
)
def test_a_sale_just_within_the_rules_is_announced(desk: Desk, terms: dict[str, Term]) -> None:
    assert desk.create(**terms)[0] == rejects.ACCEPTED


def test_a_sale_does_not_promise_a_market_that_is_delisted(desk: Desk) -> None:
    desk.delisted.append(TOK_EUR)
    assert desk.create(market_id=TOK_EUR)[0] == rejects.SALE_RULES
    assert desk.create()[0] == rejects.ACCEPTED


def test_a_cap_that_is_not_given_is_none(desk: Desk) -> None:
    absent = {"soft_cap_scale": ABSENT.scale, "account_cap_scale": ABSENT.scale}
    _, events = desk.create(**absent)
    assert (changed(events).soft_cap_units, changed(events).account_cap_lots) == (0, 0)
    assert isinstance(desk.create()[1][0], RequestRepeated)


def test_what_is_offered_costs_at_most_the_largest_notional() -> None:
    desk = Desk()
    desk.fund(ISSUER, BIG, AMOUNT_MAX)
    big: dict[str, Term] = {"token_asset_id": BIG, "price": str(NOTIONAL_MAX // 100)}
    assert desk.create(**big, quantity="2")[0] == rejects.SALE_RULES
    assert desk.create(**big, quantity="1")[0] == rejects.ACCEPTED
    cheap: dict[str, Term] = {"token_asset_id": BIG, "price": "0.01", "name": b"cheap"}
    assert desk.create(**cheap, quantity=str(NOTIONAL_MAX + 1))[0] == rejects.SALE_RULES
    assert desk.create(**cheap, quantity=str(NOTIONAL_MAX))[0] == rejects.ACCEPTED


def test_the_largest_numbers_of_a_command_overflow_nothing(desk: Desk) -> None:
    largest = str(AMOUNT_MAX)
    assert desk.create(price=largest, lot=largest, quantity=largest)[0] == rejects.SALE_RULES
    assert desk.create(token_asset_id=BIG, price=largest, lot=largest, quantity=largest)[0] == rejects.SALE_RULES


def test_the_same_sale_again_is_a_repeat_and_another_of_its_name_is_refused(desk: Desk) -> None:
    desk.create(closes_at_ns=NOW_NS + 5)
    created_sequence = desk.sequence
    desk.decide(OPEN_SALE)
    desk.pass_time(NOW_NS + 5)  # its end would be in the past for a new sale
    reason, events = desk.create(closes_at_ns=NOW_NS + 5)
    assert reason == rejects.ACCEPTED
    assert events[0] == RequestRepeated(created_sequence, rejects.ACCEPTED)
    assert changed(events).status == SALE_SUCCEEDED
    for other in ({"price": "3"}, {"price": "0"}, {"kind": FIXED_PRICE}, {"market_id": TOK_EUR}, {"soft_cap": "1"}):
        assert desk.create(**other)[0] == rejects.NAME_TAKEN
        assert desk.sales.conflicts_with == created_sequence
    assert desk.create(name=b"tok-2", quantity="1001")[0] == rejects.NO_FUNDS
    assert desk.sales.conflicts_with == 0


def test_a_frozen_issuer_can_be_given_a_sale_by_an_operator(desk: Desk) -> None:
    desk.registry.cold.append(ISSUER)
    assert desk.create()[0] == rejects.ACCEPTED


def test_there_is_a_limit_on_sales(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.sale.SALES_MAX", 2)
    for name in (b"one", b"two"):
        assert desk.create(name=name, quantity="1")[0] == rejects.ACCEPTED
    assert desk.create(name=b"three", quantity="1")[0] == rejects.TOO_MANY
    assert desk.create(name=b"two", quantity="1")[0] == rejects.ACCEPTED


# Deciding.


@pytest.mark.parametrize(
    ("before", "decision", "expected"),
    [
        ([], OPEN_SALE, SALE_OPEN),
        ([], CLOSE_SALE, None),
        ([], CANCEL_SALE, SALE_CANCELLED),
        ([OPEN_SALE], CLOSE_SALE, SALE_SUCCEEDED),
        ([OPEN_SALE], CANCEL_SALE, SALE_CANCELLED),
        ([CANCEL_SALE], OPEN_SALE, None),
        ([CANCEL_SALE], CLOSE_SALE, None),
        ([OPEN_SALE, CANCEL_SALE], CLOSE_SALE, None),
        ([OPEN_SALE, CLOSE_SALE], CANCEL_SALE, None),
    ],
)
def test_a_decision_moves_the_sale_or_is_refused(
    desk: Desk, before: list[int], decision: int, expected: int | None
) -> None:
    desk.create()
    for earlier in before:
        assert desk.decide(earlier)[0] == rejects.ACCEPTED
    ended_sequence = desk.sequence if status_of(desk) > SALE_OPEN else 0
    reason, events = desk.decide(decision)
    if expected is None:
        assert reason == rejects.WRONG_STATE
        assert desk.sales.conflicts_with == ended_sequence
    else:
        assert reason == rejects.ACCEPTED
        assert events == [changed(events)] and changed(events).status == expected


@pytest.mark.parametrize("decisions", [[OPEN_SALE, CLOSE_SALE], [OPEN_SALE, CANCEL_SALE], [CANCEL_SALE]])
def test_every_decision_that_was_taken_is_repeated_with_its_own_receipt(desk: Desk, decisions: list[int]) -> None:
    desk.create()
    receipts = []
    for decision in decisions:
        desk.decide(decision)
        receipts.append((decision, desk.sequence))
    for decision, sequence in receipts:
        reason, events = desk.decide(decision)
        assert reason == rejects.ACCEPTED
        assert events == [RequestRepeated(sequence, rejects.ACCEPTED), changed(events)]
        assert changed(events).status == status_of(desk)


def test_a_decision_needs_a_sale_and_a_name_of_its_own(desk: Desk) -> None:
    assert desk.decide(OPEN_SALE)[0] == rejects.UNKNOWN_SALE
    assert desk.decide(3)[0] == rejects.MALFORMED
    desk.create()
    assert desk.decide(3)[0] == rejects.MALFORMED
    assert desk.decide(OPEN_SALE, 0)[0] == rejects.UNKNOWN_SALE
    assert desk.decide(OPEN_SALE, 2)[0] == rejects.UNKNOWN_SALE


def test_a_cancelled_sale_gives_everything_back(desk: Desk, kind: int) -> None:
    opened(desk, kind=kind, market_id=TOK_EUR)
    price = "2" if kind == UNIFORM_PRICE else None
    desk.subscribe(ANA, "100", price)
    desk.subscribe(BO, "50", price)
    _, events = desk.decide(CANCEL_SALE)
    assert [type(event) for event in events] == [SaleChanged, SaleSettled, SaleSettled]
    assert changed(events)[14:17] == (0, 0, 0)
    assert [row[1:3] for row in settled(events)] == [(0, 0), (0, 0)]
    assert desk.available(EUR) == [0, 1_000_000, 1_000_000, 1_000_000, 1_000_000]
    assert desk.available(TOK) == [1_000_000, 0, 0, 0, 0]
    assert desk.opened == []


# Subscribing.


def test_a_sale_takes_subscriptions_only_while_it_is_open(desk: Desk, kind: int) -> None:
    price = "2" if kind == UNIFORM_PRICE else None
    assert desk.subscribe(ANA, "100", price)[0] == rejects.UNKNOWN_SALE
    desk.create(kind=kind)
    assert desk.subscribe(ANA, "100", price)[0] == rejects.SALE_STATE
    desk.decide(OPEN_SALE)
    assert desk.subscribe(ANA, "100", price)[0] == rejects.ACCEPTED
    desk.decide(CLOSE_SALE)
    assert desk.subscribe(ANA, "100", price)[0] == rejects.SALE_STATE


def test_the_receipt_that_one_refusal_quotes_is_not_quoted_by_the_next(desk: Desk) -> None:
    opened(desk)
    assert desk.create(price="3")[0] == rejects.NAME_TAKEN
    assert desk.sales.conflicts_with != 0
    assert desk.subscribe(ANA, "0")[0] == rejects.AMOUNT
    assert desk.sales.conflicts_with == 0


def test_neither_the_issuer_nor_a_frozen_account_subscribes(desk: Desk) -> None:
    opened(desk)
    desk.fund(ISSUER, EUR, 1_000)
    assert desk.subscribe(ISSUER, "2")[0] == rejects.NOT_ALLOWED
    desk.registry.cold += [ANA, ISSUER]
    assert desk.subscribe(ANA, "2")[0] == rejects.ACCOUNT_FROZEN
    assert desk.subscribe(ISSUER, "2")[0] == rejects.NOT_ALLOWED
    desk.registry.cold.clear()
    assert desk.subscribe(ANA, "2")[0] == rejects.ACCEPTED
    desk.registry.cold.append(ANA)  # what was subscribed before is settled all the same
    assert settled(desk.decide(CLOSE_SALE)[1]) == [(ANA, 1, 200, 0)]


@pytest.mark.parametrize(
    ("kind", "amount", "price", "reason"),
    [
        (FIXED_PRICE, "1", "2", rejects.MALFORMED),
        (FIXED_PRICE, "0", None, rejects.LOT),
        (FIXED_PRICE, "-1", None, rejects.LOT),
        (FIXED_PRICE, "0.5", None, rejects.LOT),
        (FIXED_PRICE, UNREPRESENTABLE_TEXT, None, rejects.LOT),
        (FIXED_PRICE, "1", None, rejects.ACCEPTED),
        (FIXED_PRICE, "1000000", None, rejects.ACCEPTED),
        (POT, "2", "2", rejects.MALFORMED),
        (POT, "0", None, rejects.AMOUNT),
        (POT, "-2", None, rejects.AMOUNT),
        (POT, "2.001", None, rejects.AMOUNT),
        (POT, UNREPRESENTABLE_TEXT, None, rejects.AMOUNT),
        (POT, str(AMOUNT_MAX), None, rejects.AMOUNT),
        (POT, "1.99", None, rejects.MIN_NOTIONAL),
        (POT, "2", None, rejects.ACCEPTED),
        (POT, "10000.01", None, rejects.NO_FUNDS),
        (POT, "10000", None, rejects.ACCEPTED),
        (UNIFORM_PRICE, "1", None, rejects.PRICE),
        (UNIFORM_PRICE, "1", "0", rejects.PRICE),
        (UNIFORM_PRICE, "1", "-2", rejects.PRICE),
        (UNIFORM_PRICE, "1", UNREPRESENTABLE_TEXT, rejects.PRICE),
        (UNIFORM_PRICE, "1", "1.99", rejects.PRICE),
        (UNIFORM_PRICE, "1", "1.999", rejects.PRICE),
        (UNIFORM_PRICE, "1", "2.001", rejects.TICK),
        (UNIFORM_PRICE, "0.5", "2.001", rejects.TICK),
        (UNIFORM_PRICE, "0.5", "2", rejects.LOT),
        (UNIFORM_PRICE, "0", "2", rejects.LOT),
        (UNIFORM_PRICE, "1", "2", rejects.ACCEPTED),
        (UNIFORM_PRICE, "5000", "2", rejects.ACCEPTED),
        (UNIFORM_PRICE, "1000", "10", rejects.ACCEPTED),
        (UNIFORM_PRICE, "1000", "10.01", rejects.NO_FUNDS),
        (UNIFORM_PRICE, "1", str(AMOUNT_MAX), rejects.NOTIONAL_TOO_LARGE),
        (UNIFORM_PRICE, "2", str(NOTIONAL_MAX // 100), rejects.NOTIONAL_TOO_LARGE),
        (UNIFORM_PRICE, "1", str(NOTIONAL_MAX // 100), rejects.NO_FUNDS),
        (UNIFORM_PRICE, str(AMOUNT_MAX // 1_000), str(AMOUNT_MAX), rejects.NOTIONAL_TOO_LARGE),
    ],
)
def test_a_subscription_is_judged_at_its_boundary(
    desk: Desk, kind: int, amount: str, price: str | None, reason: int
) -> None:
    opened(desk, kind=kind)
    assert desk.subscribe(ANA, amount, price)[0] == reason


def test_unrepresentable_is_what_the_tests_above_mean() -> None:
    assert decimal(UNREPRESENTABLE_TEXT).scale == SCALE_UNREPRESENTABLE


def test_what_is_held_is_told(desk: Desk) -> None:
    opened(desk, kind=POT)
    assert desk.subscribe(ANA, "10.01")[1] == [SaleSubscribed(desk.sequence, 1, ANA, 200, 0, 1_001)]
    desk.decide(CANCEL_SALE)
    opened(desk, kind=UNIFORM_PRICE, name=b"tok-2", quantity="20", lot="0.5")
    _, events = desk.subscribe(BO, "2.5", "3", 2)
    assert events == [SaleSubscribed(desk.sequence, 2, BO, 150, 5, 750)]
    assert desk.balance(BO, EUR) == (999_250, 750)


def test_a_fixed_price_needs_money_only_for_what_is_left(desk: Desk) -> None:
    opened(desk, kind=FIXED_PRICE, price="11")
    assert desk.subscribe(ANA, "1000")[0] == rejects.NO_FUNDS  # 11,000.00 of 10,000.00
    assert desk.subscribe(BO, "91")[0] == rejects.ACCEPTED
    assert desk.subscribe(ANA, "1000")[0] == rejects.ACCEPTED  # 909 are left: 9,999.00
    assert desk.subscribe(CY, "1")[0] == rejects.SOLD_OUT


@pytest.mark.parametrize("capped_kind", [FIXED_PRICE, UNIFORM_PRICE])
def test_all_subscriptions_of_an_account_together_stay_within_its_cap(desk: Desk, capped_kind: int) -> None:
    opened(desk, kind=capped_kind, account_cap="400")
    price = "2" if capped_kind == UNIFORM_PRICE else None
    assert desk.subscribe(ANA, "401", price)[0] == rejects.ACCOUNT_CAP
    assert desk.subscribe(ANA, "399", price)[0] == rejects.ACCEPTED
    desk.restart()
    assert desk.subscribe(ANA, "2", price)[0] == rejects.ACCOUNT_CAP
    assert desk.subscribe(ANA, "1", price)[0] == rejects.ACCEPTED
    assert desk.subscribe(ANA, "1", price)[0] == rejects.ACCOUNT_CAP
    assert desk.subscribe(BO, "400", price)[0] == rejects.ACCEPTED


def test_a_cap_counts_what_a_fixed_price_has_left_to_give(desk: Desk) -> None:
    opened(desk, kind=FIXED_PRICE, account_cap="400", quantity="700")
    desk.subscribe(ANA, "400")
    assert desk.subscribe(ANA, "500")[0] == rejects.ACCOUNT_CAP
    assert desk.subscribe(BO, "500")[1] == [SaleSubscribed(desk.sequence, 1, BO, 200, 300, 60_000)]
    assert desk.subscribe(ANA, "1")[0] == rejects.SOLD_OUT


def test_a_pot_takes_more_than_a_cap_and_gives_no_more_than_it(desk: Desk) -> None:
    opened(desk, account_cap="10")
    desk.subscribe(ANA, "100")
    desk.subscribe(ANA, "100")
    assert settled(desk.decide(CLOSE_SALE)[1]) == [(ANA, 10, 2_000, 8_000), (ANA, 0, 0, 10_000)]


def test_there_is_a_limit_on_subscriptions(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.sale.SUBSCRIPTIONS_PER_SALE_MAX", 2)
    opened(desk)
    for _ in range(2):
        assert desk.subscribe(ANA, "2")[0] == rejects.ACCEPTED
    assert desk.subscribe(ANA, "2")[0] == rejects.TOO_MANY


@pytest.mark.parametrize(
    ("kind", "amount", "price", "first"),
    [
        (UNIFORM_PRICE, "0.5", "1.999", rejects.PRICE),  # below the floor, no whole unit, no whole lot
        (UNIFORM_PRICE, "1000", str(NOTIONAL_MAX), rejects.NOTIONAL_TOO_LARGE),  # too large, beyond the cap, no funds
        (UNIFORM_PRICE, "401", "10000", rejects.ACCOUNT_CAP),  # beyond the cap, no funds
        (FIXED_PRICE, "0.5", "1", rejects.MALFORMED),
    ],
)
def test_the_first_reason_in_order_of_precedence_is_the_answer(
    desk: Desk, kind: int, amount: str, price: str, first: int
) -> None:
    opened(desk, kind=kind, account_cap="400")
    assert desk.subscribe(ANA, amount, price)[0] == first


# Ending.


@pytest.mark.parametrize(
    ("kind", "amount", "price", "came_in"),
    [(FIXED_PRICE, "10", None, 2_000), (POT, "30.01", None, 3_001), (UNIFORM_PRICE, "10", "3", 2_000)],
)
def test_a_soft_cap_counts_what_the_kind_of_sale_brings(
    desk: Desk, kind: int, amount: str, price: str | None, came_in: int
) -> None:
    """Allotments of a fixed price, commitments of a pot, proceeds (here at the floor) of a uniform price."""
    for sale_id, soft_cap_units, expected in ((1, came_in, SALE_SUCCEEDED), (2, came_in + 1, SALE_FAILED)):
        soft_cap = f"{soft_cap_units // 100}.{soft_cap_units % 100:02}"
        opened(desk, kind=kind, quantity="100", soft_cap=soft_cap, name=b"sale-%d" % sale_id)
        assert desk.subscribe(ANA, amount, price, sale_id)[0] == rejects.ACCEPTED
        assert changed(desk.decide(CLOSE_SALE, sale_id)[1]).status == expected


def test_a_sale_without_subscriptions_succeeds_with_nothing_sold_unless_it_had_a_soft_cap(
    desk: Desk, kind: int
) -> None:
    opened(desk, kind=kind)
    _, events = desk.decide(CLOSE_SALE)
    assert (changed(events).status, changed(events)[14:17]) == (SALE_SUCCEEDED, (200, 0, 0))
    opened(desk, kind=kind, name=b"tok-2", soft_cap="0.01")
    assert changed(desk.decide(CLOSE_SALE, 2)[1]).status == SALE_FAILED
    assert desk.available(TOK)[0] == 1_000_000


def test_the_end_is_told_first_and_then_each_subscription_in_order(desk: Desk) -> None:
    opened(desk)
    numbers = []
    for account_id in (CY, ANA, CY, BO):
        desk.subscribe(account_id, "10")
        numbers.append(desk.sequence)
    _, events = desk.decide(CLOSE_SALE)
    assert isinstance(events[0], SaleChanged)
    assert [event.subscription_id for event in events[1:] if isinstance(event, SaleSettled)] == numbers


def test_a_sale_that_succeeds_opens_its_market_at_the_price_of_a_whole_token(desk: Desk) -> None:
    opened(desk, kind=UNIFORM_PRICE, price="1", lot="0.5", quantity="10", market_id=TOK_EUR)
    desk.subscribe(ANA, "10", "1.5")
    assert desk.opened == []
    desk.decide(CLOSE_SALE)
    desk.decide(CLOSE_SALE)
    assert desk.opened == [(TOK_EUR, 150)]


@pytest.mark.parametrize(
    ("price", "lot", "units"), [("2", "1", 200), ("0.001", "10", 0), ("0.015", "2", 0), ("0.02", "0.5", 2)]
)
def test_a_market_opens_without_a_price_if_a_token_costs_no_whole_units(
    desk: Desk, price: str, lot: str, units: int
) -> None:
    opened(desk, price=price, lot=lot, market_id=TOK_EUR)
    desk.decide(CLOSE_SALE)
    assert desk.opened == [(TOK_EUR, units)]


def test_a_price_that_no_market_could_have_is_none() -> None:
    """A lot of 0.001 at the largest notional: a whole token would cost a thousand times that."""
    desk = Desk()
    desk.fund(ISSUER, TOK, 1)
    terms: dict[str, Term] = {"lot": "0.001", "quantity": "0.001", "market_id": TOK_EUR}
    opened(desk, price="10", kind=UNIFORM_PRICE, **terms)
    desk.fund(ANA, EUR, AMOUNT_MAX)
    units = AMOUNT_MAX // 1_000 + 1  # for a lot
    assert desk.subscribe(ANA, "0.001", str(units * 10))[0] == rejects.ACCEPTED
    desk.decide(CLOSE_SALE)
    assert desk.sales.sales[1].clearing_price_units == units
    assert desk.opened == [(TOK_EUR, 0)]


def test_neither_a_failed_nor_a_cancelled_sale_opens_its_market(desk: Desk) -> None:
    opened(desk, market_id=TOK_EUR, soft_cap="1")
    desk.decide(CLOSE_SALE)
    opened(desk, market_id=TOK_EUR, name=b"tok-2")
    desk.decide(CANCEL_SALE, 2)
    desk.create(market_id=TOK_EUR, name=b"tok-3", closes_at_ns=NOW_NS + 1)
    desk.pass_time(NOW_NS + 1)
    assert status_of(desk, 3) == SALE_FAILED
    assert desk.opened == []


def test_a_subscription_is_reported_as_it_stands(desk: Desk) -> None:
    opened(desk)
    _, subscribed = desk.subscribe(ANA, "10")
    number = desk.sequence
    assert desk.sales.report_subscription(number) == subscribed[0]
    _, events = desk.decide(CLOSE_SALE)
    assert desk.sales.report_subscription(number) == events[1]
    desk.restart()
    assert desk.sales.report_subscription(number) == events[1]
    assert desk.sales.report_subscription(number + 1) is None


@pytest.mark.timeout(60)
def test_as_many_subscriptions_as_there_may_be_are_settled_at_once(desk: Desk) -> None:
    """Whatever looks at every subscription for every subscription takes hours here."""
    opened(desk, price="0.01", account_cap="333")
    desk.checks = False
    for number in range(SUBSCRIPTIONS_PER_SALE_MAX):
        desk.subscribe((ANA, BO, CY, DEE)[number % 4], "0.01" if number % 3 else "0.02")
    assert desk.subscribe(ANA, "0.01")[0] == rejects.TOO_MANY
    desk.checks = True
    _, events = desk.decide(CLOSE_SALE)
    assert len(events) == 1 + SUBSCRIPTIONS_PER_SALE_MAX
    assert sum(desk.available(TOK)[1:]) == 1_000_000


# Time.


def test_time_opens_and_closes_a_sale(desk: Desk) -> None:
    desk.create(opens_at_ns=NOW_NS + 10, closes_at_ns=NOW_NS + 20)
    assert desk.pass_time(NOW_NS + 9) == []
    assert desk.subscribe(ANA, "10")[0] == rejects.SALE_STATE
    assert changed(desk.pass_time(NOW_NS + 10)).status == SALE_OPEN
    desk.subscribe(ANA, "10")
    assert desk.pass_time(NOW_NS + 19) == []
    events = desk.pass_time(NOW_NS + 20)
    assert changed(events).status == SALE_SUCCEEDED
    assert settled(events) == [(ANA, 5, 1_000, 0)]
    assert desk.timers.next_due_ns() is None


def test_a_sale_whose_time_to_open_has_passed_opens_with_the_next_entry(desk: Desk) -> None:
    desk.create(opens_at_ns=NOW_NS - 5)
    assert status_of(desk) == SALE_ANNOUNCED
    assert changed(desk.pass_time(NOW_NS)).status == SALE_OPEN


def test_a_sale_that_nobody_opened_fails_when_its_time_is_over(desk: Desk) -> None:
    desk.create(closes_at_ns=NOW_NS + 20)
    events = desk.pass_time(NOW_NS + 20)
    assert changed(events).status == SALE_FAILED
    assert desk.available(TOK)[0] == 1_000_000


def test_one_long_pause_opens_and_closes_in_order(desk: Desk) -> None:
    desk.create(opens_at_ns=NOW_NS + 10, closes_at_ns=NOW_NS + 20)
    statuses = [event.status for event in desk.pass_time(NOW_NS + 99) if isinstance(event, SaleChanged)]
    assert statuses == [SALE_OPEN, SALE_SUCCEEDED]


def test_an_operator_may_be_earlier_than_time_and_time_then_does_nothing(desk: Desk) -> None:
    desk.create(opens_at_ns=NOW_NS + 10, closes_at_ns=NOW_NS + 20)
    desk.decide(OPEN_SALE)
    assert desk.pass_time(NOW_NS + 10) == []
    desk.decide(CLOSE_SALE)
    assert desk.pass_time(NOW_NS + 20) == []


@pytest.mark.parametrize("before", [[], [OPEN_SALE]])
def test_a_timer_that_is_too_early_or_too_late_does_nothing(desk: Desk, before: list[int]) -> None:
    desk.create(opens_at_ns=NOW_NS + 10, closes_at_ns=NOW_NS + 20)
    for decision in before:
        desk.decide(decision)
    emit = EventWriter()
    desk.sales.on_opens(1, NOW_NS + 9, emit)
    desk.sales.on_closes(1, NOW_NS + 19, emit)
    assert not emit.length
    desk.decide(CANCEL_SALE)
    desk.sales.on_opens(1, NOW_NS + 99, emit)
    desk.sales.on_closes(1, NOW_NS + 99, emit)
    assert not emit.length


def test_a_sale_without_times_waits_for_its_operator(desk: Desk) -> None:
    desk.create()
    assert desk.timers.next_due_ns() is None
    emit = EventWriter()
    for _ in range(2):
        desk.sales.on_opens(1, NOW_NS, emit)
        if status_of(desk) == SALE_OPEN:
            desk.sales.on_closes(1, NOW_NS, emit)
        assert not emit.length
        desk.decide(OPEN_SALE)


def test_what_time_did_is_repeated_with_the_receipt_of_the_announcement(desk: Desk) -> None:
    desk.create(opens_at_ns=NOW_NS + 10, closes_at_ns=NOW_NS + 20)
    created_sequence = desk.sequence
    desk.pass_time(NOW_NS + 10)
    assert desk.decide(OPEN_SALE)[1][0] == RequestRepeated(created_sequence, rejects.ACCEPTED)
    desk.pass_time(NOW_NS + 20)
    assert desk.decide(CLOSE_SALE)[1][0] == RequestRepeated(created_sequence, rejects.ACCEPTED)
    assert desk.decide(CANCEL_SALE)[0] == rejects.WRONG_STATE
    assert desk.sales.conflicts_with == created_sequence


# Rows of a snapshot.


def test_rows_are_whole_in_order_and_what_is_restored_goes_on(desk: Desk) -> None:
    desk.create(opens_at_ns=NOW_NS + 10, closes_at_ns=NOW_NS + 20, quantity="100", account_cap="60", kind=FIXED_PRICE)
    opened(desk, name=b"tok-2", quantity="100", soft_cap="1")
    desk.subscribe(BO, "10", sale_id=2)
    desk.decide(CLOSE_SALE, 2)
    assert [row[0] for row, _ in desk.sales.sale_rows()] == [1, 2]
    assert [texts for _, texts in desk.sales.sale_rows()] == [(b"tok-1",), (b"tok-2",)]
    desk.restart()
    assert desk.timers.next_due_ns() == NOW_NS + 10
    desk.pass_time(NOW_NS + 10)
    desk.subscribe(ANA, "60")
    desk.restart()
    assert desk.timers.next_due_ns() == NOW_NS + 20
    assert desk.subscribe(ANA, "1")[0] == rejects.ACCOUNT_CAP
    desk.subscribe(BO, "60")
    assert desk.subscribe(CY, "1")[0] == rejects.SOLD_OUT
    desk.restart()
    assert desk.create(name=b"tok-2", quantity="100")[0] == rejects.NAME_TAKEN
    assert settled(desk.pass_time(NOW_NS + 20)) == [(ANA, 60, 12_000, 0), (BO, 40, 8_000, 0)]
    desk.restart()
    assert desk.timers.next_due_ns() is None


def test_only_a_new_desk_is_restored(desk: Desk) -> None:
    desk.create()
    with pytest.raises(AssertionError):
        desk.sales.restore(desk.sales.sale_rows(), [])


Step = tuple[str, int, int, int]
SUBSCRIBE = st.tuples(st.just("subscribe"), st.integers(ISSUER, DEE), st.integers(1, 4), st.integers(1, 4_000))
STEPS = st.lists(
    st.one_of(
        *[SUBSCRIBE] * 6,
        st.tuples(st.just("create"), st.integers(0, 2), st.integers(0, 40), st.integers(0, 3)),
        st.tuples(
            st.just("decide"), st.sampled_from((OPEN_SALE, CLOSE_SALE, CANCEL_SALE)), st.integers(1, 5), st.just(0)
        ),
        st.tuples(st.just("time"), st.integers(0, 3), st.just(0), st.just(0)),
    ),
    min_size=25,
    max_size=40,
)
CAPS = st.tuples(st.sampled_from(("0", "5", "9")), st.sampled_from(("0", "30")))


def run(caps: tuple[str, str], steps: list[Step], *, restarting: bool) -> Iterator[object]:
    """One open sale of each kind, all that the steps ask, and in the end the close of every sale that can be closed."""
    desk = Desk()
    desk.fund(ISSUER, TOK, 100_000)
    for account_id, units in ((ISSUER, 500), (ANA, 30_000), (BO, 10_000), (CY, 3_333), (DEE, 777)):
        desk.fund(account_id, EUR, units)
    for kind in (FIXED_PRICE, POT, UNIFORM_PRICE):
        opened(desk, kind=kind, name=b"kind-%d" % kind, quantity="23", account_cap=caps[0], soft_cap=caps[1])
    for action, first, second, third in steps:
        if action == "create":
            opens_at_ns = desk.now_ns + third if second % 3 else 0
            closes_at_ns = desk.now_ns + 9 if second % 2 else 0
            times: dict[str, Term] = {"opens_at_ns": opens_at_ns, "closes_at_ns": closes_at_ns}
            yield desk.create(kind=first, name=b"sale-%d" % (second % 7), quantity=str(1 + second), **times)
        elif action == "decide":
            yield desk.decide(first, second)
        elif action == "subscribe":
            sale = desk.sales.sales.get(second)
            price = f"{2 + third % 3}" if sale is not None and sale.terms.kind == UNIFORM_PRICE else None
            is_pot = sale is not None and sale.terms.kind == POT
            yield desk.subscribe(
                first, f"{third // 100}.{third % 100:02}" if is_pot else str(third % 12), price, second
            )
        else:
            yield desk.pass_time(desk.now_ns + first)
        if restarting:
            desk.restart()
    for sale_id in sorted(desk.sales.sales):
        yield desk.decide(CLOSE_SALE, sale_id)
    yield desk.ledger.rows(), desk.sales.sale_rows(), desk.sales.subscription_rows()


@settings(max_examples=150, deadline=None)
@given(CAPS, STEPS)
def test_whatever_is_asked_conserves_every_unit_and_a_restart_changes_nothing(
    caps: tuple[str, str], steps: list[Step]
) -> None:
    assert list(run(caps, steps, restarting=False)) == list(run(caps, steps, restarting=True))
