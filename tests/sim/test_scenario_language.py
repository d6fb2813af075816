"""Lines of text become commands. What they do is shown by the scenarios; here is what they say."""

import pytest

from engine.amounts import ABSENT
from engine.codec import encode_command, pack_schedule, pack_tiers
from engine.commands import (
    AmendOrder,
    CancelAll,
    CancelAllAfter,
    CancelOrder,
    CancelWithdrawal,
    Command,
    CreateAccount,
    CreateAsset,
    CreateSale,
    CreateTransfer,
    DecideSale,
    DecideTransfer,
    DecideWithdrawal,
    DelistMarket,
    Deposit,
    FreezeAccount,
    ListMarket,
    MassCancel,
    PlaceOco,
    PlaceOrder,
    PlaceSpecialOrder,
    RequestWithdrawal,
    ResolveRequest,
    SetAccountLimits,
    SetFeeTiers,
    SetMarketRate,
    SetMarketRules,
    SetMarketSchedule,
    SetMarketState,
    SetRulesVersion,
    SubscribeSale,
    Tick,
)
from engine.types import FeeTier, ScheduleStep
from sim.phrases import World, duration_ns, ppm
from sim.scenario import ScenarioError
from sim.scenario_language import parse_command

NOW = 1_750_000_000_000_000_000
S = 1_000_000_000
GLD_EUR, OIL_EUR = 1, 2
NUMBERS = {
    "ana": 4,
    "bo": 5,
    "operator": 0,
    "exchange": 0,
    "EUR": 1,
    "GLD": 2,
    "ana/c1": 70,
    "ana/w1": 71,
    "ana/t1": 72,
}
NO_STOP = NO_TRAIL = NO_DISPLAY = ABSENT

WORLD = World(
    now_ns=NOW,
    account_id=lambda name: NUMBERS[name],
    asset_id=lambda name: NUMBERS[name],
    market_id=lambda name: {"": OIL_EUR, "OIL-EUR": OIL_EUR, "GLD-EUR": GLD_EUR}[name],
    sale_id=lambda name: {"S1": 9}[name],
    number=lambda label: NUMBERS[label],
    quote_decimals=lambda market_id: 5,
    next_id=lambda: "id1",
)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("ana buys 4 @ 10.50 as c1", PlaceOrder(4, NOW, 2, 0, 0, 0, 0, 0, 105, 1, 4, 0, b"c1")),
        ("ana sells 4 @ 10.50 ioc stp both", PlaceOrder(4, NOW, 2, 1, 0, 1, 0, 2, 105, 1, 4, 0, b"id1")),
        ("ana sells 1 @ 1 post-only in GLD-EUR", PlaceOrder(4, NOW, 1, 1, 0, 0, 1, 0, 1, 0, 1, 0, b"id1")),
        ("ana sells 1 @ 1 fok stp decrement", PlaceOrder(4, NOW, 2, 1, 0, 2, 0, 3, 1, 0, 1, 0, b"id1")),
        ("ana sells 1 at market as c1", PlaceOrder(4, NOW, 2, 1, 1, 1, 0, 0, *ABSENT, 1, 0, b"c1")),
        ("ana buys for 50 at market as c1", PlaceOrder(4, NOW, 2, 0, 2, 1, 0, 0, *ABSENT, 50, 0, b"c1")),
        ("ana buys 1 @ 1 signed 61s ago", PlaceOrder(4, NOW - 61 * S, 2, 0, 0, 0, 0, 0, 1, 0, 1, 0, b"id1")),
        (
            "ana sells 2 at market stop 9.50 as s1",
            PlaceSpecialOrder(4, NOW, 2, 1, 1, 1, 0, 0, 1, *ABSENT, 2, 0, 95, 1, *NO_TRAIL, *NO_DISPLAY, 0, b"s1"),
        ),
        (
            "ana sells 2 @ 9.45 stop 9.50",
            PlaceSpecialOrder(4, NOW, 2, 1, 0, 0, 0, 0, 1, 945, 2, 2, 0, 95, 1, *NO_TRAIL, *NO_DISPLAY, 0, b"id1"),
        ),
        (
            "ana sells 1 at market trail 0.50",
            PlaceSpecialOrder(4, NOW, 2, 1, 1, 1, 0, 0, 2, *ABSENT, 1, 0, *NO_STOP, 5, 1, *NO_DISPLAY, 0, b"id1"),
        ),
        (
            "ana sells 1 at market trail 5%",
            PlaceSpecialOrder(4, NOW, 2, 1, 1, 1, 0, 0, 3, *ABSENT, 1, 0, *NO_STOP, 5, 0, *NO_DISPLAY, 0, b"id1"),
        ),
        (
            "ana sells 10 @ 10 show 3 as i1",
            PlaceSpecialOrder(4, NOW, 2, 1, 0, 0, 0, 0, 0, 10, 0, 10, 0, *NO_STOP, *NO_TRAIL, 3, 0, 0, b"i1"),
        ),
        (
            "ana buys 1 @ 10 until +60s",
            PlaceSpecialOrder(
                4, NOW, 2, 0, 0, 3, 0, 0, 0, 10, 0, 1, 0, *NO_STOP, *NO_TRAIL, *NO_DISPLAY, NOW + 60 * S, b"id1"
            ),
        ),
        (
            "ana buys 1 @ 10 day",
            PlaceSpecialOrder(4, NOW, 2, 0, 0, 4, 0, 0, 0, 10, 0, 1, 0, *NO_STOP, *NO_TRAIL, *NO_DISPLAY, 0, b"id1"),
        ),
        (
            "ana sells 2 @ 11 or stop 9.50 as o1 and o2",
            PlaceOco(4, NOW, 2, 1, 0, 2, 0, 11, 0, 95, 1, *ABSENT, b"o2", b"o1"),
        ),
        (
            "ana sells 2 @ 11 or stop 9.50 limit 9.45 stp oldest as o1 and o2",
            PlaceOco(4, NOW, 2, 1, 1, 2, 0, 11, 0, 95, 1, 945, 2, b"o2", b"o1"),
        ),
        ("ana cancels c1 as x1", CancelOrder(4, NOW, 0, b"c1", b"x1")),
        ("bo cancels ana/c1 as x1", CancelOrder(5, NOW, 70, b"", b"x1")),
        ("ana amends c1 to 1 @ 10.15 as x1", AmendOrder(4, NOW, 0, 1015, 2, 1, 0, b"c1", b"x1")),
        ("ana amends c1 to @ 10.15", AmendOrder(4, NOW, 0, 1015, 2, *ABSENT, b"c1", b"id1")),
        ("ana amends c1 to 1", AmendOrder(4, NOW, 0, *ABSENT, 1, 0, b"c1", b"id1")),
        ("ana cancels all as x1", CancelAll(4, NOW, 0, b"x1")),
        ("ana cancels all in GLD-EUR", CancelAll(4, NOW, GLD_EUR, b"id1")),
        ("ana cancels all sells in GLD-EUR", MassCancel(4, NOW, 4, GLD_EUR, 1, b"id1")),
        ("operator cancels all", MassCancel(0, NOW, 0, 0, 2, b"id1")),
        ("operator cancels all of ana in GLD-EUR buys", MassCancel(0, NOW, 4, GLD_EUR, 0, b"id1")),
        ("ana cancels all after 60s as d1", CancelAllAfter(4, NOW, 60_000, b"d1")),
        ("ana asks about c2", ResolveRequest(4, NOW, b"c2")),
        ("ana withdraws 20 EUR to IBAN-1 as w1", RequestWithdrawal(4, NOW, 1, 20, 0, b"IBAN-1", b"w1")),
        ("ana withdraws 20 EUR as w1", RequestWithdrawal(4, NOW, 1, 20, 0, b"", b"w1")),
        ("ana cancels withdrawal w1 as x1", CancelWithdrawal(4, NOW, 71, b"x1")),
        ("operator approves withdrawal ana/w1", DecideWithdrawal(0, NOW, 71, 0)),
        ("ana pays withdrawal ana/w1", DecideWithdrawal(4, NOW, 71, 2)),
        ("ana sends 5 EUR to bo as t1", CreateTransfer(4, NOW, 5, 1, 5, 0, 0, 0, b"t1")),
        ("ana offers 5 EUR to bo as t1", CreateTransfer(4, NOW, 5, 1, 5, 0, 1, 0, b"t1")),
        ("ana offers 5 EUR to bo for 2m as t1", CreateTransfer(4, NOW, 5, 1, 5, 0, 1, 120, b"t1")),
        ("bo posts transfer ana/t1 as x1", DecideTransfer(5, NOW, 72, 0, b"x1")),
        ("ana voids transfer t1 as x1", DecideTransfer(4, NOW, 72, 1, b"x1")),
        ("ana subscribes 600 in S1 @ 3 as b1", SubscribeSale(4, NOW, 9, 600, 0, 3, 0, b"b1")),
        ("ana subscribes 600 in S1 as b1", SubscribeSale(4, NOW, 9, 600, 0, *ABSENT, b"b1")),
        ("asset OIL with 2 decimals", CreateAsset(0, NOW, 2, b"OIL")),
        ("account zed by ana", CreateAccount(4, NOW, 0, b"zed")),
        ("deposit 1 EUR for ana as d1", Deposit(0, NOW, 4, 1, 1, 0, b"d1")),
        (
            "market GLD-EUR tick 0.01 lot 0.001 min 5 maker -0.0002 taker 0.25%",
            ListMarket(0, NOW, 1, 2, 1, 3, 5, 0, -200, 2_500, 2, *ABSENT, 0, 0, 0, 0, 0, 0, 0, 0, b"GLD", b"EUR"),
        ),
        (
            "market GLD-EUR tick 1 lot 1 state auction reference 10 band 10% interrupts call 60s no-cancel 10s "
            "random 5s auction-market-orders orders 100 stops 10",
            ListMarket(
                0, NOW, 1, 0, 1, 0, 0, 0, 0, 0, 1, 10, 0, 100_000, 1, 60_000, 10_000, 5_000, 1, 100, 10, b"GLD", b"EUR"
            ),
        ),
        (
            "rules in GLD-EUR: band 5% interrupts call 500ms",
            SetMarketRules(0, NOW, GLD_EUR, 50_000, 1, 500, 0, 0, 0, 0, 0),
        ),
        ("rules: none", SetMarketRules(0, NOW, OIL_EUR, 0, 0, 0, 0, 0, 0, 0, 0)),
        ("state halted in GLD-EUR", SetMarketState(0, NOW, GLD_EUR, 5)),
        (
            "schedule in GLD-EUR: 08:50 auction, 17:00:30 closed",
            SetMarketSchedule(0, NOW, GLD_EUR, pack_schedule([ScheduleStep(31_800, 1), ScheduleStep(61_230, 6)])),
        ),
        ("schedule: none", SetMarketSchedule(0, NOW, OIL_EUR, b"")),
        (
            "fee tiers in GLD-EUR: 0.5 maker 0.0005 taker 0.0010, 2 maker -0.0001 taker 0.05%",
            SetFeeTiers(0, NOW, GLD_EUR, pack_tiers([FeeTier(50_000, 500, 1_000), FeeTier(200_000, -100, 500)])),
        ),
        ("rate in GLD-EUR: 100 per 1s", SetMarketRate(0, NOW, GLD_EUR, 100, 1_000)),
        ("rate: none", SetMarketRate(0, NOW, OIL_EUR, 0, 0)),
        ("delist GLD-EUR", DelistMarket(0, NOW, GLD_EUR)),
        ("limits of ana: orders 10, stops 2, requests 5 per 1s", SetAccountLimits(0, NOW, 4, 10, 2, 5, 1_000)),
        ("limits of ana: none", SetAccountLimits(0, NOW, 4, 0, 0, 0, 0)),
        ("freeze ana", FreezeAccount(0, NOW, 4, 1)),
        ("unfreeze ana", FreezeAccount(0, NOW, 4, 0)),
        ("rules version 2", SetRulesVersion(0, NOW, 2, b"operator")),
        ("tick", Tick(0, NOW)),
        (
            "sale S1 of 1000 GLD by bo at 2.50 EUR",
            CreateSale(0, NOW, 5, 2, 1, 0, 0, 25, 1, 1, 0, 1_000, 0, *ABSENT, *ABSENT, 0, 0, b"S1"),
        ),
        (
            "sale S1 of 1000 GLD by bo at 2 EUR auction lot 0.5 soft cap 5000 at most 400 each opens +10s closes +60s "
            "then GLD-EUR",
            CreateSale(
                0, NOW, 5, 2, 1, 1, 2, 2, 0, 5, 1, 1_000, 0, 5_000, 0, 400, 0, NOW + 10 * S, NOW + 60 * S, b"S1"
            ),
        ),
        ("sale S1 opens", DecideSale(0, NOW, 9, 0)),
        ("sale S1 is cancelled", DecideSale(0, NOW, 9, 2)),
    ],
)
def test_a_line_says_a_command(line: str, command: Command) -> None:
    asked = parse_command(line, WORLD)
    assert asked.command == command
    assert encode_command(asked.command)


@pytest.mark.parametrize(
    ("line", "labels"),
    [
        ("ana buys 4 @ 10.50 as c1", ("ana/c1", "")),
        ("ana sells 2 @ 11 or stop 9.50 as o1 and o2", ("ana/o1", "ana/o2")),
        ("deposit 1 EUR for ana as d1", ("d1", "")),
        ("operator pays withdrawal ana/w1", ("payment of ana/w1", "")),
        ("ana asks about c2", ("question about ana/c2", "")),
        ("sale S1 closes", ("closing of S1", "")),
        ("market GLD-EUR tick 1 lot 1", ("GLD-EUR", "")),
    ],
)
def test_a_line_has_the_label_by_which_its_command_is_told(line: str, labels: tuple[str, str]) -> None:
    asked = parse_command(line, WORLD)
    assert (asked.label, asked.second_label) == labels


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("ana dreams of gold", "no such command: ana dreams of gold"),
        ("ana buys 1 @ 10 quickly", "no such option: quickly"),
        ("ana buys 1 @ 10 as c1 show 3 hidden 7", "no such option: hidden 7"),
        ("ana cancels c1 post-only", "no such option: post-only"),
        ("ana buys one @ 10", "not a decimal: one"),
        ("ana cancels all after a minute", "no such option: minute"),
        ("ana cancels all after 1min", "not a duration: 1min"),
        ("state sleepy in GLD-EUR", "no state of a market: sleepy"),
        ("schedule in GLD-EUR: noon open", "no step of a day: noon open"),
        ("fee tiers in GLD-EUR: free for all", "no fee tier: free for all"),
        ("limits of ana: wishes 3", "no limit: wishes 3"),
    ],
)
def test_a_line_that_says_nothing_is_refused_by_name(line: str, complaint: str) -> None:
    with pytest.raises(ScenarioError, match=complaint):
        parse_command(line, WORLD)


def test_durations_and_rates_are_exact() -> None:
    assert duration_ns("60.000000001s") == 60 * S + 1
    assert [duration_ns(text) for text in ("1ns", "500ms", "5m", "2h", "3d")] == [
        1,
        S // 2,
        300 * S,
        7_200 * S,
        259_200 * S,
    ]
    assert [ppm(text) for text in (None, "0.0025", "0.25%", "-0.0002", "10%")] == [0, 2_500, 2_500, -200, 100_000]
