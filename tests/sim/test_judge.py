"""``tally judge``: the reports of a public benchmark, from our engine, and from an order book that is not ours."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import os
import random
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from engine.types import OPEN_ORDERS_PER_ACCOUNT_MAX
from sim.bench_engine_form import COMPILED, INTERPRETED, environment_for, running_form
from sim.judge import judge, main
from sim.judge_commands import Accounts
from sim.judge_reports import JudgeError
from sim.judge_run import Verdict
from sim.judge_workload import (
    CANCEL,
    HEADER,
    MAGIC,
    MODIFY,
    NEW,
    RECORD,
    Message,
    Workload,
    WorkloadError,
    encode_workload,
    read_workload,
)

ROOT = Path(__file__).parents[2]
DATA_DIR = Path(os.environ.get("TALLY_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
SAMPLE = DATA_DIR / "flash1-normal-seed23.bin.xz"
SAMPLE_SHA256 = "e9b2e3926854410b01a035aeb25dd05f1e597c233be8263de9eb49b6713d367e"
SAMPLE_PREFIX = 50_000
BUY, SELL = 0, 1

needs_sample = pytest.mark.skipif(
    not SAMPLE.exists(), reason=f"no workload: {SAMPLE} is absent (set TALLY_TEST_DATA to the folder that holds it)"
)
needs_compiled = pytest.mark.skipif(
    running_form() != COMPILED, reason="the engine is not compiled: this would take the interpreted one too long"
)

# (type, side, ioc, quantity, order id, price): messages as the tests write them.
Row = tuple[int, int, int, int, int, int]


def new(order_id: int, side: int, quantity: int, price_ticks: int, ioc: int = 0) -> Row:
    return NEW, side, ioc, quantity, order_id, price_ticks


def cancel(order_id: int) -> Row:
    return CANCEL, 0, 0, 0, order_id, 0


def modify(order_id: int, side: int, quantity: int, price_ticks: int) -> Row:
    return MODIFY, side, 0, quantity, order_id, price_ticks


def messages(rows: Iterable[Row]) -> list[Message]:
    return [
        Message(kind, side, ioc, quantity, sequence_number, order_id, price_ticks)
        for sequence_number, (kind, side, ioc, quantity, order_id, price_ticks) in enumerate(rows)
    ]


def workload_of(rows: Iterable[Row]) -> Workload:
    return Workload("test", encode_workload(messages(rows))[HEADER.size :])


def judged(rows: Iterable[Row]) -> tuple[str, Verdict]:
    """The report stream and the verdict."""
    copy = io.BytesIO()
    verdict = judge(workload_of(rows), copy=copy)
    return copy.getvalue().decode(), verdict


class NaiveBook:
    """Price-time priority in the plainest way: all orders of a side in one list, sorted before each match."""

    def __init__(self) -> None:
        self.resting: dict[int, list[int]] = {}  # order id -> [side, price, place in time, quantity]
        self.time = 0
        self.lines: list[tuple[int, int, str]] = []

    def report(self, kind: int, sequence_number: int, *fields: int) -> None:
        self.lines.append((sequence_number, kind, ",".join(str(field) for field in (kind, sequence_number, *fields))))

    def execute(self, message: tuple[int, int, int, int, int, int, int]) -> None:
        kind, side, ioc, quantity, sequence_number, order_id, price = message
        if kind == NEW:
            self.report(0, sequence_number, side, order_id, price, quantity)
            if self.match(sequence_number, side, order_id, price, quantity, ioc):
                self.report(2, sequence_number, side, order_id, price)
        elif order_id not in self.resting:
            self.report(4 if kind == CANCEL else 5, sequence_number, order_id)
        elif kind == CANCEL:
            side, price, _, _ = self.resting.pop(order_id)
            self.report(2, sequence_number, side, order_id, price)
        else:
            side = self.resting.pop(order_id)[0]
            self.match(sequence_number, side, order_id, price, quantity, 0)
            self.report(3, sequence_number, side, order_id, price, quantity)

    def match(self, sequence_number: int, side: int, order_id: int, price: int, quantity: int, ioc: int) -> bool:
        """Trade, and rest if that is wanted. Answers whether a rest was left that may not rest."""
        sign = 1 if side == BUY else -1
        makers = [
            (sign * maker[1], maker[2], maker_id)
            for maker_id, maker in self.resting.items()
            if maker[0] != side and sign * maker[1] <= sign * price
        ]
        for _, _, maker_id in sorted(makers):
            if not quantity:
                break
            maker = self.resting[maker_id]
            traded = min(quantity, maker[3])
            self.report(1, sequence_number, maker[1], traded, maker_id, order_id)
            quantity -= traded
            maker[3] -= traded
            if not maker[3]:
                del self.resting[maker_id]
        if quantity and not ioc:
            self.time += 1
            self.resting[order_id] = [side, price, self.time, quantity]
        return bool(quantity and ioc)

    def text(self) -> str:
        return "\n".join(line for _, _, line in sorted(self.lines, key=lambda line: line[:2]))


def naive(workload: Workload) -> str:
    book = NaiveBook()
    for message in workload:
        book.execute(message)
    return book.text()


def test_every_kind_of_report_as_it_is_written() -> None:
    text, verdict = judged(
        [
            new(1, SELL, 10, 100),
            new(2, SELL, 5, 101),
            new(3, BUY, 12, 101),  # takes all of 1 and a part of 2
            new(4, BUY, 7, 101, ioc=1),  # takes the rest of 2, and does not rest
            cancel(1),  # filled
            new(5, SELL, 4, 103),
            new(6, BUY, 4, 99),
            modify(6, BUY, 5, 104),  # crosses, at the price of 5, and rests
            cancel(6),
            cancel(6),
            modify(6, BUY, 1, 1),
            modify(77, BUY, 1, 1),
        ]
    )
    assert text.split("\n") == [
        "0,0,1,1,100,10",
        "0,1,1,2,101,5",
        "0,2,0,3,101,12",
        "1,2,100,10,1,3",
        "1,2,101,2,2,3",
        "0,3,0,4,101,7",
        "1,3,101,3,2,4",
        "2,3,0,4,101",
        "4,4,1",
        "0,5,1,5,103,4",
        "0,6,0,6,99,4",
        "1,7,103,4,5,6",
        "3,7,0,6,104,5",
        "2,8,0,6,104",
        "4,9,6",
        "5,10,6",
        "5,11,77",
    ]
    assert (verdict.messages, verdict.reports, verdict.trades) == (12, 17, 4)
    assert verdict.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_an_empty_workload_reports_nothing() -> None:
    assert judged([])[1].sha256 == hashlib.sha256(b"").hexdigest()


@pytest.mark.parametrize(
    ("quantity", "price_ticks"),
    [(5, 100), (4, 100), (6, 100), (5, 101)],
    ids=["unchanged", "smaller", "larger", "at another price"],
)
def test_a_modified_order_loses_its_place_whatever_is_changed(quantity: int, price_ticks: int) -> None:
    first = [new(1, SELL, 5, 100), new(2, SELL, 5, 100), modify(1, SELL, quantity, price_ticks)]
    text, _ = judged([*first, new(3, BUY, 1, 101)])
    assert text.endswith("1,3,100,1,2,3")


def test_a_modify_sets_what_is_open_not_what_was_asked_for_in_all() -> None:
    text, _ = judged(
        [new(1, SELL, 10, 100), new(2, BUY, 4, 100), modify(1, SELL, 11, 101), new(3, BUY, 99, 101, ioc=1)]
    )
    assert text.split("\n")[3:] == ["3,2,1,1,101,11", "0,3,0,3,101,99", "1,3,101,11,1,3", "2,3,0,3,101"]


def test_an_id_is_free_again_when_its_order_is_gone() -> None:
    filled = [new(1, BUY, 10, 100), new(2, SELL, 10, 100), new(1, SELL, 10, 200), new(3, BUY, 10, 200, ioc=1)]
    assert judged(filled)[0] == naive(workload_of(filled))
    cancelled = [new(1, BUY, 10, 100), cancel(1), new(1, SELL, 10, 200), cancel(1), cancel(1)]
    assert judged(cancelled)[0] == naive(workload_of(cancelled))


@pytest.mark.parametrize("seed", range(12))
def test_random_workloads_are_reported_as_by_a_naive_book(seed: int) -> None:
    workload = workload_of(random_rows(seed, 2_500))
    copy = io.BytesIO()
    verdict = judge(workload, copy=copy)
    assert copy.getvalue().decode() == naive(workload)
    assert verdict.trades > 100


def random_rows(seed: int, count: int) -> list[Row]:
    """Everything close together: crossing modifies, partial fills, ids that are used again, stale cancels."""
    rng = random.Random(seed)
    spread = rng.choice((2, 10, 40))
    rows: list[Row] = []
    book = NaiveBook()
    for sequence_number in range(count):
        side, quantity = rng.randrange(2), rng.randrange(1, 30)
        price_ticks = 1_000 + rng.randrange(-spread, spread + 1) - (1 - 2 * side) * rng.randrange(spread)
        order_id = rng.randrange(1, 200)
        chance = rng.random()
        if order_id not in book.resting and chance < 0.9:
            row = new(order_id, side, quantity, price_ticks, ioc=int(rng.random() < 0.2))
        elif chance < 0.5:
            row = cancel(order_id)
        else:
            side = book.resting[order_id][0] if order_id in book.resting else side
            old_price, old_quantity = book.resting.get(order_id, [0, price_ticks, 0, quantity])[1::2]
            change = rng.choice(((0, 0), (0, 1), (1, 1), (-1, 0), (price_ticks - old_price, 5), (0, -1)))
            row = modify(order_id, side, max(1, old_quantity + change[1]), old_price + change[0])
        rows.append(row)
        kind, side, ioc, quantity, order_id, price_ticks = row
        book.execute((kind, side, ioc, quantity, sequence_number, order_id, price_ticks))
    return rows


def test_prices_may_be_as_large_as_the_engine_has_them() -> None:
    largest = 1 << 61
    rows = [new(1, SELL, 1, largest), new(2, BUY, 1, largest, ioc=1)]
    assert judged(rows)[0] == naive(workload_of(rows))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (new(7, BUY, 1, 0), "PRICE"),
        (new(7, SELL, 1, -5), "PRICE"),
        (new(7, SELL, 0, 5), "LOT"),
        (new(7, SELL, 2, 1 << 61), "NOTIONAL_TOO_LARGE"),
        (modify(1, BUY, 0, 10), "LOT"),
        (modify(1, BUY, 4, 1 << 61), "NOTIONAL_TOO_LARGE"),
    ],
)
def test_a_refusal_that_the_benchmark_does_not_know_is_no_report(row: Row, reason: str) -> None:
    with pytest.raises(JudgeError, match=rf"^the engine refuses message 1 \(.*which the .* rules accept: {reason}\. "):
        judged([new(1, BUY, 1, 10), row])


def test_an_id_that_still_rests_cannot_be_placed_anew() -> None:
    with pytest.raises(JudgeError, match=r"^message 1 places order 1 anew while it rests"):
        judged([new(1, BUY, 1, 10), new(1, BUY, 1, 10)])


def test_sequence_numbers_must_rise() -> None:
    first = messages([new(1, BUY, 1, 10), new(2, BUY, 1, 10)])
    workload = Workload("test", encode_workload([first[1], first[0]])[HEADER.size :])
    with pytest.raises(JudgeError, match=r"^the sequence number 0 of record 1 is not above the one before"):
        judge(workload)


def test_an_account_never_gets_more_orders_than_it_may_have() -> None:
    accounts = Accounts((2 * OPEN_ORDERS_PER_ACCOUNT_MAX + 1, 5))
    owners = [accounts.next_owner(BUY, 0) for _ in range(2 * OPEN_ORDERS_PER_ACCOUNT_MAX + 1)]
    assert max(owners.count(owner) for owner in (1, 2, 3)) == OPEN_ORDERS_PER_ACCOUNT_MAX
    assert set(owners) == {1, 2, 3}
    assert accounts.next_owner(BUY, 1) == 1
    assert accounts.next_owner(SELL, 0) == 4


def test_a_workload_is_read_plain_and_compressed(tmp_path: Path) -> None:
    data = encode_workload(messages([new(1, BUY, 1, 10), cancel(1)]))
    plain, compressed = tmp_path / "w.bin", tmp_path / "w.bin.xz"
    plain.write_bytes(data)
    compressed.write_bytes(lzma.compress(data))
    assert list(read_workload(plain)) == list(read_workload(compressed)) == messages([new(1, BUY, 1, 10), cancel(1)])
    assert list(read_workload(plain, limit=1)) == messages([new(1, BUY, 1, 10)])


@pytest.mark.parametrize(
    ("name", "data", "complaint"),
    [
        ("w.bin", b"", "is cut short: it has not even a header of 16 bytes"),
        ("w.bin", bytes(16), "is not a workload of the benchmark: it begins with 0x0000000000000000"),
        ("w.bin", HEADER.pack(MAGIC, 2, 0), "has version 2 of the format; this reads version 1"),
        ("w.bin", HEADER.pack(MAGIC, 1, 2) + bytes(79), "is cut short: it announces 2 messages and holds 1"),
        ("w.bin", HEADER.pack(MAGIC, 1, 1) + bytes(41), "bytes follow the 1 messages that it announces"),
        ("w.bin.xz", HEADER.pack(MAGIC, 1, 0), "is named .xz, but it is no sound xz file"),
        ("w.bin.xz", lzma.compress(bytes(1_000))[:-40], "is cut short: the xz data ends in the middle"),
        ("w.bin", HEADER.pack(MAGIC, 1, 1) + RECORD.pack(3, 0, 0, 1, 0, 1, 1), "record 0 has the type 3; known are"),
        ("w.bin", HEADER.pack(MAGIC, 1, 1) + RECORD.pack(0, 2, 0, 1, 0, 1, 1), "record 0 has the side 2; known are"),
        ("w.bin", HEADER.pack(MAGIC, 1, 1) + RECORD.pack(0, 1, 9, 1, 0, 1, 1), "record 0 has the IOC flag 9; known"),
    ],
)
def test_what_is_no_workload_is_refused_by_name(tmp_path: Path, name: str, data: bytes, complaint: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(WorkloadError) as refusal:
        read_workload(path)
    assert complaint in str(refusal.value)


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(tmp_path / "none.bin") == 1
    assert capsys.readouterr().err == f"tally judge: {tmp_path}/none.bin cannot be read: No such file or directory\n"


def test_the_command_prints_the_hash_and_fails_if_another_was_expected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, reports = tmp_path / "w.bin", tmp_path / "reports.txt"
    file.write_bytes(encode_workload(messages([new(1, BUY, 1, 10), new(2, SELL, 1, 10)])))
    expected = hashlib.sha256(b"0,0,0,1,10,1\n0,1,1,2,10,1\n1,1,10,1,1,2").hexdigest()
    assert main(file, expect=expected, reports=reports) == 0
    printed = capsys.readouterr().out
    assert f"sha256     {expected}\n" in printed
    assert "reports    3, of them 1 trades\n" in printed
    assert hashlib.sha256(reports.read_bytes()).hexdigest() == expected
    assert main(file, expect="00", as_json=True) == 1
    captured = capsys.readouterr()
    (result,) = json.loads(captured.out)["results"]
    assert (result["messages"], result["reports"], result["trades"], result["sha256"]) == (2, 3, 1, expected)
    assert result["form"] == running_form()
    assert captured.err == "tally judge: the hash of the reports is not the expected 00\n"


@needs_sample
def test_the_beginning_of_the_sample_is_reported_as_by_a_naive_book() -> None:
    workload = read_workload(SAMPLE, limit=SAMPLE_PREFIX)
    verdict = judge(workload)
    assert verdict.sha256 == hashlib.sha256(naive(workload).encode()).hexdigest()
    assert verdict.messages == SAMPLE_PREFIX


@needs_sample
@needs_compiled
def test_both_forms_of_the_engine_give_the_same_reports_and_the_same_chain() -> None:
    verdict = judge(read_workload(SAMPLE, limit=SAMPLE_PREFIX))
    result = subprocess.run(
        [sys.executable, str(ROOT / "tally.py"), "judge", str(SAMPLE), "--limit", str(SAMPLE_PREFIX), "--json"],
        env=environment_for(INTERPRETED),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    (interpreted,) = json.loads(result.stdout)["results"]
    assert interpreted["form"] == INTERPRETED
    assert interpreted["sha256"] == verdict.sha256
    assert interpreted["chain"] == verdict.chain.hex()


@needs_sample
@needs_compiled
def test_the_sample_has_the_published_hash() -> None:
    verdict = judge(read_workload(SAMPLE))
    assert (verdict.sha256, verdict.reports, verdict.trades) == (SAMPLE_SHA256, 2_204_643, 62_474)
