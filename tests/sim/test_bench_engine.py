"""``tally bench engine``: the workloads are what their names say, and what is measured has its figures."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from engine.codec import decode_commands, decode_events
from engine.commands import AmendOrder, CancelOrder, Command, PlaceOrder
from engine.events import CommandRejected, TradeExecuted
from engine.machine import Machine
from engine.queries import book
from engine.types import BUY, FOK, GTC, IOC, LIMIT, MARKET, SELL
from sim.bench import main
from sim.bench_engine_flow import DECK_SIZE, NOW_NS, Flow
from sim.bench_engine_form import COMPILED, INTERPRETED, running_form
from sim.bench_engine_plot import PlotError, check_plotting, plot
from sim.bench_engine_workloads import SINGLE, WIDE, Workload, deep, flash1, mixture
from sim.judge_workload import CANCEL, NEW, Message, encode_workload

FIELDS = (
    *("workload", "form", "seed", "commands", "runs", "batch"),
    *("commands_per_s", "commands_per_s_min", "commands_per_s_max", "ns_per_command"),
    *("p50_us", "p99_us", "p99_9_us", "max_us", "memory_bytes", "memory_of"),
    *("trades", "trading_share", "chain_share"),
)


def kind_of(command: Command) -> str:
    """What the proportions are told of."""
    if isinstance(command, CancelOrder):
        return "cancel"
    if isinstance(command, AmendOrder):
        return "amend"
    assert isinstance(command, PlaceOrder)
    if command.order_type == MARKET:
        return "market"
    assert command.order_type == LIMIT
    if command.time_in_force == GTC:
        return "post-only" if command.post_only else "limit"
    return {IOC: "ioc", FOK: "fok"}[command.time_in_force]


def commands_of(workload: Workload) -> list[Command]:
    return [command for entry in workload.entries for command in decode_commands(entry)]


def set_up(workload: Workload) -> Machine:
    machine = Machine()
    for entry in workload.setup:
        events = machine.apply(workload.now_ns, entry).entry.events
        assert not any(isinstance(event, CommandRejected) for _, event in decode_events(events))
    return machine


@pytest.mark.parametrize("crowd", [SINGLE, WIDE], ids=["single", "wide"])
def test_a_mixture_has_exactly_its_proportions(crowd: Any) -> None:
    workload = mixture("test", crowd, 10 * DECK_SIZE, seed=3)
    counts = Counter(kind_of(command) for command in commands_of(workload))
    shares = {kind: 100 * count / (10 * DECK_SIZE) for kind, count in counts.items()}
    assert shares.pop("limit") + shares.pop("post-only") == 52.5
    assert shares == {"cancel": 34.5, "amend": 6.0, "ioc": 3.0, "fok": 2.0, "market": 2.0}


def test_a_workload_is_given_by_its_seed() -> None:
    assert mixture("test", SINGLE, 400, seed=7) == mixture("test", SINGLE, 400, seed=7)
    assert mixture("test", SINGLE, 400, seed=7) != mixture("test", SINGLE, 400, seed=8)
    assert deep(2_000, seed=7) == deep(2_000, seed=7)
    assert deep(2_000, seed=7) != deep(2_000, seed=8)


def test_a_longer_workload_begins_like_a_shorter_one() -> None:
    longer = mixture("test", SINGLE, 2_000, seed=7)
    assert longer.entries[:2] == mixture("test", SINGLE, 1_000, seed=7).entries
    assert [len(list(decode_commands(entry))) for entry in longer.entries] == [500] * 4


def test_about_a_thousand_orders_rest_in_the_long_run() -> None:
    flow = Flow(SINGLE, seed=1)
    list(flow.fill())
    live = []
    for _ in range(100):
        list(flow.commands(1_000))
        live.append(len(flow.books[0]))
    assert min(live) > 500
    assert max(live) < 2_000


@pytest.mark.parametrize(("crowd", "seed"), [(SINGLE, 1), (SINGLE, 2), (WIDE, 1)], ids=["single", "again", "wide"])
def test_the_engine_ends_with_the_book_that_the_generator_has_in_mind(crowd: Any, seed: int) -> None:
    flow = Flow(crowd, seed)
    workload = mixture("test", crowd, 12_000, seed)
    list(flow.fill())
    list(flow.commands(12_000))
    machine = set_up(workload)
    refused = traded = 0
    for entry in workload.entries:
        events = list(decode_events(machine.apply(NOW_NS, entry).entry.events))
        refused += sum(isinstance(event, CommandRejected) for _, event in events)
        traded += len({offset for offset, event in events if isinstance(event, TradeExecuted)})
    assert traded / 12_000 == pytest.approx(0.12, abs=0.01)
    assert refused < 12_000 * 0.01
    for market_id, expected in enumerate(flow.books, start=1):
        found = book(machine, market_id, 10_000)
        assert found is not None
        for side, name in ((BUY, "bids"), (SELL, "asks")):
            levels: Counter[int] = Counter()
            for order in expected.first(side, len(expected)):
                levels[order.price_ticks] += order.open_lots
            assert {level[0]: level[1] for level in found[name]} == levels


def test_some_markets_and_accounts_are_busier_than_others() -> None:
    placed = [command for command in commands_of(mixture("test", WIDE, 8_000, 1)) if isinstance(command, PlaceOrder)]
    markets = Counter(command.market_id for command in placed)
    accounts = Counter(command.account_id for command in placed)
    assert markets.most_common(1)[0][0] == accounts.most_common(1)[0][0] == 1
    assert len(markets) > 90
    assert 0.14 < markets[1] / len(placed) < 0.24
    assert max(accounts) > 5_000


def test_deep_lets_all_orders_rest_and_then_takes_them_all() -> None:
    workload = deep(3_010, seed=1)
    assert (workload.commands, workload.resting) == (3_010, 3_010)
    machine = set_up(workload)
    for entry in workload.entries:
        machine.apply(workload.now_ns, entry)
    full = book(machine, 1, 10_000)
    assert full is not None
    assert (len(full["bids"]), len(full["asks"])) == (75, 75)
    trades = 0
    for entry in workload.sweeps:
        events = [event for _, event in decode_events(machine.apply(workload.now_ns, entry).entry.events)]
        trades += sum(isinstance(event, TradeExecuted) for event in events)
    assert trades == 3_010
    empty = book(machine, 1, 10)
    assert empty is not None
    assert (empty["bids"], empty["asks"]) == ([], [])


@pytest.fixture
def flash1_file(tmp_path: Path) -> Path:
    rows = []
    for number in range(2, 1_202):
        kind, order_id = (NEW, number) if number % 3 != 1 else (CANCEL, number - 1)
        rows.append(Message(kind, number % 2, 0, 5, number, order_id, 100 + number % 7))
    file = tmp_path / "small.bin"
    file.write_bytes(encode_workload(rows))
    return file


def test_flash1_is_what_the_judge_sends(flash1_file: Path) -> None:
    workload = flash1(flash1_file, None)
    assert workload.commands == 1_200
    counts = Counter(kind_of(command) for command in commands_of(workload))
    assert counts == {"limit": 800, "cancel": 400}
    assert set_up(workload).sequence == 7
    assert flash1(flash1_file, 600).entries[0] == workload.entries[0]


@pytest.mark.parametrize("workload", ["single", "wide", "deep", "flash1"])
def test_each_workload_is_measured_and_told_as_json(
    workload: str, flash1_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--workload", workload, "--commands", "1200", "--runs", "2", "--form", "interpreted", "--json"]
    assert main(["engine", *arguments, "--file", str(flash1_file)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["machine"]
    (result,) = document["results"]
    assert set(FIELDS) <= set(result)
    assert (result["workload"], result["form"], result["runs"]) == (workload, INTERPRETED, 2)
    assert result["commands"] == 1_200
    assert 0 < result["commands_per_s_min"] <= result["commands_per_s"] <= result["commands_per_s_max"]
    assert 0 < result["p50_us"] <= result["p99_us"] <= result["p99_9_us"] <= result["max_us"]
    assert 0 < result["chain_share"] < 1
    if workload == "deep":
        assert result["sweep_trades"] == 1_200
        assert result["memory_of"] == "resting order"
        assert 0 < result["sweep_trades_per_s_min"] <= result["sweep_trades_per_s_max"]
    if workload == "single":
        parts = result["chain_share"] + result["archive_share"] + result["state_hash_share"]
        assert result["replication_share"] == pytest.approx(parts, abs=0.001)
        assert result["trading_share"] == pytest.approx(0.12, abs=0.02)


def test_the_table_says_what_the_figures_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engine", "--workload", "single", "--commands", "800", "--runs", "1", "--form", "interpreted"]) == 0
    printed = capsys.readouterr().out
    assert "commands/s" in printed
    assert "Times are of batches of 500 commands" in printed
    assert "(promised: at most 25.0 %)" in printed


def test_flash1_without_its_file_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = str(tmp_path / "none.bin.xz")
    assert main(["engine", "--workload", "flash1", "--file", missing, "--form", "interpreted"]) == 1
    assert f"named by --file: {missing} cannot be read: No such file" in capsys.readouterr().err


@pytest.mark.skipif(running_form() == COMPILED, reason="the compiled form is built here")
def test_a_form_that_is_not_built_is_not_measured_as_another(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engine", "--workload", "single", "--form", "compiled", "--commands", "400"]) == 1
    assert "the compiled engine cannot be measured, because " in capsys.readouterr().err


def test_a_plot_without_matplotlib_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PlotError, match="needs matplotlib"):
        check_plotting()


def test_results_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    figures = {"p50_us": 1.0, "p99_us": 2.0, "p99_9_us": 3.0, "batch": 500}
    results = [
        {"workload": workload, "form": form, **figures, **dict.fromkeys(rates, 1_000)}
        for workload in ("single", "deep")
        for form in (COMPILED, INTERPRETED)
        for rates in [("commands_per_s", "commands_per_s_min", "commands_per_s_max")]
    ]
    plot(results, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(PlotError, match="cannot be written"):
        plot(results, tmp_path / "nowhere" / "plot.png")
