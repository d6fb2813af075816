"""The engine against the model, over streams of commands in which everything collides.

After each entry both must agree on what happened, on every balance, book, order, market, withdrawal, transfer and sale.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from engine import queries, rejects
from engine.codec import COMMAND_LAYOUTS, EVENT_LAYOUTS, decode_events, encode_command
from engine.commands import CancelAll, Command
from engine.events import (
    AuctionUncrossed,
    CommandRejected,
    Event,
    MarketStateChanged,
    OrderClosed,
    OrderReplenished,
    OrderTriggered,
    SaleChanged,
    TradeExecuted,
)
from engine.invariants import assert_sound
from engine.machine import Machine
from engine.order_reports import conditions, report
from engine.snapshot import restore, snapshot_bytes, state_hash
from engine.types import (
    BUY,
    CLOSE_REASON_NAMES,
    FORGOTTEN_PER_COMMAND_MAX,
    MARKET,
    MARKET_STATE_NAMES,
    NS_PER_S,
    POST_ONLY,
    SALE_KIND_NAMES,
    SALE_STATUS_NAMES,
    SELL,
    STATE_CAUSE_NAMES,
    TRADING,
)
from tests.engine import model_orders
from tests.engine.model import Happening, Model
from tests.engine.model_world import RESTING, WAITING, ModelMarket, ModelOrder
from tests.engine.workload import CHOICE_LIMITS, LISTING, NOTHING, START_NS, STRANGER, Choice, Workload, seeded_choices
from tests.engine.workload_scripts import SCRIPTS
from tests.engine.workload_special import SPECIAL_LIMITS, SPECIAL_LISTING, SpecialWorkload, special_choices

SELDOM = {"closed NO_FUNDS"}  # by chance; see the scripts
# What goes on between groups has a model of its own: tests/replication/test_relay_model.py.
OF_OTHER_GROUPS = {"NameGroup", "MirrorAccount", "SendTransfer", "ReceiveTransfer", "SettleTransfer"}
OF_OTHER_GROUPS |= {"GroupNamed", "AccountMirrored", "SentTransferChanged", "TransferReceived"}
# Said once in years; see the scripts.
IN_SCRIPTS = {"SetRulesVersion", "RulesVersionSet"}
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
Batch = list[Command]


class Pair:
    """An engine and a model that execute the same commands, and must agree.

    Every so many entries the engine is replaced by one that was restored from its snapshot.
    """

    def __init__(self, listing: Sequence[Command], workload: Workload | SpecialWorkload, restart_every: int) -> None:
        self.machine = Machine()
        self.model = Model()
        self.workload = workload
        self.restart_every = restart_every
        self.entries = 0
        self.seen: Counter[str] = Counter()
        for command in listing:
            self.execute(command.issued_at_ns, [command])

    def run(self, choices: Sequence[Choice]) -> None:
        batch: Batch = []
        now_ns = 0
        for choice in choices:
            if choice.kind == NOTHING:
                continue
            then_ns, now_ns = now_ns, self.workload.now_ns
            now_ns, command = self.workload.next_command(choice)
            if batch and (now_ns != then_ns or len(batch) > choice.earlier % 4):
                self.step(then_ns, batch)
                batch = []
            batch.append(command)
        if batch:
            self.step(now_ns, batch)

    def step(self, now_ns: int, batch: Batch) -> None:
        self._let_ids_be_forgotten(now_ns)
        happened = self.execute(now_ns, batch)
        touched = {getattr(event, "order_id", 0) for _, event in happened}
        self._compare_state(touched)
        self.entries += 1
        if self.restart_every and self.entries % self.restart_every == 0:
            self._restart()

    def execute(self, now_ns: int, batch: Batch) -> list[Happening]:
        expected = self.model.apply(now_ns, batch, self.machine.chain)
        applied = self.machine.apply(now_ns, b"".join(encode_command(command) for command in batch))
        happened = list(decode_events(applied.entry.events))
        _assert_equal(happened, expected, batch)
        assert_sound(self.machine)
        self._count(batch, happened)
        return happened

    def _count(self, batch: Batch, happened: Sequence[Happening]) -> None:
        """Note what really happened: accepted commands, events, reasons, and situations that are hard to reach."""
        refused = {offset for offset, event in happened if isinstance(event, CommandRejected)}
        self.seen += Counter(type(command).__name__ for offset, command in enumerate(batch) if offset not in refused)
        uncrossing = False
        for _, event in happened:
            if isinstance(self.workload, SpecialWorkload):
                self.workload.heard(event)
            self.seen[type(event).__name__] += 1
            if isinstance(event, CommandRejected):
                self.seen[rejects.reason_code(event.reason)] += 1
            if isinstance(event, OrderClosed):
                self.seen["closed " + CLOSE_REASON_NAMES[event.reason]] += 1
            if isinstance(event, MarketStateChanged):
                self.seen["state by " + STATE_CAUSE_NAMES[event.cause]] += 1
                self.seen["to " + MARKET_STATE_NAMES[event.state]] += 1
            if isinstance(event, TradeExecuted):
                self._count_trade(event, uncrossing)
            elif not isinstance(event, OrderReplenished | OrderClosed):
                uncrossing = isinstance(event, AuctionUncrossed)
            if isinstance(event, SaleChanged):
                self.seen[f"{SALE_KIND_NAMES[event.kind]} {SALE_STATUS_NAMES[event.status]}"] += 1
        elected = Counter(offset for offset, event in happened if isinstance(event, OrderTriggered))
        self.seen["cascades of three"] += sum(count > 2 for count in elected.values())

    def _count_trade(self, event: TradeExecuted, uncrossing: bool) -> None:
        world = self.model.world
        orders = [world.orders.get(number) for number in (event.maker_order_id, event.taker_order_id)]
        market = world.markets[event.market_id]
        for order in orders:
            if order is not None and uncrossing:
                self.seen["trades of icebergs in auctions"] += order.display > 0
                self.seen["market orders in auctions"] += order.kind == MARKET
            if order is not None and market.tiers:
                listed = (market.spec.maker_fee_ppm, market.spec.taker_fee_ppm)
                self.seen["trades at a tier"] += world.rates(market, order.account) != listed

    def _let_ids_be_forgotten(self, now_ns: int) -> None:
        """The engine forgets a few ids per command, the model all at once: give the engine commands to do it."""
        for _ in range(len(self.model.world.receipts) // FORGOTTEN_PER_COMMAND_MAX + 2):
            if not self.machine.receipts.oldest_due(now_ns):
                break
            self.execute(now_ns, [CancelAll(STRANGER, now_ns, 0, b"stranger")])
        assert not self.machine.receipts.oldest_due(now_ns), "old ids are not forgotten"

    def _restart(self) -> None:
        snapshot = snapshot_bytes(self.machine)
        restored = restore(snapshot)
        assert snapshot_bytes(restored) == snapshot
        assert state_hash(restored) == state_hash(self.machine)
        assert_sound(restored)
        self.machine = restored

    def _compare_state(self, touched: set[int]) -> None:
        machine, world = self.machine, self.model.world
        assert machine.sequence == world.sequence
        for account_id in world.accounts:
            balances = {row["asset_id"]: row for row in queries.balances(machine, account_id)}
            for asset_id in world.assets:
                row = balances.get(asset_id, {"available_units": 0, "held_units": 0})
                expected = (world.available(account_id, asset_id), world.held(account_id, asset_id))
                assert (row["available_units"], row["held_units"]) == expected, (account_id, asset_id)
            ids = sorted(order.order_id for order in machine.trading.index.open_orders(account_id))
            assert ids == [order.number for order in world.alive(account_id)], account_id
        for market in world.markets.values():
            self._compare_market(market)
        remembered = sorted(order.order_id for order in machine.trading.index.remembered())
        assert remembered == sorted(world.orders)
        compared = world.orders.values() if self.entries % 16 == 0 else world.alive()
        for order in [*compared, *(world.orders[number] for number in touched if number in world.orders)]:
            self._compare_order(order)
        everything = 1 << 30
        assert queries.withdrawals(machine, 0, -1, 0, everything) == [
            _fields(one.told()) for one in world.withdrawals.values()
        ]
        assert queries.transfers(machine, 0, 0, everything) == [_fields(one.told()) for one in world.transfers.values()]
        assert queries.sales(machine) == [_fields(sale.told()) for sale in world.sales.values()]
        for sale in world.sales.values():
            found = [machine.sales.report_subscription(one.number) for one in sale.subscriptions]
            assert found == [one.told() for one in sale.subscriptions], sale

    def _compare_market(self, market: ModelMarket) -> None:
        machine, world = self.machine, self.model.world
        book = queries.book(machine, market.number, 1_000)
        assert book == {"bids": self._levels(market, BUY), "asks": self._levels(market, SELL)}
        if market.state in (TRADING, POST_ONLY):
            market.reference = market.last_price
            beyond = [order.number for order in world.alive() if order.market is market and not _may_rest(order)]
            assert not beyond, ("orders rest beyond the band", market.number, beyond)
        found = queries.market(machine, market.number)
        assert found is not None
        assert found["state"] == market.state, market.number
        assert found["last_price_ticks"] == market.last_price, market.number
        assert found["indicative"] == list(market.indicative), market.number
        assert found["rules"] == market.rules._asdict(), market.number
        waiting = [order for order in world.alive() if order.where == WAITING and order.market is market]
        assert found["waiting_stops"] == len(waiting), market.number

    def _compare_order(self, order: ModelOrder) -> None:
        index = self.machine.trading.index
        found = index.find(order.number)
        assert found is not None, order.number
        assert report(found, index.client_order_id(found)) == model_orders.report(self.model.world, order), order.number
        assert conditions(found) == model_orders.conditions(order), order.number

    def _levels(self, market: ModelMarket, side: int) -> list[list[int]]:
        levels: list[list[int]] = []
        for order in self.model.world.queue(market, side):
            if not levels or levels[-1][0] != order.price:
                levels.append([order.price, 0, 0])
            levels[-1][1] += order.shown
            levels[-1][2] += 1
        return levels


def _may_rest(order: ModelOrder) -> bool:
    return order.where != RESTING or order.market.lets_rest(order)


def _assert_equal(happened: Sequence[Happening], expected: Sequence[Happening], batch: Batch) -> None:
    """Records of two kinds may be equal tuples, so the kind is compared as well."""
    for told, wanted in zip_longest(happened, expected):
        assert (told, type(told and told[1])) == (wanted, type(wanted and wanted[1])), (batch, expected)


def _fields(event: Event) -> dict[str, object]:
    fields = event._asdict()
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in fields.items()}


def _choices(limits: Choice) -> st.SearchStrategy[Choice]:
    return st.builds(Choice, *(st.integers(0, limit - 1) for limit in limits))


@settings(max_examples=40, deadline=None, print_blob=True, phases=PHASES, suppress_health_check=list(HealthCheck))
@given(st.lists(_choices(CHOICE_LIMITS), min_size=40, max_size=60))
def test_engine_and_model_agree_on_plain_orders_in_streams_that_shrink(choices: list[Choice]) -> None:
    Pair(LISTING, Workload(), restart_every=17).run(choices)


@settings(max_examples=120, deadline=None, print_blob=True, phases=PHASES, suppress_health_check=list(HealthCheck))
@given(st.lists(_choices(SPECIAL_LIMITS), min_size=30, max_size=50))
def test_engine_and_model_agree_on_everything_in_streams_that_shrink(choices: list[Choice]) -> None:
    Pair(SPECIAL_LISTING, SpecialWorkload(), restart_every=11).run(choices)


@pytest.mark.parametrize("seed", range(6))
def test_engine_and_model_agree_on_a_long_stream_of_plain_orders(seed: int) -> None:
    print("seed", seed)
    pair = Pair(LISTING, Workload(), restart_every=50)
    pair.run(seeded_choices(Random(seed), 400))
    # A stream in which little happened would prove little.
    assert pair.seen["TradeExecuted"] > 20, (seed, pair.seen)


@pytest.mark.parametrize("restart_every", [0, 1])
@pytest.mark.parametrize("name", SCRIPTS)
def test_engine_and_model_agree_where_chance_seldom_leads(name: str, restart_every: int) -> None:
    pair = Pair(SPECIAL_LISTING, SpecialWorkload(), restart_every)
    situation, script = SCRIPTS[name]
    for seconds, command in script:
        now_ns = START_NS + seconds * NS_PER_S
        pair.step(now_ns, [command._replace(issued_at_ns=now_ns)])
    assert pair.seen[situation], pair.seen


def test_engine_and_model_agree_on_long_streams_of_everything_and_reach_it() -> None:
    seen: Counter[str] = Counter()
    for seed in range(36):
        print("seed", seed)
        pair = Pair(SPECIAL_LISTING, SpecialWorkload(), restart_every=40)
        pair.run(special_choices(Random(seed), 400))
        seen += pair.seen
    wanted = {layout.record.__name__ for layout in (*COMMAND_LAYOUTS, *EVENT_LAYOUTS)} - OF_OTHER_GROUPS - IN_SCRIPTS
    wanted |= {code for code, _ in rejects.REASONS[1:]}
    wanted |= {f"closed {name}" for name in CLOSE_REASON_NAMES[2:]} - SELDOM
    wanted |= {f"state by {name}" for name in STATE_CAUSE_NAMES} | {f"to {name}" for name in MARKET_STATE_NAMES}
    wanted |= {f"{kind} {status}" for kind in SALE_KIND_NAMES for status in SALE_STATUS_NAMES}
    wanted |= {"cascades of three", "trades of icebergs in auctions", "trades at a tier", "market orders in auctions"}
    assert not wanted - seen.keys(), (sorted(wanted - seen.keys()), seen)
