"""The workloads of ``tally bench engine``: named, seeded, and complete before anything is measured.

single    one market, 1,000 accounts, about 1,000 orders resting around a mid that moves
wide      the same mixture in 100 markets for 10,000 accounts; the first ones are the busiest (Zipf)
deep      1,000,000 orders rest at 50,000 prices, then large orders sweep through all of them
flash1    the workload of a public benchmark, as `tally judge` drives the engine with it
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tqdm import tqdm

from engine.amounts import ABSENT
from engine.codec import encode_command
from engine.commands import Command, CreateAccount, CreateAsset, CreateMarket, Deposit, PlaceOrder
from engine.types import BUY, CANCEL_NEWEST, GTC, LIMIT, MARKET, SELL, TRADER
from sim import judge_commands
from sim.bench_engine_flow import NOW_NS, PRICE_SCALE, QUANTITY_SCALE, Crowd, Flow
from sim.judge import judge
from sim.judge_workload import WorkloadError, read_workload

COMMANDS_PER_ENTRY: Final = 500
QUOTE_DECIMALS: Final = 5
SINGLE: Final = Crowd(markets=1, accounts=1_000, live_per_market=1_000, zipf=False)
WIDE: Final = Crowd(markets=100, accounts=10_000, live_per_market=100, zipf=True)
NAMES: Final = ("single", "wide", "deep", "flash1")
FILE: Final = Path(__file__).resolve().parents[2] / "shared" / "data" / "flash1-normal-seed23.bin.xz"

DEEP_ORDERS_PER_PRICE: Final = 20
DEEP_ORDERS_PER_SWEEP: Final = 1_000
DEEP_ACCOUNTS: Final = 1_000

_TICK: Final = 1, PRICE_SCALE
_LOT: Final = 1, QUANTITY_SCALE
_FUNDS: Final = 1_000_000_000  # of each asset, for each account
_MAKER_FEE_PPM, _TAKER_FEE_PPM = 1_000, 2_500


class Workload(NamedTuple):
    """Entries, each the records of its commands. ``setup`` lists, funds and fills the book; it is not measured.

    ``sweeps`` is a second phase, measured by itself (``deep``): one command an entry. ``resting`` is how many orders
    rest between the two.
    """

    name: str
    seed: int
    now_ns: int
    commands: int
    setup: list[bytes]
    entries: list[bytes]
    sweeps: list[bytes]
    resting: int


class NoWorkload(Exception):
    """The workload cannot be had. The text says why."""


def build(name: str, commands: int | None, seed: int, file: Path) -> Workload:
    """Generate a workload of so many commands: of ``deep`` the orders that rest, of ``flash1`` None is all of them."""
    if name == "flash1":
        return flash1(file, commands)
    assert commands is not None, name
    if name == "deep":
        return deep(commands, seed)
    return mixture(name, SINGLE if name == "single" else WIDE, commands, seed)


def mixture(
    name: str, crowd: Crowd, commands: int, seed: int, commands_per_entry: int = COMMANDS_PER_ENTRY
) -> Workload:
    """The flow of ``sim.bench_engine_flow`` after its book was filled."""
    flow = Flow(crowd, seed)
    resting = list(flow.fill())
    records = tqdm(flow.commands(commands), total=commands, desc=f"{name}: generate", leave=False, disable=None)
    entries = in_entries(records, commands_per_entry)
    setup = in_entries([*_set_up(crowd.markets, crowd.accounts, flow.traders), *resting], COMMANDS_PER_ENTRY)
    return Workload(name, seed, NOW_NS, commands, setup, entries, [], 0)


def deep(orders: int, seed: int) -> Workload:
    """Orders come in random order to a book that is not crossed; then every 1,000 of them (a side) are taken at once.

    Limit and market orders take turns, and so do the sides, until nothing rests.
    """
    rng = random.Random(seed)
    levels = max(1, orders // DEEP_ORDERS_PER_PRICE // 2)  # of a side
    bids = [levels - index // DEEP_ORDERS_PER_PRICE % levels for index in range(orders // 2)]
    asks = [levels + 1 + index // DEEP_ORDERS_PER_PRICE % levels for index in range(orders - orders // 2)]
    book = [
        (side, price_ticks, rng.randrange(1, 1_000))
        for side, prices in ((BUY, bids), (SELL, asks))
        for price_ticks in prices
    ]
    rng.shuffle(book)
    records = [
        encode_command(_order(1 + number % DEEP_ACCOUNTS, side, price_ticks, lots, b"o%d" % number))
        for number, (side, price_ticks, lots) in enumerate(tqdm(book, desc="deep: generate", leave=False, disable=None))
    ]
    accounts = DEEP_ACCOUNTS + 1
    setup = in_entries(
        _set_up(1, accounts, {(account_id, 1) for account_id in range(1, accounts + 1)}), COMMANDS_PER_ENTRY
    )
    entries = in_entries(records, COMMANDS_PER_ENTRY)
    return Workload("deep", seed, NOW_NS, orders, setup, entries, list(_sweeps(book)), orders)


def _sweeps(book: list[tuple[int, int, int]]) -> Iterator[bytes]:
    """Takers that leave nothing of these (side, price, lots): an account of its own, bids and asks in turns."""
    bids = sorted((order for order in book if order[0] == BUY), key=lambda order: -order[1])
    asks = sorted((order for order in book if order[0] == SELL), key=lambda order: order[1])
    for number, start in enumerate(range(0, max(len(bids), len(asks)), DEEP_ORDERS_PER_SWEEP)):
        for side, orders in ((BUY, bids), (SELL, asks)):
            met = orders[start : start + DEEP_ORDERS_PER_SWEEP]
            if met:
                limit_ticks = None if number % 2 else met[-1][1]
                lots = sum(order[2] for order in met)
                yield encode_command(_order(DEEP_ACCOUNTS + 1, 1 - side, limit_ticks, lots, b"s%d-%d" % (side, number)))


def flash1(file: Path, commands: int | None) -> Workload:
    """The commands that `tally judge` makes of a file. They are found out by executing it once."""
    kept: list[list[bytes]] = []
    try:
        judge(read_workload(file, commands), keep=kept.append)
    except WorkloadError as error:
        raise NoWorkload(
            f"flash1 needs a workload of flash1-dev/matching-engine-benchmark, named by --file: {error}"
        ) from None
    setup, records = kept[0], [record for entry in kept[1:] for record in entry]
    entries = in_entries(records, COMMANDS_PER_ENTRY)
    return Workload("flash1", 0, judge_commands.NOW_NS, len(records), [b"".join(setup)], entries, [], 0)


def in_entries(records: Iterable[bytes], size: int) -> list[bytes]:
    """Cut commands into entries of so many."""
    entries: list[bytes] = []
    part: list[bytes] = []
    for record in records:
        part.append(record)
        if len(part) == size:
            entries.append(b"".join(part))
            part = []
    if part:
        entries.append(b"".join(part))
    return entries


def _set_up(markets: int, accounts: int, traders: Iterable[tuple[int, int]]) -> Iterator[bytes]:
    """Lists the markets, opens the accounts, and gives each pair of account and market more than it can need.

    A lot at one tick costs one unit of the quote asset.
    """
    pairs = _pairs(markets)
    bases, quotes = (list(dict.fromkeys(names)) for names in zip(*pairs, strict=True))
    asset_ids = {name: asset_id for asset_id, name in enumerate([*bases, *quotes], start=1)}
    commands: list[Command] = [
        *(CreateAsset(0, NOW_NS, QUANTITY_SCALE, name) for name in bases),
        *(CreateAsset(0, NOW_NS, QUOTE_DECIMALS, name) for name in quotes),
        *(CreateMarket(0, NOW_NS, *_TICK, *_LOT, 0, 0, _MAKER_FEE_PPM, _TAKER_FEE_PPM, *pair) for pair in pairs),
        *(CreateAccount(0, NOW_NS, TRADER, b"account-%d" % account_id) for account_id in range(1, accounts + 1)),
    ]
    needed = {(account_id, asset_ids[name]) for account_id, market_id in traders for name in pairs[market_id - 1]}
    commands += [
        Deposit(0, NOW_NS, account_id, asset_id, _FUNDS, 0, b"deposit-%d-%d" % (account_id, asset_id))
        for account_id, asset_id in sorted(needed)
    ]
    return map(encode_command, commands)


def _pairs(markets: int) -> list[tuple[bytes, bytes]]:
    """Base and quote of each market: every base asset with every quote asset, and about as many of both."""
    if markets == 1:
        return [(b"GLD", b"EUR")]
    quotes = next(count for count in range(1, markets + 1) if count * count >= markets)
    return [(b"BASE%d" % (index // quotes), b"QUOTE%d" % (index % quotes)) for index in range(markets)]


def _order(account_id: int, side: int, price_ticks: int | None, lots: int, client_order_id: bytes) -> PlaceOrder:
    """A limit order, or (at no price) a market order."""
    order_type, price = (
        (MARKET, ABSENT) if price_ticks is None else (LIMIT, ABSENT._replace(mantissa=price_ticks, scale=PRICE_SCALE))
    )
    return PlaceOrder(
        account_id,
        NOW_NS,
        1,
        side,
        order_type,
        GTC,
        0,
        CANCEL_NEWEST,
        *price,
        lots,
        QUANTITY_SCALE,
        client_order_id,
    )
