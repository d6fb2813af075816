"""Orders as JSON, from the events of one command and from what a replica answers."""

from __future__ import annotations

import pytest

from engine.events import (
    Event,
    OrderAccepted,
    OrderAmended,
    OrderClosed,
    OrderConditions,
    OrderReplenished,
    OrderReported,
    OrderTriggered,
    RequestRepeated,
    SelfTradePrevented,
    TradeExecuted,
)
from engine.types import (
    BUY,
    CANCELLED,
    CLOSED_IOC_REST,
    CLOSED_SELF_TRADE,
    GTC,
    IOC,
    LIMIT,
    MARKET_BUDGET,
    STOP,
    TRAIL_BY_PPM,
    WAITING,
)
from gateway import order_bodies
from tests.gateway.test_rendering import GLD_EUR


def accepted(quantity_lots: int, *, order_type: int = LIMIT, budget_units: int = 0) -> OrderAccepted:
    return OrderAccepted(
        order_id=7,
        account_id=1,
        market_id=1,
        side=BUY,
        order_type=order_type,
        time_in_force=GTC if order_type == LIMIT else IOC,
        post_only=0,
        self_trade=0,
        price_ticks=1_005 if order_type == LIMIT else 0,
        quantity_lots=quantity_lots,
        budget_units=budget_units,
        held_units=0,
        client_order_id=b"c1",
    )


def trade(quantity_lots: int, price_ticks: int, taker_open_lots: int) -> TradeExecuted:
    notional_units = quantity_lots * price_ticks
    return TradeExecuted(
        trade_id=3,
        market_id=1,
        taker_side=BUY,
        price_ticks=price_ticks,
        quantity_lots=quantity_lots,
        notional_units=notional_units,
        maker_order_id=2,
        taker_order_id=7,
        maker_account_id=2,
        taker_account_id=1,
        maker_fee_units=-1,
        taker_fee_units=10,
        maker_open_lots=0,
        taker_open_lots=taker_open_lots,
    )


def closed(
    order_id: int, quantity_lots: int, executed: int, prevented: int, cancelled: int, reason: int
) -> OrderClosed:
    return OrderClosed(order_id, 1, 1, CANCELLED, reason, quantity_lots, executed, prevented, cancelled, 0)


def conditions(order_id: int = 7, **special: int) -> OrderConditions:
    nothing = OrderConditions(order_id, 1, 1, *(0 for _ in OrderConditions._fields[3:]))
    return nothing._replace(**special)


def body_after(events: list[Event], order_id: int = 7) -> dict[str, object]:
    return order_bodies.order_body(GLD_EUR, order_bodies.facts_after_placement(events, order_id))


def test_an_order_that_rests_is_open() -> None:
    body = body_after([accepted(2_000)])
    assert (body["status"], body["close_reason"], body["open"], body["price"]) == ("open", None, "2.000", "10.05")
    assert (body["average_price"], body["budget"], body["client_order_id"]) == (None, None, "c1")


def test_an_order_that_traded_in_part_rests_with_the_rest() -> None:
    body = body_after([accepted(2_000), trade(500, 1_000, 1_500)])
    assert (body["status"], body["open"], body["executed"]) == ("open", "1.500", "0.500")
    assert (body["notional"], body["fee"], body["average_price"]) == ("5.00000", "0.00010", "10.00")


def test_an_order_that_traded_completely_is_filled() -> None:
    body = body_after([accepted(2_000), trade(500, 1_000, 1_500), trade(1_500, 1_001, 0)])
    assert (body["status"], body["close_reason"], body["open"], body["executed"]) == (
        "filled",
        "FILLED",
        "0.000",
        "2.000",
    )
    assert body["average_price"] == "10.0075"


def test_the_close_of_a_maker_does_not_close_the_taker() -> None:
    maker_closed = closed(2, 3_000, 0, 3_000, 0, CLOSED_SELF_TRADE)
    body = body_after([accepted(2_000), maker_closed, trade(500, 1_000, 1_500)])
    assert (body["status"], body["prevented"]) == ("open", "0.000")


def test_a_cancelled_rest_says_why() -> None:
    body = body_after([accepted(2_000), trade(500, 1_000, 1_500), closed(7, 2_000, 500, 0, 1_500, CLOSED_IOC_REST)])
    assert (body["status"], body["close_reason"]) == ("cancelled", "IOC")
    assert (body["open"], body["executed"], body["cancelled"]) == ("0.000", "0.500", "1.500")


def test_a_budget_order_shows_its_budget_and_what_it_bought() -> None:
    events: list[Event] = [
        accepted(0, order_type=MARKET_BUDGET, budget_units=10_000_000),
        trade(500, 1_000, 0),
        closed(7, 500, 500, 0, 0, CLOSED_IOC_REST),
    ]
    body = body_after(events)
    assert (body["type"], body["price"], body["budget"], body["quantity"]) == ("market", None, "100.00000", "0.500")


def test_a_fill_is_the_takers_side_of_a_trade() -> None:
    (fill,) = order_bodies.fills_body(GLD_EUR, [accepted(500), trade(500, 1_000, 0)], 7)
    assert fill == {
        "trade_id": 3,
        "price": "10.00",
        "quantity": "0.500",
        "notional": "5.00000",
        "fee": "0.00010",
        "liquidity": "taker",
    }


def test_an_amended_order_counts_what_was_executed_before_and_now() -> None:
    amended = OrderAmended(7, 1, 1, 0, 1_015, 3_000, 2_500, 0)
    body = order_bodies.amended_order_body(GLD_EUR, [amended, trade(2_000, 1_010, 500)])
    assert (body["status"], body["quantity"], body["open"], body["executed"]) == ("open", "3.000", "0.500", "2.500")
    filled = order_bodies.amended_order_body(GLD_EUR, [amended, trade(2_500, 1_010, 0)])
    assert (filled["status"], filled["close_reason"]) == ("filled", "FILLED")
    stopped = order_bodies.amended_order_body(GLD_EUR, [amended, closed(7, 3_000, 500, 2_500, 0, CLOSED_SELF_TRADE)])
    assert (stopped["status"], stopped["prevented"], stopped["price"]) == ("cancelled", "2.500", "10.15")


@pytest.mark.parametrize(
    ("executed_lots", "notional_units", "text"),
    [(1, 1_000, "10.00"), (3, 3_001, "10.003333"), (3, 3_002, "10.006667"), (8, 8_001, "10.00125")],
)
def test_an_average_price_is_rounded_four_decimals_behind_the_ticks(
    executed_lots: int, notional_units: int, text: str
) -> None:
    assert order_bodies.average_price(GLD_EUR, executed_lots, notional_units) == text


def test_nothing_special_is_null() -> None:
    body = body_after([accepted(2_000)])
    for name in ("stop_price", "trail", "trail_percent", "display", "visible", "expires_at", "linked_order_id"):
        assert body[name] is None


def test_a_stop_waits_and_shows_its_price() -> None:
    body = body_after([accepted(2_000), conditions(trigger=STOP, stop_ticks=950)])
    assert (body["status"], body["stop_price"], body["trail"], body["open"]) == ("waiting", "9.50", None, "2.000")


def test_a_stop_by_budget_waits_although_it_wants_no_quantity() -> None:
    stop = accepted(0, order_type=MARKET_BUDGET, budget_units=10_000_000)
    body = body_after([stop, conditions(trigger=STOP, stop_ticks=950)])
    assert (body["status"], body["close_reason"], body["budget"]) == ("waiting", None, "100.00000")


def test_an_elected_stop_is_open() -> None:
    body = body_after([accepted(2_000), conditions(trigger=STOP, stop_ticks=950), OrderTriggered(7, 1, 1, 950)])
    assert (body["status"], body["stop_price"]) == ("open", "9.50")


def test_a_trailing_stop_shows_its_distance_and_where_it_stands() -> None:
    body = body_after([accepted(2_000), conditions(trigger=TRAIL_BY_PPM, stop_ticks=950, trail_ppm=50_000)])
    assert (body["trail_percent"], body["trail"], body["stop_price"]) == ("5.0000", None, "9.50")
    by_price = body_after([accepted(2_000), conditions(trigger=STOP, stop_ticks=950, trail_ticks=50)])
    assert (by_price["trail_percent"], by_price["trail"]) == (None, "0.50")


def test_what_expires_or_belongs_to_another_order_says_so() -> None:
    body = body_after([accepted(2_000), conditions(expires_at_ns=1, linked_order_id=9)])
    assert (body["expires_at"], body["linked_order_id"]) == ("1970-01-01T00:00:00.000000001Z", 9)


def test_the_conditions_of_another_order_are_not_this_ones() -> None:
    body = body_after([accepted(2_000), conditions(order_id=8, trigger=STOP, stop_ticks=950)])
    assert (body["status"], body["stop_price"]) == ("open", None)


def test_an_iceberg_shows_what_the_book_shows_of_it() -> None:
    body = body_after([accepted(2_000), conditions(display_lots=300, visible_lots=300)])
    assert (body["display"], body["visible"], body["open"]) == ("0.300", "0.300", "2.000")
    taken = trade(300, 1_000, 0)._replace(maker_order_id=7, taker_order_id=9)
    replenished = body_after(
        [
            accepted(2_000),
            conditions(display_lots=300, visible_lots=300),
            taken,
            OrderReplenished(7, 1, 1, 300),
            taken._replace(quantity_lots=100),
        ]
    )
    assert (replenished["visible"], replenished["open"], replenished["executed"]) == ("0.200", "1.600", "0.400")


def test_an_iceberg_does_not_show_more_than_it_has() -> None:
    body = body_after([accepted(2_000), conditions(display_lots=300, visible_lots=300), trade(1_900, 1_000, 100)])
    assert (body["visible"], body["open"]) == ("0.100", "0.100")


def test_the_trades_of_stops_that_an_order_elected_are_not_its_own() -> None:
    others = trade(100, 990, 0)._replace(taker_order_id=9, maker_order_id=8)
    events: list[Event] = [accepted(500), trade(500, 1_000, 0), OrderTriggered(9, 2, 1, 1_000), others]
    body = body_after(events)
    assert (body["executed"], body["status"], body["fee"]) == ("0.500", "filled", "0.00010")
    assert len(order_bodies.fills_body(GLD_EUR, events, 7)) == 1


def test_an_order_is_the_maker_where_a_stop_that_it_elected_trades_with_it() -> None:
    made = trade(300, 1_005, 0)._replace(taker_order_id=9, maker_order_id=7)
    events: list[Event] = [accepted(800), trade(500, 1_000, 300), made]
    body = body_after(events)
    assert (body["executed"], body["status"], body["fee"]) == ("0.800", "filled", "0.00009")
    assert [(one["liquidity"], one["fee"]) for one in order_bodies.fills_body(GLD_EUR, events, 7)] == [
        ("taker", "0.00010"),
        ("maker", "-0.00001"),
    ]


def test_a_decrement_is_prevented_and_leaves_the_rest_open() -> None:
    prevented = SelfTradePrevented(1, 1, 2, 7, 500, 0, 1_500)
    body = body_after([accepted(2_000), prevented])
    assert (body["status"], body["prevented"], body["open"]) == ("open", "0.500", "1.500")
    filled = body_after([accepted(2_000), prevented, trade(1_500, 1_000, 0)])
    assert (filled["status"], filled["prevented"], filled["executed"]) == ("filled", "0.500", "1.500")
    others = prevented._replace(taker_order_id=8)
    assert body_after([accepted(2_000), others])["prevented"] == "0.000"


def test_an_amended_order_counts_what_was_prevented() -> None:
    events: list[Event] = [
        OrderAmended(7, 1, 1, 0, 1_015, 3_000, 2_500, 0),
        SelfTradePrevented(1, 1, 2, 7, 500, 0, 2_000),
    ]
    body = order_bodies.amended_order_body(GLD_EUR, events)
    assert (body["open"], body["prevented"], body["executed"]) == ("2.000", "0.500", "0.500")


def reported(order_id: int, status: int) -> OrderReported:
    numbers = dict.fromkeys(OrderReported._fields, 0)
    numbers |= {"order_id": order_id, "account_id": 1, "market_id": 1, "status": status}
    return OrderReported(**numbers)._replace(client_order_id=b"c1")  # type: ignore[arg-type]


def test_a_repeat_of_a_pair_tells_each_leg_with_its_own_conditions() -> None:
    events: list[Event] = [
        RequestRepeated(7, 0),
        reported(7, 0),
        conditions(linked_order_id=8),
        reported(8, WAITING),
        conditions(order_id=8, trigger=STOP, stop_ticks=950, linked_order_id=7),
    ]
    limit, stop = (order_bodies.facts_reported(events, order_id) for order_id in (7, 8))
    assert limit is not None and limit.conditions is not None
    assert stop is not None and stop.conditions is not None
    assert (limit.conditions.linked_order_id, stop.conditions.stop_ticks) == (8, 950)
    assert order_bodies.reported_order_body(GLD_EUR, stop)["status"] == "waiting"
    assert order_bodies.facts_reported(events, 9) is None


def test_an_order_in_an_answer_has_the_fields_of_both_records() -> None:
    fields = reported(7, WAITING)._asdict() | conditions(trigger=STOP, stop_ticks=950)._asdict()
    facts = order_bodies.facts_from_query(fields | {"client_order_id": "c1"})
    assert facts == order_bodies.OrderFacts(reported(7, WAITING), conditions(trigger=STOP, stop_ticks=950))
