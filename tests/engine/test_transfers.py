"""Transfers: at once and in two phases, who may decide what, time, and every unit where it belongs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import rejects
from engine.amounts import ABSENT, UNREPRESENTABLE, Decimal, parse_decimal
from engine.commands import CreateTransfer, DecideTransfer
from engine.event_writer import EventWriter
from engine.events import Event, RequestRepeated, TransferChanged
from engine.ledger import Ledger
from engine.registry import Registry
from engine.timers import TRANSFER_EXPIRES, Timers
from engine.transfers import TRANSFER_ROW, Transfers
from engine.types import (
    AMOUNT_MAX,
    EXCHANGE_ACCOUNT,
    EXPIRED,
    NS_PER_S,
    OPERATOR,
    PENDING,
    POST,
    POSTED,
    TRADER,
    TRANSFER_TIMEOUT_S_MAX,
    VOID,
    VOIDED,
    AccountSpec,
    AssetSpec,
)
from tests.engine.exchange import emitted

ANA, BO, CY, OPS = 1, 2, 3, 4
EUR, GLD = 1, 2
NOW_NS = 1_750_000_000 * NS_PER_S
FIRST = 11  # the sequence of a desk's first command

Answer = int | list[Event]  # the reason of a refusal, or what happened


class FreezableRegistry(Registry):
    """A registry whose accounts a test freezes without the desk that does it for operators."""

    def __init__(self) -> None:
        super().__init__()
        self.cold: list[int] = []

    def is_frozen(self, account_id: int) -> bool:
        return account_id in self.cold


class Desk:
    """Ana and the operator have 50.00 EUR each. A refused command must change nothing."""

    def __init__(self) -> None:
        self.registry, self.ledger, self.timers = FreezableRegistry(), Ledger(), Timers()
        self.registry.add_asset(AssetSpec(EUR, b"EUR", 5, 1))
        self.registry.add_asset(AssetSpec(GLD, b"GLD", 3, 2))
        for account_id, name in ((ANA, b"ana"), (BO, b"bo"), (CY, b"cy")):
            self.registry.add_account(AccountSpec(account_id, name, TRADER, 2 + account_id))
        self.registry.add_account(AccountSpec(OPS, b"ops", OPERATOR, 6))
        self.ledger.deposit(ANA, EUR, 50_00000)
        self.ledger.deposit(OPS, EUR, 50_00000)
        self.transfers = Transfers(self.registry, self.ledger, self.timers)
        self.sequence = FIRST - 1
        self.now_ns = NOW_NS

    def create(self, amount: str = "20", **changes: Any) -> Answer:
        return self._run(self.transfers.create, transfer(amount, **changes))

    def decide(self, account_id: int, decision: int, transfer_id: int = FIRST) -> Answer:
        return self._run(self.transfers.decide, DecideTransfer(account_id, self.now_ns, transfer_id, decision, b"r"))

    def pass_time(self, until_ns: int) -> list[Event]:
        """What the machine does at the start of an entry of this time."""
        self.now_ns = until_ns
        emit = EventWriter()
        while (timer := self.timers.pop_due(until_ns)) is not None:
            _, kind, subject_id = timer
            assert kind == TRANSFER_EXPIRES
            self.transfers.on_expires(subject_id, until_ns, emit)
        return emitted(emit)

    def euros(self, account_id: int) -> tuple[int, int]:
        """Available and held, in units."""
        return self.ledger.available_units(account_id, EUR), self.ledger.held_units(account_id, EUR)

    def freeze(self, account_id: int) -> None:
        self.registry.cold.append(account_id)

    def state(self) -> tuple[object, ...]:
        return self.transfers.rows(), self.ledger.rows(), self.ledger.supplies(), self.timers.next_due_ns()

    def _run(self, handler: Callable[..., int], command: object) -> Answer:
        self.sequence += 1
        before = self.state()
        emit = EventWriter()
        reason = handler(command, self.sequence, self.now_ns, emit)
        if reason:
            assert not emit.length and self.state() == before, "a refusal has changed something"
            return reason
        return emitted(emit)


def transfer(amount: str = "20", **changes: Any) -> CreateTransfer:
    decimal = parse_decimal(amount)
    assert decimal is not None
    return CreateTransfer(ANA, NOW_NS, BO, EUR, *decimal, pending=0, timeout_s=0, reference=b"t1")._replace(**changes)


def changed(status: int, expires_at_ns: int = 0, reference: bytes = b"t1", transfer_id: int = FIRST) -> TransferChanged:
    return TransferChanged(transfer_id, ANA, BO, EUR, 20_00000, status, expires_at_ns, reference)


def pending_desk(timeout_s: int = 0) -> Desk:
    """Ana's 20.00 EUR to Bo are under way."""
    desk = Desk()
    assert isinstance(desk.create(pending=1, timeout_s=timeout_s), list)
    return desk


def test_a_transfer_moves_at_once() -> None:
    desk = Desk()
    assert desk.create() == [changed(POSTED)]
    assert (desk.euros(ANA), desk.euros(BO)) == ((30_00000, 0), (20_00000, 0))
    assert list(desk.transfers.holds()) == []
    assert desk.timers.next_due_ns() is None


def test_a_pending_one_is_held_on_its_sender() -> None:
    desk = Desk()
    assert desk.create(pending=1) == [changed(PENDING)]
    assert (desk.euros(ANA), desk.euros(BO)) == ((30_00000, 20_00000), (0, 0))
    assert list(desk.transfers.holds()) == [(ANA, EUR, 20_00000)]
    assert desk.timers.next_due_ns() is None


@pytest.mark.parametrize("asker", [BO, OPS, EXCHANGE_ACCOUNT])
def test_recipient_and_operators_post(asker: int) -> None:
    desk = pending_desk()
    assert desk.decide(asker, POST) == [changed(POSTED)]
    assert (desk.euros(ANA), desk.euros(BO)) == ((30_00000, 0), (20_00000, 0))


@pytest.mark.parametrize("asker", [ANA, BO, OPS, EXCHANGE_ACCOUNT])
def test_either_party_and_operators_void(asker: int) -> None:
    desk = pending_desk()
    assert desk.decide(asker, VOID) == [changed(VOIDED)]
    assert (desk.euros(ANA), desk.euros(BO)) == ((50_00000, 0), (0, 0))


def test_the_sender_cannot_post_unless_it_is_an_operator() -> None:
    assert pending_desk().decide(ANA, POST) == rejects.NOT_ALLOWED
    desk = Desk()
    desk.create(account_id=OPS, pending=1)
    assert desk.decide(OPS, POST) == [changed(POSTED)._replace(from_account_id=OPS)]


@pytest.mark.parametrize("decision", [POST, VOID])
def test_others_cannot_find_it(decision: int) -> None:
    assert pending_desk().decide(CY, decision) == rejects.UNKNOWN_TRANSFER
    assert pending_desk().decide(BO, decision, transfer_id=FIRST + 1) == rejects.UNKNOWN_TRANSFER


def test_everything_available_may_go_and_not_a_unit_more() -> None:
    for pending in (0, 1):
        assert Desk().create("50.00001", pending=pending) == rejects.NO_FUNDS
        desk = Desk()
        assert isinstance(desk.create("50", pending=pending), list)
        assert desk.create("0.00001", pending=pending, reference=b"t2") == rejects.NO_FUNDS


@pytest.mark.parametrize("amount", ["0", "-1", "0.000001", "20.000001"])
def test_an_amount_is_positive_and_whole_units(amount: str) -> None:
    assert Desk().create(amount) == rejects.AMOUNT


@pytest.mark.parametrize("amount", [ABSENT, UNREPRESENTABLE, Decimal(AMOUNT_MAX, 4)])
def test_an_amount_that_no_balance_can_have_is_refused(amount: Decimal) -> None:
    assert Desk().create(amount_mantissa=amount.mantissa, amount_scale=amount.scale) == rejects.AMOUNT


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"to_account_id": ANA}, rejects.MALFORMED),
        ({"pending": 2}, rejects.MALFORMED),
        ({"pending": 0, "timeout_s": 1}, rejects.MALFORMED),
        ({"to_account_id": OPS + 1}, rejects.UNKNOWN_ACCOUNT),
        ({"asset_id": 0}, rejects.UNKNOWN_ASSET),
        ({"asset_id": 3}, rejects.UNKNOWN_ASSET),
        ({"account_id": EXCHANGE_ACCOUNT}, rejects.NOT_ALLOWED),
        ({"pending": 1, "timeout_s": TRANSFER_TIMEOUT_S_MAX + 1}, rejects.EXPIRY),
    ],
)
def test_what_makes_no_sense_or_is_not_there_is_refused(changes: dict[str, Any], reason: int) -> None:
    desk = Desk()
    desk.ledger.deposit(EXCHANGE_ACCOUNT, EUR, 50_00000)
    assert desk.create(**changes) == reason


def test_the_exchange_may_be_paid() -> None:
    desk = Desk()
    assert desk.create(to_account_id=EXCHANGE_ACCOUNT) == [changed(POSTED)._replace(to_account_id=EXCHANGE_ACCOUNT)]
    assert desk.euros(EXCHANGE_ACCOUNT) == (20_00000, 0)


def test_the_first_reason_that_applies_is_the_answer() -> None:
    """One fault more at a time, each before the last in the order of precedence."""
    desk = Desk()
    faults: dict[str, Any] = {"amount": "51", "pending": 1}
    assert desk.create(**faults) == rejects.NO_FUNDS
    faults["amount"] = "51.000001"
    assert desk.create(**faults) == rejects.AMOUNT
    faults["timeout_s"] = TRANSFER_TIMEOUT_S_MAX + 1
    assert desk.create(**faults) == rejects.EXPIRY
    desk.freeze(ANA)
    assert desk.create(**faults) == rejects.ACCOUNT_FROZEN
    desk.freeze(EXCHANGE_ACCOUNT)
    faults["account_id"] = EXCHANGE_ACCOUNT
    assert desk.create(**faults) == rejects.NOT_ALLOWED
    faults["asset_id"] = 3
    assert desk.create(**faults) == rejects.UNKNOWN_ASSET
    faults["to_account_id"] = OPS + 1
    assert desk.create(**faults) == rejects.UNKNOWN_ACCOUNT
    faults["pending"] = 2
    assert desk.create(**faults) == rejects.MALFORMED


def test_a_frozen_sender_neither_sends_nor_voids() -> None:
    desk = pending_desk()
    desk.freeze(ANA)
    assert desk.create("1", reference=b"t2") == rejects.ACCOUNT_FROZEN
    assert desk.decide(ANA, POST) == rejects.NOT_ALLOWED
    assert desk.decide(ANA, VOID) == rejects.ACCOUNT_FROZEN
    assert desk.decide(BO, POST) == [changed(POSTED)]


@pytest.mark.parametrize("decision", [POST, VOID])
def test_a_frozen_recipient_decides_nothing_but_an_operator_does(decision: int) -> None:
    desk = pending_desk()
    desk.freeze(ANA)
    desk.freeze(BO)
    assert desk.decide(BO, decision) == rejects.ACCOUNT_FROZEN
    assert desk.decide(OPS, decision) == [changed(VOIDED if decision == VOID else POSTED)]


def test_a_frozen_account_may_be_sent_to() -> None:
    desk = Desk()
    desk.freeze(BO)
    assert desk.create() == [changed(POSTED)]


def test_a_frozen_operator_decides_nothing() -> None:
    desk = pending_desk()
    desk.freeze(OPS)
    assert desk.decide(OPS, POST) == desk.decide(OPS, VOID) == rejects.ACCOUNT_FROZEN


def test_a_frozen_senders_transfer_still_runs_out_of_time() -> None:
    desk = pending_desk(timeout_s=1)
    desk.freeze(ANA)
    assert desk.pass_time(NOW_NS + NS_PER_S) == [changed(EXPIRED, NOW_NS + NS_PER_S)]


def test_an_unknown_decision_is_malformed() -> None:
    assert pending_desk().decide(OPS, VOID + 1) == rejects.MALFORMED


@pytest.mark.parametrize(("decision", "other", "status"), [(POST, VOID, POSTED), (VOID, POST, VOIDED)])
def test_a_decision_made_again_is_a_repeat_and_the_other_one_is_too_late(
    decision: int, other: int, status: int
) -> None:
    desk = pending_desk()
    desk.decide(BO, decision)
    state = desk.state()
    for asker in (BO, OPS):
        assert desk.decide(asker, decision) == [RequestRepeated(FIRST + 1, rejects.ACCEPTED), changed(status)]
        assert desk.decide(asker, other) == rejects.WRONG_STATE
    assert desk.state() == state


def test_what_moved_at_once_was_posted_by_its_own_command() -> None:
    desk = Desk()
    desk.create()
    assert desk.decide(BO, POST) == [RequestRepeated(FIRST, rejects.ACCEPTED), changed(POSTED)]
    assert desk.decide(BO, VOID) == rejects.WRONG_STATE
    assert desk.euros(BO) == (20_00000, 0)


def test_time_ends_it_at_the_first_entry_that_is_not_before_its_end() -> None:
    desk = pending_desk(timeout_s=60)
    ends_ns = NOW_NS + 60 * NS_PER_S
    assert desk.transfers.report(FIRST) == changed(PENDING, ends_ns)
    assert desk.pass_time(ends_ns - 1) == []
    assert desk.euros(ANA) == (30_00000, 20_00000)
    assert desk.pass_time(ends_ns) == [changed(EXPIRED, ends_ns)]
    assert desk.euros(ANA) == (50_00000, 0)
    for decision in (POST, VOID):
        assert desk.decide(OPS, decision) == rejects.WRONG_STATE


def test_it_is_posted_in_the_last_nanosecond() -> None:
    desk = pending_desk(timeout_s=60)
    ends_ns = NOW_NS + 60 * NS_PER_S
    assert desk.pass_time(ends_ns - 1) == []
    assert desk.decide(BO, POST) == [changed(POSTED, ends_ns)]


@pytest.mark.parametrize("decision", [POST, VOID])
def test_a_stale_timer_does_nothing(decision: int) -> None:
    desk = pending_desk(timeout_s=60)
    desk.decide(BO, decision)
    state = desk.state()[:-1]
    assert desk.pass_time(NOW_NS + 60 * NS_PER_S) == []
    assert desk.state()[:-1] == state


def test_a_timer_that_comes_too_early_or_twice_or_for_nothing_does_nothing() -> None:
    desk, emit = pending_desk(timeout_s=60), EventWriter()
    ends_ns = NOW_NS + 60 * NS_PER_S
    desk.transfers.on_expires(FIRST, ends_ns - 1, emit)
    desk.transfers.on_expires(FIRST + 1, ends_ns, emit)
    pending_desk(timeout_s=0).transfers.on_expires(FIRST, ends_ns, emit)
    assert not emit.length
    desk.transfers.on_expires(FIRST, ends_ns, emit)
    desk.transfers.on_expires(FIRST, ends_ns, emit)
    assert emitted(emit) == [changed(EXPIRED, ends_ns)]


def test_the_longest_timeout_is_a_leap_year() -> None:
    desk = pending_desk(timeout_s=TRANSFER_TIMEOUT_S_MAX)
    assert desk.timers.next_due_ns() == NOW_NS + 366 * 86_400 * NS_PER_S


def test_a_reference_is_known_for_ever_with_its_content() -> None:
    desk = Desk()
    known = desk.transfers.known_reference
    asked: dict[str, Any] = {"pending": 1, "timeout_s": 60}
    assert known(transfer(**asked)) is None
    desk.create(**asked)
    desk.decide(BO, VOID)
    assert known(transfer(**asked)) == (FIRST, True)
    assert known(transfer("20.000", issued_at_ns=0, **asked)) == (FIRST, True)
    assert known(transfer(amount_mantissa=2_000, amount_scale=2, **asked)) == (FIRST, True)
    assert known(transfer("20.00001", **asked)) == (FIRST, False)
    assert known(transfer("20.000001", **asked)) == (FIRST, False)
    assert known(transfer(asset_id=GLD, **asked)) == (FIRST, False)
    assert known(transfer(asset_id=3, **asked)) == (FIRST, False)
    assert known(transfer(to_account_id=CY, **asked)) == (FIRST, False)
    assert known(transfer(pending=1)) == (FIRST, False)
    assert known(transfer()) == (FIRST, False)
    assert known(transfer(reference=b"t2", **asked)) is None
    assert known(transfer(account_id=BO, to_account_id=ANA, **asked)) is None
    assert desk.transfers.number_of(ANA, b"t1") == FIRST
    assert desk.transfers.number_of(ANA, b"t2") == desk.transfers.number_of(BO, b"t1") == 0


def test_a_refused_transfer_leaves_its_reference_free() -> None:
    desk = Desk()
    assert desk.create("51") == rejects.NO_FUNDS
    assert desk.transfers.known_reference(transfer("51")) is None
    assert isinstance(desk.create("50"), list)


def test_a_report_tells_the_transfer_as_it_stands() -> None:
    desk = pending_desk()
    assert desk.transfers.report(FIRST) == changed(PENDING)
    assert desk.transfers.report(FIRST + 1) is None
    desk.decide(BO, POST)
    assert desk.transfers.report(FIRST) == changed(POSTED)


def test_a_restored_desk_answers_like_the_first_and_keeps_its_timers() -> None:
    desk, other = Desk(), Desk()
    desk.create("1", reference=b"t1")
    for number in range(2, 6):
        desk.create("1", reference=b"t%d" % number, pending=1, timeout_s=number * 10)
    desk.create("1", reference=b"t6", pending=1)
    desk.decide(BO, POST, transfer_id=FIRST + 1)
    desk.decide(BO, VOID, transfer_id=FIRST + 2)
    desk.pass_time(NOW_NS + 40 * NS_PER_S)
    rows = desk.transfers.rows()
    assert [numbers[0] for numbers, _ in rows] == list(range(FIRST, FIRST + 6))
    other.ledger.restore(desk.ledger.rows(), desk.ledger.supplies())
    other.transfers.restore((TRANSFER_ROW.unpack(TRANSFER_ROW.pack(*row)), texts) for row, texts in rows)
    other.sequence, other.now_ns = desk.sequence, desk.now_ns
    assert other.state() == desk.state()
    assert other.timers.next_due_ns() == NOW_NS + 50 * NS_PER_S
    assert list(other.transfers.holds()) == list(desk.transfers.holds()) == [(ANA, EUR, 1_00000)] * 2
    assert other.transfers.known_reference(transfer("1", reference=b"t6", pending=1)) == (FIRST + 5, True)
    assert other.transfers.known_reference(transfer("1", reference=b"t6")) == (FIRST + 5, False)
    assert other.pass_time(NOW_NS + 50 * NS_PER_S) == desk.pass_time(NOW_NS + 50 * NS_PER_S) != []
    for number in range(FIRST, FIRST + 7):
        for decision in (VOID, POST):
            assert other.decide(BO, decision, number) == desk.decide(BO, decision, number)
    assert other.state() == desk.state()


def test_the_greatest_numbers_fit_a_row() -> None:
    numbers = (2**64 - 1,) * 3 + (2**32 - 1, AMOUNT_MAX, 1, TRANSFER_TIMEOUT_S_MAX, 255, 2**63 - 1, 2**64 - 1)
    assert TRANSFER_ROW.unpack(TRANSFER_ROW.pack(*numbers)) == numbers


STEPS = st.tuples(st.integers(0, 5), st.permutations((ANA, BO, CY, OPS)), st.integers(1, 30), st.integers(0, 12))


@given(st.lists(STEPS, max_size=40))
def test_no_unit_is_lost_made_or_held_without_a_transfer(steps: list[tuple[int, list[int], int, int]]) -> None:
    desk = Desk()
    for kind, (account_id, to_account_id, *_), euros, which in steps:
        if kind <= 2:
            desk.create(
                str(euros),
                account_id=account_id,
                to_account_id=to_account_id,
                reference=b"t%d" % desk.sequence,
                pending=min(kind, 1),
                timeout_s=which if kind else 0,
            )
        elif kind <= 4:
            desk.decide(account_id, kind - 3, transfer_id=FIRST + which)
        else:
            desk.pass_time(desk.now_ns + which * NS_PER_S)
        held: dict[tuple[int, int], int] = {}
        for owner, asset_id, units in desk.transfers.holds():
            held[owner, asset_id] = held.get((owner, asset_id), 0) + units
        rows = desk.ledger.rows()
        assert held == {(owner, asset_id): units for owner, asset_id, _, units in rows if units}
        assert sum(free + held for _, _, free, held in rows) == desk.ledger.supply_units(EUR) == 100_00000
