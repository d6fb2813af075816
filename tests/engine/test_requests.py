"""Requests with an id: every kind once, again, with other content, fenced before and after, and forgotten."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine import commands, rejects
from engine.codec import COMMAND_LAYOUTS, decode_events, encode_command
from engine.events import CommandRejected, RequestFenced, RequestRepeated
from engine.machine import Machine
from engine.requests import Requests
from engine.types import (
    BUY,
    EXCHANGE_ACCOUNT,
    NS_PER_S,
    POST,
    REQUEST_AGE_NS_MAX,
    SELL,
    STOP,
)
from tests.engine.exchange import ANA, BO, CY, EUR, GLD_EUR, OPS, Exchange, kinds, reason, receipt_of

ID = b"the-id"
HOUR_NS = 3_600 * NS_PER_S
SALE = (4, 1, 2, 0, 0, 2, 0, 1, 0, 1_000, 0, 0, 0, 0, 0, 0, 0, b"sale")  # Dee offers GLD at a fixed price of 2


def busy_exchange() -> Exchange:
    """Ana has an order, a withdrawal and a transfer of Bo's to decide, and may subscribe to a sale."""
    exchange = Exchange(1_000)
    exchange.buy(ANA, 5, 900, "mine")
    exchange.run(
        commands.NameGroup(0, 0, b"main"),
        commands.RequestWithdrawal(ANA, 0, EUR, 7, 0, b"x", b"to-cancel"),
        commands.CreateTransfer(BO, 0, ANA, EUR, 8, 0, 1, 0, b"to-decide"),
        commands.CreateSale(OPS, 0, *SALE),
        commands.DecideSale(OPS, 0, 1, 0),
    )
    return exchange


def _number(exchange: Exchange, kind: str) -> int:
    number_of = exchange.machine.withdrawals.number_of if kind == "w" else exchange.machine.transfers.number_of
    return number_of(ANA, b"to-cancel") if kind == "w" else number_of(BO, b"to-decide")


# Every kind of request under one id; what a retry reports; and one change that makes it another request.
KINDS: dict[str, tuple[Callable[[Exchange], Any], list[str], dict[str, Any]]] = {
    "PlaceOrder": (
        lambda x: x.order(ANA, BUY, 1, 900)._replace(client_order_id=ID),
        ["OrderReported"],
        {"quantity_mantissa": 2},
    ),
    "PlaceSpecialOrder": (
        lambda x: x.special(ANA, SELL, 1, ID.decode(), trigger=STOP, stop=900),
        ["OrderReported", "OrderConditions"],
        {"stop_mantissa": 901},
    ),
    "PlaceOco": (
        lambda x: x.pair(ANA, SELL, 1, 1_100, 900, f"{ID.decode()} other"),
        ["OrderReported", "OrderConditions"],
        {"stop_client_order_id": b"another"},
    ),
    "CancelOrder": (
        lambda _: commands.CancelOrder(ANA, 0, 0, b"mine", ID),
        ["OrderReported"],
        {"client_order_id": b"other"},
    ),
    "AmendOrder": (
        lambda _: commands.AmendOrder(ANA, 0, 0, 901, 0, 4, 0, b"mine", ID),
        ["OrderReported"],
        {"price_scale": 254},
    ),
    "CancelAll": (lambda _: commands.CancelAll(ANA, 0, GLD_EUR, ID), [], {"market_id": 0}),
    "MassCancel": (lambda _: commands.MassCancel(ANA, 0, ANA, GLD_EUR, 2, ID), [], {"side": 1}),
    "CancelAllAfter": (lambda _: commands.CancelAllAfter(ANA, 0, 5_000, ID), [], {"timeout_ms": 5_001}),
    "RequestWithdrawal": (
        lambda _: commands.RequestWithdrawal(ANA, 0, EUR, 5, 0, b"IBAN", ID),
        ["WithdrawalChanged"],
        {"destination": b"IBAN2"},
    ),
    "CancelWithdrawal": (
        lambda x: commands.CancelWithdrawal(ANA, 0, _number(x, "w"), ID),
        ["WithdrawalChanged"],
        {"withdrawal_id": 1},
    ),
    "CreateTransfer": (
        lambda _: commands.CreateTransfer(ANA, 0, BO, EUR, 5, 0, 1, 60, ID),
        ["TransferChanged"],
        {"timeout_s": 61},
    ),
    "DecideTransfer": (
        lambda x: commands.DecideTransfer(ANA, 0, _number(x, "t"), POST, ID),
        ["TransferChanged"],
        {"decision": 1},
    ),
    "SendTransfer": (
        lambda _: commands.SendTransfer(ANA, 0, EUR, 5, 0, b"metals", ID),
        ["SentTransferChanged"],
        {"to_group": b"metals-2"},
    ),
    "SubscribeSale": (
        lambda _: commands.SubscribeSale(ANA, 0, 1, 3, 0, 0, 254, ID),
        ["SaleSubscribed"],
        {"amount_mantissa": 4},
    ),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def _money(exchange: Exchange) -> list[tuple[int, int, int, int]]:
    return exchange.machine.ledger.rows()


def test_no_kind_of_request_is_forgotten_here() -> None:
    m = Machine()
    desks = (m.accounts, m.withdrawals, m.transfers, m.group_transfers, m.sales)
    requests = Requests(m.registry, m.receipts, m.trading, *desks)
    assert {layout.record.__name__ for layout in COMMAND_LAYOUTS if requests.handles(layout.kind)} == {*KINDS}


@every_kind
def test_a_retry_is_answered_with_the_first_receipt_and_the_thing_as_it_stands(kind: str) -> None:
    exchange = busy_exchange()
    make, told, _ = KINDS[kind]
    command = make(exchange)
    assert reason(exchange.run(command)) == rejects.ACCEPTED
    sequence, money = exchange.machine.sequence, _money(exchange)
    exchange.now_ns += 59 * NS_PER_S if kind != "CancelAllAfter" else 0
    for _ in range(2):
        answer = exchange.run(command)
        assert answer[0] == RequestRepeated(sequence, rejects.ACCEPTED)
        assert kinds(answer[1:]) == (told * 2 if kind == "PlaceOco" else told), "of a pair both legs"
        assert _money(exchange) == money
    assert kinds(exchange.run(commands.ResolveRequest(ANA, 0, ID))) == ["RequestRepeated", *told]


@every_kind
def test_the_same_id_for_something_else_is_a_conflict_that_quotes_the_receipt(kind: str) -> None:
    exchange = busy_exchange()
    make, _, change = KINDS[kind]
    command = make(exchange)
    exchange.run(command)
    sequence, money = exchange.machine.sequence, _money(exchange)
    assert exchange.run(command._replace(**change)) == [CommandRejected(rejects.ID_CONFLICT, sequence)]
    other = next(name for name in KINDS if name not in (kind, "PlaceOco"))
    assert exchange.run(KINDS[other][0](exchange)) == [CommandRejected(rejects.ID_CONFLICT, sequence)]
    assert _money(exchange) == money


@every_kind
def test_a_fence_before_it_keeps_a_request_out_for_good(kind: str) -> None:
    exchange = busy_exchange()
    money = _money(exchange)
    assert exchange.run(commands.ResolveRequest(ANA, 0, ID)) == [RequestFenced(ANA, ID)]
    sequence = exchange.machine.sequence
    make, _, change = KINDS[kind]
    for command in (make(exchange), make(exchange)._replace(**change)):
        assert exchange.run(command) == [CommandRejected(rejects.FENCED, sequence)]
    assert exchange.run(commands.ResolveRequest(ANA, 0, ID)) == [RequestRepeated(sequence, rejects.FENCED)]
    assert _money(exchange) == money


@every_kind
def test_a_refusal_is_final_for_its_id(kind: str) -> None:
    exchange = busy_exchange()
    make, _, _ = KINDS[kind]
    spoilt: dict[str, dict[str, Any]] = {
        "CancelOrder": {"client_order_id": b"never"},
        "AmendOrder": {"client_order_id": b"never"},
        "CancelAll": {"market_id": 9},
        "MassCancel": {"market_id": 9},
        "CancelWithdrawal": {"withdrawal_id": 999},
        "DecideTransfer": {"transfer_id": 999},
        "SubscribeSale": {"sale_id": 9},
        "RequestWithdrawal": {"asset_id": 9},
        "CreateTransfer": {"asset_id": 9},
        "SendTransfer": {"asset_id": 9},
    }
    if kind == "CancelAllAfter":
        return  # cannot be refused once its id is good
    command = make(exchange)._replace(**spoilt.get(kind, {"market_id": 9}))
    (refused,) = exchange.run(command)
    assert isinstance(refused, CommandRejected) and refused.reason
    sequence = exchange.machine.sequence
    assert exchange.run(command) == [RequestRepeated(sequence, refused.reason)]
    assert exchange.run(commands.ResolveRequest(ANA, 0, ID)) == [RequestRepeated(sequence, refused.reason)]


@every_kind
def test_an_id_of_another_account_is_another_id(kind: str) -> None:
    exchange = busy_exchange()
    exchange.run(commands.CancelAll(BO, 0, 0, ID), commands.ResolveRequest(CY, 0, ID))
    assert reason(exchange.run(KINDS[kind][0](exchange))) == rejects.ACCEPTED


@every_kind
def test_a_request_is_signed_within_a_minute_of_log_time(kind: str) -> None:
    for offset_ns, late in ((REQUEST_AGE_NS_MAX, False), (REQUEST_AGE_NS_MAX + 1, True)):
        for sign in (1, -1):
            exchange = busy_exchange()
            command = KINDS[kind][0](exchange)._replace(issued_at_ns=exchange.now_ns + sign * offset_ns)
            applied = exchange.machine.apply(exchange.now_ns, encode_command(command))
            answer = [event for _, event in decode_events(applied.entry.events)]
            assert reason(answer) == (rejects.REQUEST_EXPIRED if late else rejects.ACCEPTED)
            assert (receipt_of(exchange.machine, ANA, ID) is None) == late


@every_kind
def test_the_exchange_itself_asks_few_of_these(kind: str) -> None:
    exchange = busy_exchange()
    command = KINDS[kind][0](exchange)._replace(account_id=EXCHANGE_ACCOUNT)
    may = kind in ("MassCancel", "DecideTransfer")
    assert (reason(exchange.run(command)) != rejects.NOT_ALLOWED) == may


@pytest.mark.parametrize("request_id", [b"", b"x" * 65, b"a b", b"\xff"])
def test_an_id_that_is_none_is_malformed_and_leaves_no_receipt(request_id: bytes) -> None:
    exchange = busy_exchange()
    before = len(exchange.machine.receipts.in_queue_order())
    for make, _, _ in KINDS.values():
        command = make(exchange)
        command = command._replace(**{command._fields[-1]: request_id})
        assert exchange.run(command) == [CommandRejected(rejects.MALFORMED, 0)]
    assert exchange.run(commands.ResolveRequest(ANA, 0, request_id)) == [CommandRejected(rejects.MALFORMED, 0)]
    assert len(exchange.machine.receipts.in_queue_order()) == before
