"""Pages are complete and without repeats while rows are added, and a cursor means one thing only."""

from __future__ import annotations

from typing import Any

import pytest

from engine.commands import Deposit
from gateway.errors import BadRequest, NotFound
from projections.query.cursor import decode_cursor, encode_cursor
from projections.query.source import BehindHistory
from tests.engine.workload_special import EUR
from tests.projections.query.history import History


def deposit(history: History, number: int) -> int:
    """One more transfer. Answers its number."""
    now_ns = history.exchanges["main"].workload.now_ns + number * 1_000_000
    command = Deposit(0, now_ns, 1, EUR, 5, 0, b"later-%d" % number)
    return history.execute("main", now_ns, [command]).last_sequence


def test_newest_first_pages_are_those_of_the_moment_when_the_first_was_read(growing: History) -> None:
    before = [one["transfer_id"] for one in growing.all_rows("transfers", limit=1000)]
    assert len(before) > 8
    found: list[int] = []
    parameters: dict[str, Any] = {"limit": 3}
    for number in range(100):
        body = growing.ask("transfers", **parameters)
        found += [one["transfer_id"] for one in body["transfers"]]
        if not body["next"]:
            break
        parameters["cursor"] = body["next"]
        deposit(growing, number)
    assert found == before


def test_oldest_first_pages_come_to_what_was_added_meanwhile(growing: History) -> None:
    before = [one["transfer_id"] for one in growing.all_rows("transfers", limit=1000, sort="oldest")]
    added: list[int] = []
    found: list[int] = []
    parameters: dict[str, Any] = {"limit": 4, "sort": "oldest"}
    while True:
        body = growing.ask("transfers", **parameters)
        found += [one["transfer_id"] for one in body["transfers"]]
        if len(added) < 6:
            added += [deposit(growing, 2 * len(added)), deposit(growing, 2 * len(added) + 1)]
        if not body["next"]:
            break
        parameters["cursor"] = body["next"]
    assert found == [*before, *added]


def test_a_cursor_belongs_to_its_question(history: History) -> None:
    cursor = history.ask("orders", "trader-1", limit=2)["next"]
    assert history.ask("orders", "trader-1", limit=5, cursor=cursor)["orders"]
    for account, other in (
        ("trader-1", {"side": "buy"}),
        ("trader-1", {"sort": "oldest"}),
        ("trader-2", {}),
        (None, {}),
    ):
        with pytest.raises(BadRequest, match="other parameters"):
            history.ask("orders", account, limit=2, cursor=cursor, **other)
    with pytest.raises(BadRequest, match="BAD_CURSOR"):
        history.ask("fills", "trader-1", cursor=cursor)


@pytest.mark.parametrize(
    "text", ["!", "x", "AAAA", "W10", "WzEsMl0", "W1sxXSxbXV0", encode_cursor("question", {1: (5,)}), "A" * 1001]
)
def test_a_cursor_that_no_page_gave_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="BAD_CURSOR"):
        decode_cursor("question", text, key_length=2)


def test_a_cursor_keeps_its_positions() -> None:
    positions = {1: (4711, 0), 2: (17, 3)}
    assert decode_cursor("question", encode_cursor("question", positions), key_length=2) == positions


def test_a_page_says_as_of_which_sequence_it_is(history: History) -> None:
    sequences = {name: exchange.machine.sequence for name, exchange in history.exchanges.items()}
    body = history.ask("orders", "trader-1")
    assert (body["as_of_sequence"], body["as_of"]) == (None, sequences)
    body = history.ask("orders", "trader-1", group="metals")
    assert (body["as_of_sequence"], body["as_of"]) == (sequences["metals"], {"metals": sequences["metals"]})


def test_a_sequence_that_is_not_there_yet_is_too_old(history: History) -> None:
    sequence = history.exchanges["main"].machine.sequence
    assert history.ask("orders", group="main", min_sequence=sequence)["orders"]
    with pytest.raises(BehindHistory) as caught:
        history.ask("orders", group="main", min_sequence=sequence + 1)
    assert (caught.value.code, caught.value.status, caught.value.sequence) == ("TOO_OLD", 503, sequence)
    with pytest.raises(BadRequest, match="group"):
        history.ask("orders", min_sequence=1)


@pytest.mark.parametrize(
    ("name", "parameters", "code"),
    [
        ("orders", {"market": "GLD-USD"}, "UNKNOWN_MARKET"),
        ("orders", {"account": "nobody"}, "UNKNOWN_ACCOUNT"),
        ("orders", {"group": "oils"}, "UNKNOWN_GROUP"),
        ("transfers", {"asset": "USD"}, "UNKNOWN_ASSET"),
        ("candles", {"market": "GLD-EUR"}, "BAD_QUERY"),
        ("trades", {}, "BAD_QUERY"),
        ("orders", {"limit": 0}, "BAD_QUERY"),
        ("orders", {"limit": 1001}, "BAD_QUERY"),
        ("orders", {"state": "open"}, "BAD_QUERY"),
        ("orders", {"status": "closed"}, "BAD_QUERY"),
        ("orders", {"from": "2026-01-01"}, "BAD_TIME"),
        ("orders", {"client_order_id_prefix": "a%"}, "BAD_ID"),
        ("orders", {"from": "2026-01-02T00:00:00Z", "to": "2026-01-02T00:00:00Z"}, "BAD_QUERY"),
        ("orders", {"wait_ms": 5}, "BAD_QUERY"),
        ("statement", {"sort": "newest"}, "BAD_QUERY"),
        ("trades", {"market": "GLD-EUR", "account": "trader-1"}, "BAD_QUERY"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_by_name(
    history: History, name: str, parameters: dict[str, Any], code: str
) -> None:
    with pytest.raises((BadRequest, NotFound), match=code):
        history.ask(name, **parameters)
