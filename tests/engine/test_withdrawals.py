"""Withdrawals: row D7, each refusal at its boundary, each decision once and again, every unit where it belongs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import rejects
from engine.amounts import ABSENT, UNREPRESENTABLE, Decimal, parse_decimal
from engine.commands import CancelWithdrawal, DecideWithdrawal, RequestWithdrawal
from engine.event_writer import EventWriter
from engine.events import Event, RequestRepeated, WithdrawalChanged
from engine.ledger import Ledger
from engine.registry import Registry
from engine.rules import Rules
from engine.types import (
    AMOUNT_MAX,
    APPROVE,
    APPROVED,
    CANCELLED_BY_OWNER,
    DESTINATION_LENGTH_MAX,
    EXCHANGE_ACCOUNT,
    OPERATOR,
    PAID,
    PAY,
    PENDING,
    REJECT,
    REJECTED,
    TRADER,
    AccountSpec,
    AssetSpec,
)
from engine.withdrawals import WITHDRAWAL_ROW, Withdrawals
from tests.engine.exchange import emitted

ANA, BO, OPS = 1, 2, 3
EUR, GLD = 1, 2
NOW_NS = 1_750_000_000 * 10**9
FIRST = 11  # the sequence of a desk's first command
CANCEL = -1  # the owner's, beside the three decisions of operators

Answer = int | list[Event]  # the reason of a refusal, or what happened


class FreezableRegistry(Registry):
    """A registry whose accounts a test freezes without the desk that does it for operators."""

    def __init__(self) -> None:
        super().__init__()
        self.cold: list[int] = []

    def is_frozen(self, account_id: int) -> bool:
        return account_id in self.cold


class Desk:
    """Ana has 50.00 EUR and 2.000 GLD. Each command gets the next sequence; a refused one must change nothing."""

    def __init__(self) -> None:
        self.registry, self.ledger = FreezableRegistry(), Ledger()
        self.registry.add_asset(AssetSpec(EUR, b"EUR", 5, 1))
        self.registry.add_asset(AssetSpec(GLD, b"GLD", 3, 2))
        self.registry.add_account(AccountSpec(ANA, b"ana", TRADER, 3))
        self.registry.add_account(AccountSpec(BO, b"bo", TRADER, 4))
        self.registry.add_account(AccountSpec(OPS, b"ops", OPERATOR, 5))
        self.ledger.deposit(ANA, EUR, 50_00000)
        self.ledger.deposit(ANA, GLD, 2_000)
        self.withdrawals = Withdrawals(self.registry, self.ledger, Rules())
        self.sequence = FIRST - 1

    def request(self, amount: str = "20", **changes: Any) -> Answer:
        return self._run(self.withdrawals.request, request(amount, **changes))

    def decide(self, withdrawal_id: int, decision: int, account_id: int = ANA) -> Answer:
        if decision == CANCEL:
            return self._run(self.withdrawals.cancel, CancelWithdrawal(account_id, NOW_NS, withdrawal_id, b"r"))
        return self._run(self.withdrawals.decide, DecideWithdrawal(OPS, NOW_NS, withdrawal_id, decision))

    def free_and_held(self, asset_id: int = EUR) -> tuple[int, int]:
        return self.ledger.available_units(ANA, asset_id), self.ledger.held_units(ANA, asset_id)

    def freeze(self, account_id: int) -> None:
        self.registry.cold.append(account_id)

    def state(self) -> tuple[object, ...]:
        return self.withdrawals.rows(), self.ledger.rows(), self.ledger.supplies()

    def _run(self, handler: Callable[..., int], command: object) -> Answer:
        self.sequence += 1
        before = self.state()
        emit = EventWriter()
        reason = handler(command, self.sequence, NOW_NS, emit)
        if reason:
            assert not emit.length and self.state() == before, "a refusal has changed something"
            return reason
        return emitted(emit)


def request(amount: str = "20", **changes: Any) -> RequestWithdrawal:
    decimal = parse_decimal(amount)
    assert decimal is not None
    return RequestWithdrawal(ANA, NOW_NS, EUR, *decimal, b"DE89", b"w1")._replace(**changes)


def changed(withdrawal_id: int, status: int, reference: bytes = b"w1") -> WithdrawalChanged:
    return WithdrawalChanged(withdrawal_id, ANA, EUR, 20_00000, status, b"DE89", reference)


def test_row_d7() -> None:
    desk = Desk()
    desk.ledger.hold(ANA, GLD, 2_000)  # Ana's order to sell 2@10.00
    assert desk.request("0.001", asset_id=GLD) == rejects.NO_FUNDS
    assert desk.free_and_held(GLD) == (0, 2_000)

    assert desk.request(reference=b"w1") == [changed(12, PENDING)]
    assert desk.free_and_held() == (30_00000, 20_00000)
    assert desk.decide(12, REJECT) == [changed(12, REJECTED)]
    assert desk.free_and_held() == (50_00000, 0)
    assert desk.request(reference=b"w2") == [changed(14, PENDING, b"w2")]
    assert desk.free_and_held() == (30_00000, 20_00000)
    assert desk.decide(14, APPROVE) == [changed(14, APPROVED, b"w2")]
    assert desk.free_and_held() == (30_00000, 20_00000)
    assert desk.ledger.supply_units(EUR) == 50_00000
    assert desk.decide(14, PAY) == [changed(14, PAID, b"w2")]
    assert desk.free_and_held() == (30_00000, 0)
    assert desk.ledger.supply_units(EUR) == 30_00000
    assert desk.withdrawals.paid_units() == {EUR: 20_00000}


def test_the_owner_takes_back_what_is_not_approved_yet() -> None:
    desk = Desk()
    desk.request()
    assert desk.decide(FIRST, CANCEL) == [changed(FIRST, CANCELLED_BY_OWNER)]
    assert desk.free_and_held() == (50_00000, 0)


def test_everything_available_may_go_and_not_a_unit_more() -> None:
    assert Desk().request("50.00001") == rejects.NO_FUNDS
    desk = Desk()
    assert isinstance(desk.request("50"), list)
    assert desk.free_and_held() == (0, 50_00000)
    assert desk.request("0.00001", reference=b"w2") == rejects.NO_FUNDS


def test_what_others_have_does_not_count() -> None:
    assert Desk().request("0.00001", account_id=BO) == rejects.NO_FUNDS


@pytest.mark.parametrize("amount", ["0", "-1", "0.000001", "20.000001"])
def test_an_amount_is_positive_and_whole_units(amount: str) -> None:
    assert Desk().request(amount) == rejects.AMOUNT


@pytest.mark.parametrize("amount", [ABSENT, UNREPRESENTABLE, Decimal(AMOUNT_MAX, 4)])
def test_an_amount_that_no_balance_can_have_is_refused(amount: Decimal) -> None:
    assert Desk().request(amount_mantissa=amount.mantissa, amount_scale=amount.scale) == rejects.AMOUNT


@pytest.mark.parametrize(
    ("destination", "reason"),
    [
        (b"", rejects.ACCEPTED),
        (b" ~", rejects.ACCEPTED),
        (b"x" * DESTINATION_LENGTH_MAX, rejects.ACCEPTED),
        (b"x" * (DESTINATION_LENGTH_MAX + 1), rejects.MALFORMED),
        (b"DE89\x1f", rejects.MALFORMED),
        (b"DE89\x7f", rejects.MALFORMED),
        ("Köln".encode(), rejects.MALFORMED),
    ],
)
def test_a_destination_is_at_most_128_printable_ascii_characters(destination: bytes, reason: int) -> None:
    answer = Desk().request(destination=destination)
    assert answer == (reason or [changed(FIRST, PENDING)._replace(destination=destination)])


@pytest.mark.parametrize("asset_id", [0, 3])
def test_an_asset_must_exist(asset_id: int) -> None:
    assert Desk().request(asset_id=asset_id) == rejects.UNKNOWN_ASSET


def test_the_exchange_keeps_its_fees() -> None:
    desk = Desk()
    desk.ledger.deposit(EXCHANGE_ACCOUNT, EUR, 50_00000)
    assert desk.request(account_id=EXCHANGE_ACCOUNT) == rejects.NOT_ALLOWED


def test_a_frozen_account_withdraws_nothing_but_may_cancel() -> None:
    desk = Desk()
    desk.request()
    desk.freeze(ANA)
    assert desk.request("1", reference=b"w2") == rejects.ACCOUNT_FROZEN
    assert desk.decide(FIRST, CANCEL) == [changed(FIRST, CANCELLED_BY_OWNER)]


def test_operators_decide_about_a_frozen_accounts_withdrawal() -> None:
    desk = Desk()
    desk.request()
    desk.freeze(ANA)
    assert desk.decide(FIRST, APPROVE) == [changed(FIRST, APPROVED)]
    assert desk.decide(FIRST, PAY) == [changed(FIRST, PAID)]


def test_the_first_reason_that_applies_is_the_answer() -> None:
    """One fault more at a time, each before the last in the order of precedence."""
    desk = Desk()
    faults: dict[str, Any] = {"amount": "51"}
    assert desk.request(**faults) == rejects.NO_FUNDS
    faults["amount"] = "51.000001"
    assert desk.request(**faults) == rejects.AMOUNT
    desk.freeze(ANA)
    assert desk.request(**faults) == rejects.ACCOUNT_FROZEN
    desk.freeze(EXCHANGE_ACCOUNT)
    faults["account_id"] = EXCHANGE_ACCOUNT
    assert desk.request(**faults) == rejects.NOT_ALLOWED
    faults["asset_id"] = 3
    assert desk.request(**faults) == rejects.UNKNOWN_ASSET
    faults["destination"] = b"\n"
    assert desk.request(**faults) == rejects.MALFORMED


@pytest.mark.parametrize("decision", [APPROVE, REJECT, PAY, CANCEL])
def test_a_withdrawal_must_exist(decision: int) -> None:
    assert Desk().decide(FIRST, decision) == rejects.UNKNOWN_WITHDRAWAL


def test_nobody_cancels_what_is_another_accounts() -> None:
    desk = Desk()
    desk.request()
    assert desk.decide(FIRST, CANCEL, account_id=BO) == rejects.UNKNOWN_WITHDRAWAL
    assert desk.decide(FIRST, CANCEL, account_id=OPS) == rejects.UNKNOWN_WITHDRAWAL


def test_an_unknown_decision_is_malformed() -> None:
    desk = Desk()
    desk.request()
    assert desk.decide(FIRST, PAY + 1) == rejects.MALFORMED


@pytest.mark.parametrize(
    ("decisions", "too_early_or_late"),
    [
        ([], [PAY]),
        ([APPROVE], [CANCEL]),
        ([REJECT], [APPROVE, PAY, CANCEL]),
        ([CANCEL], [APPROVE, REJECT, PAY]),
        ([APPROVE, REJECT], [PAY, CANCEL]),
        ([APPROVE, PAY], [REJECT, CANCEL]),
    ],
)
def test_what_contradicts_the_state_is_refused(decisions: list[int], too_early_or_late: list[int]) -> None:
    desk = Desk()
    desk.request()
    for decision in decisions:
        assert isinstance(desk.decide(FIRST, decision), list)
    for decision in too_early_or_late:
        assert desk.decide(FIRST, decision) == rejects.WRONG_STATE


@pytest.mark.parametrize(
    ("decisions", "status"),
    [
        ([APPROVE], APPROVED),
        ([REJECT], REJECTED),
        ([CANCEL], CANCELLED_BY_OWNER),
        ([APPROVE, REJECT], REJECTED),
        ([APPROVE, PAY], PAID),
    ],
)
def test_a_decision_made_again_is_a_repeat_whatever_came_after_it(decisions: list[int], status: int) -> None:
    desk = Desk()
    desk.request()
    for decision in decisions:
        assert isinstance(desk.decide(FIRST, decision), list)
    state = desk.state()
    for first_sequence, decision in enumerate(decisions, FIRST + 1):
        for _ in range(2):
            repeated = RequestRepeated(first_sequence, rejects.ACCEPTED)
            assert desk.decide(FIRST, decision) == [repeated, changed(FIRST, status)]
    assert desk.state() == state


def test_a_reference_is_known_for_ever_with_its_content() -> None:
    desk = Desk()
    known = desk.withdrawals.known_reference
    assert known(request()) is None
    desk.request()
    desk.decide(FIRST, REJECT)
    assert known(request()) == (FIRST, True)
    assert known(request("20.000", issued_at_ns=0)) == (FIRST, True)
    assert known(request(amount_mantissa=2_000, amount_scale=2)) == (FIRST, True)
    assert known(request("20.00001")) == (FIRST, False)
    assert known(request("20.000001")) == (FIRST, False)
    assert known(request(asset_id=GLD)) == (FIRST, False)
    assert known(request(asset_id=3)) == (FIRST, False)
    assert known(request(destination=b"DE90")) == (FIRST, False)
    assert known(request(reference=b"w2")) is None
    assert known(request(account_id=BO)) is None
    assert desk.withdrawals.number_of(ANA, b"w1") == FIRST
    assert desk.withdrawals.number_of(ANA, b"w2") == desk.withdrawals.number_of(BO, b"w1") == 0


def test_a_refused_request_leaves_its_reference_free() -> None:
    desk = Desk()
    assert desk.request("51") == rejects.NO_FUNDS
    assert desk.withdrawals.known_reference(request("51")) is None
    assert isinstance(desk.request("50"), list)


def test_two_accounts_may_use_one_reference() -> None:
    desk = Desk()
    desk.ledger.deposit(BO, EUR, 1_00000)
    desk.request()
    assert isinstance(desk.request("1", account_id=BO), list)
    assert desk.withdrawals.known_reference(request("1", account_id=BO)) == (FIRST + 1, True)


def test_a_report_tells_the_withdrawal_as_it_stands() -> None:
    desk = Desk()
    assert desk.withdrawals.report(FIRST) is None
    desk.request()
    assert desk.withdrawals.report(FIRST) == changed(FIRST, PENDING)
    desk.decide(FIRST, APPROVE)
    assert desk.withdrawals.report(FIRST) == changed(FIRST, APPROVED)


def test_a_restored_desk_answers_like_the_first() -> None:
    desk, other = Desk(), Desk()
    for number in range(4):
        desk.request("1", reference=b"w%d" % number)
    desk.decide(FIRST, APPROVE)
    desk.decide(FIRST, PAY)
    desk.decide(FIRST + 1, APPROVE)
    desk.decide(FIRST + 2, CANCEL)
    rows = desk.withdrawals.rows()
    assert [numbers[0] for numbers, _ in rows] == [FIRST, FIRST + 1, FIRST + 2, FIRST + 3]
    other.ledger.restore(desk.ledger.rows(), desk.ledger.supplies())
    other.withdrawals.restore((WITHDRAWAL_ROW.unpack(WITHDRAWAL_ROW.pack(*row)), texts) for row, texts in rows)
    other.sequence = desk.sequence
    assert other.state() == desk.state()
    assert list(other.withdrawals.holds()) == list(desk.withdrawals.holds()) == [(ANA, EUR, 1_00000)] * 2
    assert other.withdrawals.paid_units() == desk.withdrawals.paid_units() == {EUR: 1_00000}
    assert other.withdrawals.known_reference(request("1", reference=b"w3")) == (FIRST + 3, True)
    for number in range(FIRST, FIRST + 5):
        for decision in (APPROVE, CANCEL, PAY, REJECT):
            assert other.decide(number, decision) == desk.decide(number, decision)
    assert other.state() == desk.state()


def test_the_greatest_numbers_fit_a_row() -> None:
    numbers = (2**64 - 1, 2**64 - 1, 2**32 - 1, AMOUNT_MAX, 255, 2**64 - 1, 2**64 - 1)
    assert WITHDRAWAL_ROW.unpack(WITHDRAWAL_ROW.pack(*numbers)) == numbers


STEPS = st.tuples(st.integers(0, 5), st.sampled_from((ANA, BO)), st.integers(1, 30), st.integers(0, 12))


@given(st.lists(STEPS, max_size=40))
def test_no_unit_is_lost_made_or_held_without_a_withdrawal(steps: list[tuple[int, int, int, int]]) -> None:
    desk = Desk()
    desk.ledger.deposit(BO, EUR, 40_00000)
    for kind, account_id, euros, which in steps:
        if kind <= 1:
            desk.request(str(euros), account_id=account_id, reference=b"w%d" % desk.sequence)
        else:
            desk.decide(FIRST + which, (APPROVE, REJECT, PAY, CANCEL)[kind - 2], account_id=account_id)
        held: dict[tuple[int, int], int] = {}
        for owner, asset_id, units in desk.withdrawals.holds():
            held[owner, asset_id] = held.get((owner, asset_id), 0) + units
        rows = desk.ledger.rows()
        assert held == {(owner, asset_id): units for owner, asset_id, _, units in rows if units}
        total = sum(free + held for _, asset_id, free, held in rows if asset_id == EUR)
        assert total == desk.ledger.supply_units(EUR) == 90_00000 - desk.withdrawals.paid_units().get(EUR, 0)
