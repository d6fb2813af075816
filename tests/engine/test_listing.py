"""What operators create: assets, accounts, keys, and the limits and names of listings."""

from __future__ import annotations

import pytest

from engine import queries, rejects
from engine.amounts import UNREPRESENTABLE
from engine.codec import decode_events, encode_command
from engine.commands import Command, CreateAccount, CreateApiKey, CreateAsset, CreateMarket
from engine.events import AccountCreated, ApiKeyCreated, AssetCreated, CommandRejected, Event, RequestRepeated
from engine.invariants import assert_sound
from engine.machine import Machine
from engine.registry import Registry
from engine.snapshot import restore, snapshot_bytes, state_hash
from engine.types import ASSETS_MAX, MARKETS_MAX, OPERATOR, TRADER, AssetSpec, MarketSpec

NOW_NS = 1_750_000_000_000_000_000
MARKET = CreateMarket(0, NOW_NS, 1, 2, 1, 3, 0, 0, 0, 0, b"GLD", b"EUR")


def _execute(machine: Machine, command: Command) -> list[Event]:
    events = [event for _, event in decode_events(machine.apply(NOW_NS, encode_command(command)).entry.events)]
    assert_sound(machine)
    return events


@pytest.fixture
def machine() -> Machine:
    machine = Machine()
    for command in (
        CreateAsset(0, NOW_NS, 3, b"GLD"),
        CreateAsset(0, NOW_NS, 5, b"EUR"),
        CreateAccount(0, NOW_NS, TRADER, b"ana"),
        CreateAccount(0, NOW_NS, OPERATOR, b"olga"),
    ):
        _execute(machine, command)
    return machine


def test_the_genesis_state_has_the_exchange_and_nothing_else() -> None:
    machine = Machine()
    assert queries.directory(machine) == {"assets": [], "markets": []}
    assert queries.account(machine, 0) == {"account_id": 0, "name": "exchange", "role": OPERATOR}
    assert queries.account(machine, 1) is None
    assert (machine.sequence, machine.timestamp_ns, machine.chain) == (0, 0, bytes(32))
    assert_sound(machine)


def test_another_operator_may_do_what_the_exchange_may(machine: Machine) -> None:
    assert _execute(machine, CreateAsset(2, NOW_NS, 0, b"TIN")) == [AssetCreated(3, 0, b"TIN")]
    assert _execute(machine, CreateAccount(2, NOW_NS, TRADER, b"bo")) == [AccountCreated(3, TRADER, b"bo")]
    assert _execute(machine, CreateAsset(1, NOW_NS, 0, b"ZNC")) == [CommandRejected(rejects.NOT_ALLOWED, 0)]


def test_a_key_is_created_once_and_found(machine: Machine) -> None:
    key = CreateApiKey(0, NOW_NS, 1, b"key-1", b"sealed")
    assert _execute(machine, key) == [ApiKeyCreated(1, b"key-1")]
    assert _execute(machine, key) == [RequestRepeated(5, rejects.ACCEPTED), ApiKeyCreated(1, b"key-1")]
    expected = {"key_id": "key-1", "account_id": 1, "role": TRADER, "sealed_secret": b"sealed"}
    assert queries.api_key(machine, "key-1") == expected
    assert queries.api_key(restore(snapshot_bytes(machine)), "key-1") == expected
    assert queries.api_key(machine, "key-2") is None


@pytest.mark.parametrize(
    ("key", "reason", "original"),
    [
        (CreateApiKey(0, NOW_NS, 1, b"key-1", b"other"), rejects.NAME_TAKEN, 5),
        (CreateApiKey(0, NOW_NS, 2, b"key-1", b"sealed"), rejects.NAME_TAKEN, 5),
        (CreateApiKey(0, NOW_NS, 9, b"key-1", b"sealed"), rejects.UNKNOWN_ACCOUNT, 0),
        (CreateApiKey(0, NOW_NS, 1, b"", b"sealed"), rejects.MALFORMED, 0),
        (CreateApiKey(0, NOW_NS, 1, b"k" * 65, b"sealed"), rejects.MALFORMED, 0),
        (CreateApiKey(0, NOW_NS, 1, b"key 2", b"sealed"), rejects.MALFORMED, 0),
        (CreateApiKey(0, NOW_NS, 1, b"key-2", b""), rejects.MALFORMED, 0),
        (CreateApiKey(1, NOW_NS, 1, b"key-2", b"sealed"), rejects.NOT_ALLOWED, 0),
    ],
)
def test_a_key_is_refused(machine: Machine, key: CreateApiKey, reason: int, original: int) -> None:
    _execute(machine, CreateApiKey(0, NOW_NS, 1, b"key-1", b"sealed"))
    before = snapshot_bytes(machine)
    assert _execute(machine, key) == [CommandRejected(reason, original)]
    assert len(snapshot_bytes(machine)) == len(before)


@pytest.mark.parametrize("length", [1, 255])
def test_a_sealed_secret_of_any_length_that_is_allowed_survives_a_snapshot(machine: Machine, length: int) -> None:
    secret = bytes(number % 256 for number in range(length))
    _execute(machine, CreateApiKey(0, NOW_NS, 1, b"k" * 64, secret))
    again = restore(snapshot_bytes(machine))
    assert again.registry.api_keys[b"k" * 64].sealed_secret == secret
    assert state_hash(again) == state_hash(machine)


@pytest.mark.parametrize("role", [2, 255])
def test_an_account_of_an_unknown_role_is_malformed(machine: Machine, role: int) -> None:
    assert _execute(machine, CreateAccount(0, NOW_NS, role, b"bo")) == [CommandRejected(rejects.MALFORMED, 0)]


def test_an_account_keeps_its_role(machine: Machine) -> None:
    assert _execute(machine, CreateAccount(0, NOW_NS, OPERATOR, b"ana")) == [CommandRejected(rejects.NAME_TAKEN, 3)]
    assert _execute(machine, CreateAccount(0, NOW_NS, TRADER, b"exchange")) == [CommandRejected(rejects.NAME_TAKEN, 0)]


def test_the_largest_number_of_assets_and_markets(machine: Machine) -> None:
    """The lists are filled by hand up to one below the limit."""
    registry: Registry = machine.registry
    while len(registry.assets) < ASSETS_MAX:
        number = len(registry.assets)
        registry.add_asset(AssetSpec(number, b"A%d" % number, 0, 1))
    assert _execute(machine, CreateAsset(0, NOW_NS, 0, b"LAST")) == [AssetCreated(ASSETS_MAX, 0, b"LAST")]
    assert _execute(machine, CreateAsset(0, NOW_NS, 0, b"MORE")) == [CommandRejected(rejects.TOO_MANY, 0)]
    assert isinstance(_execute(machine, CreateAsset(0, NOW_NS, 0, b"LAST"))[0], RequestRepeated)
    while len(registry.markets) < MARKETS_MAX:
        number = len(registry.markets)
        market = MarketSpec(number, b"M%d" % number, 1, 2, 3, 5, 1_000, 1, 1, 0, 0, 0, 1)
        registry.add_market(market)
        machine.trading.open_market(market)
    assert not isinstance(_execute(machine, MARKET)[0], CommandRejected)
    another = MARKET._replace(base_asset=b"A7")
    assert _execute(machine, another._replace(lot_mantissa=1, lot_scale=0)) == [CommandRejected(rejects.TOO_MANY, 0)]


def test_a_minimum_beyond_all_numbers_is_not_no_minimum(machine: Machine) -> None:
    """``1e400`` travels as mantissa 0 and a scale of its own."""
    command = MARKET._replace(min_notional_mantissa=UNREPRESENTABLE.mantissa, min_notional_scale=UNREPRESENTABLE.scale)
    assert _execute(machine, command) == [CommandRejected(rejects.LISTING_RULES, 0)]


def test_a_name_that_is_taken_comes_before_the_listing_rules(machine: Machine) -> None:
    _execute(machine, MARKET)
    command = MARKET._replace(taker_fee_ppm=100_001)
    assert _execute(machine, command) == [CommandRejected(rejects.NAME_TAKEN, machine.sequence - 1)]
