"""How the outcomes of batches become a summary, also when the exchange had to be asked twice."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from sim.bitstamp import ImportRefused, Recorder, Summary, Trade, import_flow, main
from sim.client import Client, Credentials, Response
from sim.order_flow import FlowSize, Step, measure

PLACE = Step(1, True, "11", "buy", "236.47", 200_000_000)
CANCEL = Step(2, False, "11", "buy", "236.47", 200_000_000)
FILL = {"trade_id": 5, "price": "236.40", "quantity": "0.5", "notional": "118.2", "fee": "0", "liquidity": "taker"}


class TradeList:
    """What the exchange lists as its latest trades, and how often it was asked."""

    def __init__(self, *trades: dict[str, Any]) -> None:
        self.trades = list(trades)
        self.asked = 0

    def __call__(self) -> Response:
        self.asked += 1
        return Response(200, {"trades": self.trades}, 9)


def placed(order_id: int, *fills: dict[str, Any], repeated: bool = False, executed: str = "0") -> dict[str, Any]:
    order = {"order_id": order_id, "executed": executed}
    return {"status": 200 if repeated else 201, "repeated": repeated, "order": order, "fills": list(fills)}


def refused(status: int, code: str) -> dict[str, Any]:
    return {"status": status, "error": {"code": code, "message": "Why.", "definite": True}}


def test_outcomes_are_counted_by_kind_and_reason() -> None:
    summary, trades = Summary(), TradeList()
    Recorder(summary, trades).record(
        [PLACE, PLACE, CANCEL, CANCEL, CANCEL],
        [
            placed(7, FILL, executed="0.5"),
            refused(422, "NO_FUNDS"),
            {"status": 200, "repeated": False, "order": {}},
            refused(404, "UNKNOWN_ORDER"),
            refused(409, "ORDER_CLOSED"),
        ],
    )
    assert (summary.orders, summary.cancels, summary.rows) == (1, 1, 5)
    assert summary.refused == Counter({"NO_FUNDS": 1})
    assert summary.cancels_refused == Counter({"UNKNOWN_ORDER": 1, "ORDER_CLOSED": 1})
    assert summary.trades == {5: Trade(Decimal("236.40"), Decimal("0.5"))}
    assert (summary.volume_btc, summary.notional_usd) == (Decimal("0.5"), Decimal("118.2"))
    assert trades.asked == 0


def test_the_trades_of_a_repeated_order_come_from_the_exchanges_list() -> None:
    listed = TradeList(
        {"trade_id": 5, "price": "236.40", "quantity": "0.5", "sequence": 7},
        {"trade_id": 4, "price": "236.39", "quantity": "0.1", "sequence": 7},
        {"trade_id": 3, "price": "1.00", "quantity": "9", "sequence": 6},
    )
    summary = Summary()
    Recorder(summary, listed).record([PLACE], [placed(7, repeated=True, executed="0.6")])
    assert set(summary.trades) == {4, 5}
    assert summary.volume_btc == Decimal("0.6")


def test_a_trade_is_counted_once_however_often_it_is_told() -> None:
    listed = TradeList({"trade_id": 5, "price": "236.40", "quantity": "0.5", "sequence": 7})
    summary = Summary()
    recorder = Recorder(summary, listed)
    recorder.record([PLACE], [placed(7, FILL, executed="0.5")])
    recorder.record([PLACE], [placed(7, repeated=True, executed="0.5")])
    assert len(summary.trades) == 1


def test_the_list_is_asked_only_for_orders_that_traded_and_are_not_known_yet() -> None:
    listed = TradeList({"trade_id": 5, "price": "236.40", "quantity": "0.5", "sequence": 7})
    recorder = Recorder(Summary(), listed)
    recorder.record([PLACE], [placed(6, repeated=True, executed="0")])
    assert listed.asked == 0
    recorder.record([PLACE], [placed(7, repeated=True, executed="0.5")])
    recorder.record([PLACE], [placed(7, repeated=True, executed="0.5")])
    assert listed.asked == 1


def test_the_summary_reads_as_a_table() -> None:
    summary = Summary(
        orders=12_431,
        cancels=11_965,
        cancels_refused=Counter({"UNKNOWN_ORDER": 143, "ORDER_CLOSED": 28}),
        trades={1: Trade(Decimal("236.40"), Decimal("0.50000000"))},
        trades_complete=True,
        best_bid="236.88",
        best_ask="237.10",
        rows=24_567,
        duration_s=10.0,
    )
    assert str(summary).splitlines() == [
        "orders accepted   12,431",
        "orders refused    0",
        "cancels that hit  11,965",
        "cancels refused   171 (ORDER_CLOSED 28, UNKNOWN_ORDER 143)",
        "trades            1",
        "volume            0.50000000 BTC",
        "notional          118.2000000000 USD",
        "best bid, ask     236.88, 237.10",
        "rows              24,567 in 10.0 s, 2,457 rows/s",
    ]


def test_trades_that_do_not_add_up_are_called_a_lower_bound() -> None:
    assert "trades            0 at least" in str(Summary())


def test_expected_failures_are_one_sentence_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TALLY_KEY", raising=False)
    assert main(tmp_path / "day.csv", url="http://127.0.0.1:1", data_dir=tmp_path) == 1
    assert capsys.readouterr().err.startswith("tally import: No API key: ")
    (tmp_path / "operator.key").write_text('{"key_id": "op", "secret": "a"}')
    assert main(tmp_path / "day.csv", url="http://127.0.0.1:1", data_dir=tmp_path) == 1
    assert "cannot be read: No such file" in capsys.readouterr().err
    assert main(tmp_path / "day.csv", url="http://127.0.0.1:1", data_dir=tmp_path, batch_size=501) == 2


class AgreeableExchange:
    """Says yes to everything, and remembers in which order which account asked for what."""

    def __init__(self, *, funded_before: bool = False, bought: str = "0") -> None:
        self.funded_before = funded_before
        self.bought = bought
        self.deposits: list[tuple[str, str, str]] = []
        self.batches: list[tuple[str, list[str]]] = []

    def __call__(self, request: Any) -> tuple[int, Any]:
        document = orjson.loads(request.body) if request.body else {}
        name = request.path.split("?")[0].rsplit("/", 1)[-1]
        if name == "keys":
            return 201, {"key_id": request.path.split("/")[4], "secret": "s"}
        if name == "deposits":
            self.deposits.append((document["account"], document["asset"], document["amount"]))
            return 201, {"repeated": self.funded_before}
        if name == "balances":
            return 200, {"balances": [{"asset": "BTC", "held": "0.0", "total": self.bought}]}
        if name == "book":
            return 200, {"bids": [["236.88", "1.0", 1]], "asks": []}
        if name == "batch":
            items = document["items"]
            ids = [item.get("request_id", item["client_order_id"]) for item in items]
            self.batches.append((request.headers["x-tally-key"], ids))
            return 200, {"results": [placed(1) if item["op"] == "place" else {"status": 200} for item in items]}
        if name.startswith("client:"):
            return 404, {"error": {"code": "UNKNOWN_ORDER", "message": "Why.", "definite": True}}
        return 201, {}


BID, ASK = PLACE._replace(order_id="11"), PLACE._replace(row=3, order_id="12", side="sell")


def test_rows_are_sent_in_order_each_side_by_its_own_account(server: Any) -> None:
    exchange = server.answer = AgreeableExchange()
    steps = [BID, CANCEL, ASK, ASK._replace(order_id="13"), BID._replace(order_id="14")]
    summary = import_flow(Client(server.url, Credentials("op", "s")), measure(steps), steps)
    assert exchange.batches == [
        ("bitstamp-bids", ["11", "d2-11"]),
        ("bitstamp-asks", ["12", "13"]),
        ("bitstamp-bids", ["14"]),
    ]
    assert exchange.deposits == [
        ("bitstamp-bids", "USD", "945.8800000000"),
        ("bitstamp-asks", "BTC", "4.00000000"),
    ]
    assert (summary.orders, summary.cancels, summary.trades_complete) == (4, 1, True)
    assert (summary.best_bid, summary.best_ask) == ("236.88", "none")


def test_an_interrupted_import_goes_on(server: Any) -> None:
    exchange = server.answer = AgreeableExchange(funded_before=True)
    import_flow(Client(server.url, Credentials("op", "s")), measure([BID]), [BID])
    assert len(exchange.batches) == 1


def test_an_import_that_the_exchange_has_forgotten_is_not_repeated(server: Any) -> None:
    exchange = server.answer = AgreeableExchange(funded_before=True, bought="0.5")
    with pytest.raises(ImportRefused, match="more than 24 hours ago"):
        import_flow(Client(server.url, Credentials("op", "s")), measure([BID]), [BID])
    assert exchange.batches == []


def test_an_empty_flow_is_funded_with_nothing(server: Any) -> None:
    exchange = server.answer = AgreeableExchange()
    summary = import_flow(Client(server.url, Credentials("op", "s")), FlowSize(0, 0, 0, None), [])
    assert (exchange.deposits, exchange.batches, summary.rows) == ([], [], 0)


def test_a_market_with_other_rules_is_left_alone(server: Any) -> None:
    agreeable = AgreeableExchange()
    taken = {"error": {"code": "NAME_TAKEN", "message": "Why.", "definite": True}}
    server.answer = lambda request: (409, taken) if request.path.endswith("/markets") else agreeable(request)
    with pytest.raises(ImportRefused, match="BTC-USD with another tick, lot or fee"):
        import_flow(Client(server.url, Credentials("op", "s")), measure([BID]), [BID])
    assert agreeable.batches == []
