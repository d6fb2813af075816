"""Reading a recorded order flow: which rows count, how they become requests, what it takes to fund them."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from engine.types import AMOUNT_MAX
from sim.order_flow import COLUMNS, FlowSize, OrderFlowError, Step, measure, read_steps, same_side_runs

HEADING = ",".join(COLUMNS)
ROWS = """\
65595247,1430438404518,1430438404000,236.47,200000000,created,bid
65595247,1430438404635,1430438404000,236.47,178855669,changed,bid
65595187,1430438404637,1430438340000,236.47,0,deleted,ask
65595181,1430438405647,1430438337000,236.08,200000000,deleted,bid
65595250,1430438406223,1430438405000,236.46,671355612,created,ask
"""
BID = Step(1, True, "65595247", "buy", "236.47", 200_000_000)
CANCEL = Step(4, False, "65595181", "buy", "236.08", 200_000_000)
ASK = Step(5, True, "65595250", "sell", "236.46", 671_355_612)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_only_what_traders_did_is_kept(tmp_path: Path) -> None:
    assert list(read_steps(write(tmp_path / "day.csv", f"{HEADING}\n{ROWS}"))) == [BID, CANCEL, ASK]


def test_a_compressed_file_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "day.csv.xz"
    path.write_bytes(lzma.compress(f"{HEADING}\n{ROWS}".encode()))
    assert list(read_steps(path)) == [BID, CANCEL, ASK]


def test_a_created_row_becomes_a_limit_order_under_the_rows_id() -> None:
    assert ASK.item("BTC-USD") == {
        "op": "place",
        "market": "BTC-USD",
        "side": "sell",
        "type": "limit",
        "quantity": "6.71355612",
        "price": "236.46",
        "time_in_force": "gtc",
        "post_only": False,
        "client_order_id": "65595250",
    }


def test_a_deleted_row_becomes_a_cancel_with_an_id_of_its_own() -> None:
    expected = {"op": "cancel", "client_order_id": "65595181", "request_id": "d4-65595181"}
    assert CANCEL.item("BTC-USD") == expected


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("1,2,3,4.00,5,created", "row 1 has 6 columns instead of 7"),
        ("1,2,3,4.00,5,made,bid", "unknown action or direction: made, bid"),
        ("1,2,3,4.00,5,created,buy", "unknown action or direction: created, buy"),
        ("1/2,2,3,4.00,5,created,bid", "no usable id, price or volume: 1/2"),
        ("1,2,3,four,5,created,bid", "no usable id, price or volume"),
        ("1,2,3,4.00,-5,created,bid", "no usable id, price or volume"),
        ("1,2,3,4.00,0.5,created,bid", "no usable id, price or volume"),
    ],
)
def test_a_damaged_row_is_named(tmp_path: Path, row: str, complaint: str) -> None:
    with pytest.raises(OrderFlowError, match=complaint):
        list(read_steps(write(tmp_path / "day.csv", f"{HEADING}\n{row}\n")))


def test_another_file_is_refused_at_its_first_line(tmp_path: Path) -> None:
    with pytest.raises(OrderFlowError, match="the first line must be id,timestamp"):
        list(read_steps(write(tmp_path / "day.csv", ROWS)))
    with pytest.raises(OrderFlowError, match="the first line must be"):
        list(read_steps(write(tmp_path / "empty.csv", "")))


def test_a_file_that_is_absent_or_not_compressed_as_it_says_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OrderFlowError, match="cannot be read: No such file"):
        list(read_steps(tmp_path / "day.csv"))
    with pytest.raises(OrderFlowError, match="is damaged"):
        list(read_steps(write(tmp_path / "day.csv.xz", "not xz")))
    (tmp_path / "cut.csv.xz").write_bytes(lzma.compress(f"{HEADING}\n{ROWS}".encode())[:-20])
    with pytest.raises(OrderFlowError, match="is damaged"):
        list(read_steps(tmp_path / "cut.csv.xz"))


def test_runs_keep_the_order_and_end_where_the_side_changes() -> None:
    steps = [CANCEL, BID, BID, BID, ASK, BID]
    assert list(same_side_runs(steps, 3)) == [[CANCEL, BID, BID], [BID], [ASK], [BID]]
    assert list(same_side_runs([], 3)) == []


def test_funds_are_the_sum_of_what_all_orders_could_spend() -> None:
    expected = FlowSize(4, 671_355_612, 2 * 23_647 * 200_000_000, BID)
    assert measure([CANCEL, BID, BID, ASK]) == expected
    assert measure([]) == FlowSize(0, 0, 0, None)


def test_an_order_that_nobody_can_pay_needs_no_funds() -> None:
    huge = BID._replace(volume_satoshi=AMOUNT_MAX)
    off_tick = BID._replace(price="236.475")
    negative = BID._replace(price="-1")
    assert measure([huge, off_tick, negative, ASK._replace(volume_satoshi=AMOUNT_MAX)]).usd_units == 0


def test_the_sum_stays_within_what_can_be_deposited() -> None:
    large = BID._replace(volume_satoshi=AMOUNT_MAX // 23_647)
    assert measure([large, large]).usd_units == AMOUNT_MAX
