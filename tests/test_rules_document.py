"""docs/rules.md says what the exchange does: its examples are played, its tables compared with the engine's own.

An example is played on the stage that the first one sets, with a market of its own where it lists one, or on an empty
one where it begins ``exchange with``. REWRITE=1 in the environment writes what happened into the document; only a
difference that somebody can explain may be kept.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from engine import rejects, types
from engine.snapshot import state_hash
from sim.engine_driver import engine_stage
from sim.scenario import NEW_EXCHANGE, SEPARATOR, Block, difference, render_blocks, run_blocks
from sim.stage import Stage

DOCUMENT = Path(__file__).parents[1] / "docs" / "rules.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
FENCE = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What a cell of a table is about, without its remarks.
CODE = re.compile(r"`([a-zA-Z_]+)`")


def read_example(text: str) -> Block:
    lines = text.rstrip("\n").split("\n")
    middle = lines.index(SEPARATOR)
    return Block(lines[:middle], lines[middle + 1 :])


EXAMPLES = [read_example(text) for text in FENCE.findall(TEXT)]
STAGE = EXAMPLES[0].commands


def set_stage(stage: Stage, example: Block) -> None:
    """Carry out what the example takes for granted."""
    if example.commands[0].startswith(NEW_EXCHANGE):
        return
    has_market = any(command.startswith("market ") for command in example.commands)
    for command in STAGE:
        if not (has_market and command.startswith("market ")):
            stage.run_line(command)


def play(example: Block, *, restarts: bool = False) -> tuple[Block, bytes]:
    """What happens, and a hash of the state in the end."""
    stage, driver = engine_stage(restarts=restarts)
    set_stage(stage, example)
    run = run_blocks([example], stage.run_line)
    assert not run.skipped, "the engine can do everything that an example asks for"
    return run.happened[0], state_hash(driver.machine)


def table(heading: str) -> list[list[str]]:
    """The rows of the first table of a chapter, without its head."""
    chapter = TEXT[TEXT.index(f"\n## {heading}\n") :]
    lines = chapter[chapter.index("\n|") + 1 :].rstrip("\n").split("\n\n", 1)[0].split("\n")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def code(cell: str) -> str:
    match = CODE.match(cell)
    assert match is not None, cell
    return match[1]


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.commands[-1] for example in EXAMPLES])
def test_example(example: Block) -> None:
    happened, final = play(example)
    assert play(example, restarts=True) == (happened, final)
    if os.environ.get("REWRITE") == "1":
        text = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(text.replace(render_blocks([example]), render_blocks([happened])), encoding="utf-8")
    else:
        assert difference([example], [happened]) == []


def test_every_fence_is_an_example() -> None:
    assert TEXT.count("```") == 2 * len(EXAMPLES) > 40


def test_every_reason_of_a_refusal_is_in_the_table_in_order_of_precedence() -> None:
    first = (
        rejects.REQUEST_EXPIRED,
        rejects.UNKNOWN_ACCOUNT,
        rejects.NOT_ALLOWED,
        rejects.MALFORMED,
        rejects.ID_CONFLICT,
        rejects.FENCED,
        rejects.RATE_LIMIT,
    )
    reasons = [*first, *(reason for reason in rejects.PRECEDENCE if reason not in first)]
    assert sorted(reasons) == list(range(1, len(rejects.REASONS))), "engine.rejects has reasons without a precedence"
    rows = table("Refusals")
    assert [(code(name), says) for name, says, _ in rows] == [rejects.REASONS[reason] for reason in reasons]
    assert all(advice for _, _, advice in rows)


def test_every_reason_of_an_end_is_in_the_table() -> None:
    rows = table("How orders end")
    assert tuple(code(name) for name, _ in rows) == types.CLOSE_REASON_NAMES[1:]
    assert all(why for _, why in rows)


def test_the_states_of_a_market_admit_what_the_table_says() -> None:
    rows = table("States of a market")
    assert tuple(code(row[0]) for row in rows) == types.MARKET_STATE_NAMES
    for name, *cells in rows:
        assert [cell.split(",")[0].split(" ")[0] != "no" for cell in cells] == admitted(code(name)), name


def admitted(state: str) -> list[bool]:
    """Whether a market in a state takes a resting order, an immediate one, a market order and a stop, whether it
    trades at once, and takes a cancellation and an amendment: the columns of the table."""
    stage, _ = engine_stage()

    def does(command: str, *, beginning: str = "") -> bool:
        told = stage.run_line(command)
        return any(line.startswith(beginning) for line in told) and not any(line.startswith("refused") for line in told)

    for line in (
        "exchange with GLD 3, EUR 5",
        "market GLD-EUR tick 0.01 lot 0.001 reference 10.00 band 90% auction-market-orders",
        "ana, bo have ample funds",
        "ana buys 1 @ 9.50 as a1",
        "ana buys 1 @ 9.40 as a2",
        "ana buys 1 @ 9.30 as a3",
        "delist GLD-EUR" if state == "delisted" else f"state {state} in GLD-EUR",
    ):
        stage.run_line(line)
    return [
        does("ana buys 1 @ 9.00"),
        does("ana buys 1 @ 9.00 ioc"),
        does("ana buys 1 at market"),
        does("ana sells 1 at market stop 8.00"),
        does("bo sells 1 @ 9.50", beginning="trade "),
        does("ana cancels a2"),
        does("ana amends a3 to 0.5"),
    ]


def test_the_words_for_how_things_stand_are_the_engines() -> None:
    names = {code(name) for name, _ in table("Token sales")}
    assert names == set(types.SALE_STATUS_NAMES)
    for heading, statuses in (
        ("Deposits and withdrawals", types.WITHDRAWAL_STATUS_NAMES),
        ("Transfers", types.TRANSFER_STATUS_NAMES),
    ):
        rows = table(heading)
        assert {name for row in rows for cell in row[1:3] for name in CODE.findall(cell)} == set(statuses)
    assert tuple(code(name) for name, *_ in table("Time in force")) == types.TIME_IN_FORCE_NAMES
    assert tuple(code(name) for name, _ in table("Self-trades")) == types.SELF_TRADE_NAMES


def test_limits_are_the_engines() -> None:
    limits = [
        types.OPEN_ORDERS_PER_ACCOUNT_MAX,
        types.PRICE_LEVELS_PER_SIDE_MAX,
        types.STOPS_PER_MARKET_MAX,
        types.TRAILING_STOPS_PER_MARKET_MAX,
        types.ICEBERG_PARTS_MAX,
        types.GTD_NS_MAX // types.NS_PER_DAY,
        types.TRANSFER_TIMEOUT_S_MAX * types.NS_PER_S // types.NS_PER_DAY,
        types.ID_LENGTH_MAX,
        types.DESTINATION_LENGTH_MAX,
        types.ASSET_NAME_LENGTH_MAX,
        types.ASSET_DECIMALS_MAX,
        types.ASSETS_MAX,
        types.MARKETS_MAX,
        types.FEE_PPM_MAX * 100 // types.FEE_SCALE,
        types.FEE_TIERS_MAX,
        types.VOLUME_DAYS,
        types.SCHEDULE_STEPS_MAX,
        types.AUCTION_MS_MAX * types.NS_PER_MS // types.NS_PER_DAY,
        types.SALES_MAX,
        types.SUBSCRIPTIONS_PER_SALE_MAX,
        types.REQUEST_MEMORY_NS // (3_600 * types.NS_PER_S),
        types.REQUEST_AGE_NS_MAX // types.NS_PER_S,
    ]
    powers = [types.AMOUNT_MAX, types.NOTIONAL_MAX]
    expected = [*(f"{limit:,}" for limit in limits), *(power_of_two(limit) for limit in powers)]
    assert [number for _, number in table("Limits of the system")] == expected


def power_of_two(number: int) -> str:
    exponent = number.bit_length() - 1
    assert number == 1 << exponent, number
    return f"2^{exponent}"


@pytest.mark.parametrize(
    "words",
    [
        f"at most {types.GTD_NS_MAX // types.NS_PER_DAY} days ahead",
        f"at most {types.STOPS_PER_MARKET_MAX:,} may wait in a market",
        f"No rate is above {types.FEE_PPM_MAX * 100 // types.FEE_SCALE} %",
        f"up to {types.FEE_TIERS_MAX} tiers",
        f"the last {types.VOLUME_DAYS} whole UTC days",
        f"up to {types.SCHEDULE_STEPS_MAX} steps",
        f"remembered for {types.REQUEST_MEMORY_NS // (3_600 * types.NS_PER_S)} hours",
        f"within {types.REQUEST_AGE_NS_MAX // types.NS_PER_S} seconds of the log's time",
    ],
)
def test_numbers_in_the_text_are_the_engines(words: str) -> None:
    assert words in " ".join(TEXT.split())


def test_links_within_the_page_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^## (.*)$", TEXT, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]*)\)", TEXT)) <= headings
