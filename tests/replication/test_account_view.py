"""What an account sees of what its command did: all of its own, nothing of others."""

from engine.codec import EVENT_LAYOUTS, decode_commands, decode_events, encode_event
from engine.entry import BY_TIME
from engine.events import (
    MarketStateChanged,
    OrderAccepted,
    OrderClosed,
    TradeExecuted,
    TransferChanged,
)
from replication.account_view import events_of_command, seen_by, split_events
from tests.replication.recorded_history import history

TRADE = TradeExecuted(9, 1, 0, 1_000, 5, 5_000, 41, 42, 1, 2, 11, 12, 13, 14)


def seen(account_id: int, *events: object) -> list[object]:
    data = b"".join(encode_event(event, 3) for event in events)  # type: ignore[arg-type]
    shown = list(decode_events(seen_by(account_id, data)))
    assert {offset for offset, _ in shown} <= {3}
    return [event for _, event in shown]


def test_of_a_trade_an_account_sees_its_own_side() -> None:
    (as_maker,), (as_taker,) = seen(1, TRADE), seen(2, TRADE)
    assert as_maker == TRADE._replace(taker_order_id=0, taker_account_id=0, taker_fee_units=0, taker_open_lots=0)
    assert as_taker == TRADE._replace(maker_order_id=0, maker_account_id=0, maker_fee_units=0, maker_open_lots=0)
    assert seen(3, TRADE) == []
    both = TRADE._replace(maker_account_id=2)
    assert seen(2, both) == [both]


def test_a_transfer_is_seen_by_its_two_parties() -> None:
    transfer = TransferChanged(7, 1, 2, 1, 100, 0, 0, b"t-1")
    assert seen(1, transfer) == seen(2, transfer) == [transfer]
    assert seen(3, transfer) == []


def test_what_is_about_others_is_left_out_and_what_is_public_is_not() -> None:
    closed = OrderClosed(41, 1, 1, 2, 3, 10, 4, 0, 6, 600)
    state = MarketStateChanged(1, 2, 3, 0)
    assert seen(2, closed, state) == [state]
    assert seen(1, closed, state) == [closed, state]


def test_every_kind_of_event_that_names_an_account_hides_it_from_others() -> None:
    """A new kind that names its account by another field than those known here must be looked at."""
    known = {"account_id", "maker_account_id", "taker_account_id", "from_account_id", "to_account_id"}
    public = {"issuer_account_id"}  # GET /v1/sales shows it to everybody
    for layout in EVENT_LAYOUTS:
        fields = layout.record._fields
        naming = {name for name in fields if "account_id" in name}
        assert naming <= known | public, layout.record
        texts = fields[len(fields) - layout.texts :]
        event = layout.record(**{name: b"" if name in texts else 77 if name in naming else 1 for name in fields})
        assert seen(77, event) == [event]
        if naming - public:
            assert seen(78, event) == [], layout.record


def test_in_a_real_history_nobody_sees_an_order_or_account_of_somebody_else() -> None:
    _, entries = history(60)
    own_orders: dict[int, set[int]] = {1: {0}, 2: {0}}
    trades = 0
    for entry in entries:
        for _, event in decode_events(entry.events):
            if isinstance(event, OrderAccepted):
                own_orders[event.account_id].add(event.order_id)
        for offset, command in enumerate(decode_commands(entry.commands)):
            if command.account_id == 0:
                continue
            for _, event in decode_events(seen_by(command.account_id, events_of_command(entry.events, offset))):
                for name, value in event._asdict().items():
                    if name.endswith("account_id"):
                        assert value in (0, command.account_id), event
                    if name.endswith("order_id") and not isinstance(value, bytes):
                        assert value in own_orders[command.account_id], event
                trades += isinstance(event, TradeExecuted)
    assert trades > 50


def test_the_events_of_the_commands_and_of_time_are_all_events() -> None:
    _, entries = history(20)
    for entry in entries:
        offsets = [BY_TIME, *range(entry.command_count)]
        assert b"".join(events_of_command(entry.events, offset) for offset in offsets) == entry.events
        assert b"".join(record for _, record in split_events(entry.events)) == entry.events
