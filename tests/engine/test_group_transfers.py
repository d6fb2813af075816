"""Transfers between groups: each step, each refusal, repeats, and every unit where it belongs."""

from __future__ import annotations

from typing import Any

import pytest

from engine import commands, rejects
from engine.codec import pack_route
from engine.events import GroupNamed, RequestRepeated, SentTransferChanged, TransferReceived
from engine.snapshot import restore, snapshot_bytes, state_hash
from engine.types import AMOUNT_MAX, PENDING, POSTED, TRADER, VOIDED, TransferRoute
from tests.engine.exchange import ANA, BO, EUR, EUR_UNITS, GLD, OPS, Exchange, reason

REF = b"g-1"
ROUTE = TransferRoute(b"metals", b"main", b"trader-1", b"EUR")


@pytest.fixture
def main() -> Exchange:
    """A group that is called so."""
    exchange = Exchange()
    exchange.run(commands.NameGroup(0, 0, b"main"))
    return exchange


def send(units: int = 100, *, account_id: int = ANA, **changes: Any) -> commands.SendTransfer:
    return commands.SendTransfer(account_id, 0, EUR, units, 0, b"metals", REF)._replace(**changes)


def receive(units: int = 100, *, route: TransferRoute = ROUTE, **changes: Any) -> commands.ReceiveTransfer:
    return commands.ReceiveTransfer(0, 0, 77, units, 0, pack_route(route), REF)._replace(**changes)


def euros(exchange: Exchange, account_id: int = ANA) -> tuple[int, int, int]:
    """Available, held, and the supply of all accounts."""
    ledger = exchange.machine.ledger
    balance = ledger.available_units(account_id, EUR), ledger.held_units(account_id, EUR)
    return (*balance, ledger.supply_units(EUR))


def test_a_group_is_named_once() -> None:
    exchange = Exchange()
    assert exchange.run(commands.NameGroup(0, 0, b"main")) == [GroupNamed(b"main")]
    named = exchange.machine.sequence
    assert exchange.run(commands.NameGroup(0, 0, b"main")) == [
        RequestRepeated(named, rejects.ACCEPTED),
        GroupNamed(b"main"),
    ]
    (refused,) = exchange.run(commands.NameGroup(0, 0, b"other"))
    assert (refused.reason, refused.original_sequence) == (rejects.NAME_TAKEN, named)  # type: ignore[union-attr]
    assert exchange.machine.group_transfers.name == b"main"


@pytest.mark.parametrize("name", [b"", b"x" * 33, b"Main", b"a/b", b"a b", b"a_b"])
def test_what_is_no_name_of_a_group_is_refused(name: bytes) -> None:
    exchange = Exchange()
    assert reason(exchange.run(commands.NameGroup(0, 0, name))) == rejects.MALFORMED


def test_what_is_sent_is_nobodys_until_it_is_settled(main: Exchange) -> None:
    before = euros(main)
    (sent,) = main.run(send())
    number = main.machine.sequence
    assert sent == SentTransferChanged(number, ANA, EUR, 100, PENDING, 0, b"metals", REF)
    assert euros(main) == (before[0] - 100, 0, before[2])
    assert main.machine.group_transfers.in_flight_units() == {EUR: 100}

    assert main.run(commands.SettleTransfer(0, 0, number, 0)) == [sent._replace(status=POSTED)]
    assert euros(main) == (before[0] - 100, 0, before[2] - 100)
    assert not main.machine.group_transfers.in_flight_units()


def test_what_the_destination_refused_comes_back(main: Exchange) -> None:
    before = euros(main)
    main.run(send())
    number = main.machine.sequence
    (voided,) = main.run(commands.SettleTransfer(0, 0, number, rejects.UNKNOWN_ACCOUNT))
    assert isinstance(voided, SentTransferChanged)
    assert (voided.status, voided.refusal) == (VOIDED, rejects.UNKNOWN_ACCOUNT)
    assert euros(main) == before


def test_a_transfer_is_settled_once(main: Exchange) -> None:
    main.run(send())
    number = main.machine.sequence
    (posted,) = main.run(commands.SettleTransfer(0, 0, number, 0))
    settled, money = main.machine.sequence, euros(main)
    assert main.run(commands.SettleTransfer(0, 0, number, 0)) == [RequestRepeated(settled, rejects.ACCEPTED), posted]
    (refused,) = main.run(commands.SettleTransfer(0, 0, number, rejects.UNKNOWN_ASSET))
    assert (refused.reason, refused.original_sequence) == (rejects.WRONG_STATE, settled)  # type: ignore[union-attr]
    assert reason(main.run(commands.SettleTransfer(0, 0, number + 99, 0))) == rejects.UNKNOWN_TRANSFER
    assert euros(main) == money


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (send(to_group=b"main"), rejects.MALFORMED),
        (send(to_group=b"No group"), rejects.MALFORMED),
        (send(asset_id=9), rejects.UNKNOWN_ASSET),
        (send(0), rejects.AMOUNT),
        (send(-5), rejects.AMOUNT),
        (send(5, amount_scale=1), rejects.AMOUNT),
        (send(EUR_UNITS), rejects.ACCEPTED),
        (send(EUR_UNITS + 1), rejects.NO_FUNDS),
        (send(account_id=0), rejects.NOT_ALLOWED),
        (send(account_id=99), rejects.UNKNOWN_ACCOUNT),
    ],
    ids=repr,
)
def test_refusals_of_sending(main: Exchange, command: commands.SendTransfer, expected: int) -> None:
    before = euros(main)
    assert reason(main.run(command)) == expected
    assert (euros(main) == before) == (expected != rejects.ACCEPTED)


def test_a_frozen_account_sends_nothing_but_receives(main: Exchange) -> None:
    main.run(commands.FreezeAccount(OPS, 0, ANA, 1))
    assert reason(main.run(send())) == rejects.ACCOUNT_FROZEN
    (received,) = main.run(receive())
    assert isinstance(received, TransferReceived) and not received.refusal


def test_a_group_without_a_name_neither_sends_nor_receives() -> None:
    exchange = Exchange()
    assert reason(exchange.run(send())) == rejects.WRONG_STATE
    assert reason(exchange.run(receive())) == rejects.WRONG_STATE
    exchange.run(commands.NameGroup(0, 0, b"main"))
    assert reason(exchange.run(receive())) == rejects.ACCEPTED, "a refusal before it had a name says nothing"


def test_a_reference_names_a_transfer_for_ever(main: Exchange) -> None:
    (sent,) = main.run(send())
    number = main.machine.sequence
    main.now_ns += 25 * 3_600 * 1_000_000_000
    for _ in range(20):
        main.wait()  # forgets receipts
    assert main.run(send()) == [RequestRepeated(number, rejects.ACCEPTED), sent]
    for other in (send(101), send(to_group=b"metals-2"), send(asset_id=GLD)):
        (conflict,) = main.run(other)
        assert (conflict.reason, conflict.original_sequence) == (rejects.ID_CONFLICT, number)  # type: ignore[union-attr]
    withdrawal = commands.RequestWithdrawal(ANA, 0, EUR, 1, 0, b"", REF)
    assert reason(main.run(withdrawal)) == rejects.ID_CONFLICT
    assert reason(main.run(send(account_id=BO))) == rejects.ACCEPTED, "each account has its own references"


def test_what_is_received_is_credited_exactly_once(main: Exchange) -> None:
    before = euros(main)
    (received,) = main.run(receive())
    first = main.machine.sequence
    assert received == TransferReceived(77, ANA, EUR, 100, 0, b"metals", REF)
    assert euros(main) == (before[0] + 100, 0, before[2] + 100)
    main.now_ns += 400 * 86_400 * 1_000_000_000
    assert main.run(receive()) == [RequestRepeated(first, rejects.ACCEPTED), received]
    assert euros(main) == (before[0] + 100, 0, before[2] + 100)
    assert main.machine.group_transfers.received(b"metals", 77) == received
    assert main.machine.group_transfers.received(b"metals", 78) is None


@pytest.mark.parametrize(
    "other",
    [
        receive(101),
        receive(reference=b"g-2"),
        receive(route=ROUTE._replace(account=b"trader-2")),
        receive(route=ROUTE._replace(asset=b"GLD")),
        receive(route=ROUTE._replace(account=b"nobody")),
    ],
    ids=repr,
)
def test_another_transfer_under_the_same_number_is_a_conflict(main: Exchange, other: commands.ReceiveTransfer) -> None:
    main.run(receive())
    first, money = main.machine.sequence, euros(main)
    (conflict,) = main.run(other)
    assert (conflict.reason, conflict.original_sequence) == (rejects.ID_CONFLICT, first)  # type: ignore[union-attr]
    assert euros(main) == money


def test_the_same_number_of_another_group_is_another_transfer(main: Exchange) -> None:
    before = euros(main)
    main.run(receive(), receive(route=ROUTE._replace(from_group=b"stones")))
    assert euros(main)[0] == before[0] + 200


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        (receive(route=ROUTE._replace(account=b"nobody")), rejects.UNKNOWN_ACCOUNT),
        (receive(route=ROUTE._replace(asset=b"TIN")), rejects.UNKNOWN_ASSET),
        (receive(decimals=1), rejects.UNKNOWN_ASSET),
        (receive(AMOUNT_MAX), rejects.SUPPLY_TOO_LARGE),
    ],
    ids=repr,
)
def test_what_cannot_be_credited_is_refused_for_good(
    main: Exchange, command: commands.ReceiveTransfer, refusal: int
) -> None:
    """The source gives the money back, so a late copy must not be credited, whatever has become possible since."""
    before = euros(main)
    (received,) = main.run(command)
    first = main.machine.sequence
    assert isinstance(received, TransferReceived) and received.refusal == refusal
    main.run(
        commands.CreateAccount(0, 0, TRADER, b"nobody"),
        commands.CreateAsset(0, 0, 0, b"TIN"),
        commands.RequestWithdrawal(BO, 0, EUR, EUR_UNITS, 0, b"", b"all"),
    )
    assert main.run(command) == [RequestRepeated(first, rejects.ACCEPTED), received]
    assert euros(main) == before


def test_the_supply_may_reach_its_bound_and_no_more(main: Exchange) -> None:
    room = AMOUNT_MAX - main.machine.ledger.supply_units(EUR)
    (too_much,) = main.run(receive(room + 1))
    assert isinstance(too_much, TransferReceived) and too_much.refusal == rejects.SUPPLY_TOO_LARGE
    (exactly,) = main.run(receive(room, transfer_id=78))
    assert isinstance(exactly, TransferReceived) and not exactly.refusal
    assert euros(main)[2] == AMOUNT_MAX


def test_what_is_in_flight_counts_towards_the_supply_so_that_it_can_come_back(main: Exchange) -> None:
    main.run(send())
    number = main.machine.sequence
    room = AMOUNT_MAX - main.machine.ledger.supply_units(EUR)
    assert reason(main.deposit(BO, EUR, room + 1)) == rejects.SUPPLY_TOO_LARGE
    main.deposit(BO, EUR, room)
    assert reason(main.run(commands.SettleTransfer(0, 0, number, rejects.UNKNOWN_ACCOUNT))) == rejects.ACCEPTED


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (receive(0), rejects.MALFORMED),
        (receive(AMOUNT_MAX + 1), rejects.MALFORMED),
        (receive(reference=b""), rejects.MALFORMED),
        (receive(reference=b"a b"), rejects.MALFORMED),
        (receive(route=ROUTE._replace(from_group=b"main")), rejects.MALFORMED),
        (receive(route=ROUTE._replace(from_group=b"")), rejects.MALFORMED),
        (receive()._replace(route=b"\x09main"), rejects.MALFORMED),
        (receive(route=ROUTE._replace(to_group=b"stones")), rejects.WRONG_STATE),
        (receive(account_id=ANA), rejects.NOT_ALLOWED),
    ],
    ids=repr,
)
def test_what_was_meant_for_nobody_or_another_says_nothing_about_the_transfer(
    main: Exchange, command: commands.ReceiveTransfer, expected: int
) -> None:
    before = euros(main)
    assert reason(main.run(command)) == expected
    assert main.machine.group_transfers.received(b"metals", 77) is None
    assert euros(main) == before


@pytest.mark.parametrize(
    "command", [commands.NameGroup(ANA, 0, b"mine"), commands.SettleTransfer(ANA, 0, 1, 0)], ids=repr
)
def test_only_operators_name_and_settle(main: Exchange, command: commands.Command) -> None:
    assert reason(main.run(command)) == rejects.NOT_ALLOWED


def test_a_snapshot_keeps_all_of_it(main: Exchange) -> None:
    main.run(
        send(), send(7, reference=b"g-2"), send(8, reference=b"g-3"), receive(), receive(decimals=3, transfer_id=8)
    )
    number = main.machine.group_transfers.number_of(ANA, b"g-2")
    main.run(commands.SettleTransfer(0, 0, number, 7), commands.SettleTransfer(0, 0, number + 1, 0))
    again = restore(snapshot_bytes(main.machine))
    assert state_hash(again) == state_hash(main.machine)
    assert [one.transfer_id for one in again.group_transfers.pending()] == [number - 1]
    assert [*again.group_transfers.listed_sent(0, 0)] == [*main.machine.group_transfers.listed_sent(0, 0)]
    assert [*again.group_transfers.listed_sent(BO, 0)] == []
    assert len([*again.group_transfers.listed_sent(ANA, number)]) == 1
