"""Commands as HTTP requests: every kind has its route, and a part's names are its own."""

import re
from typing import Any

import pytest

from engine.codec import COMMAND_LAYOUTS, pack_schedule, pack_tiers
from engine.commands import (
    CreateApiKey,
    CreateAsset,
    CreateMarket,
    DecideTransfer,
    Deposit,
    ListMarket,
    MassCancel,
    MirrorAccount,
    NameGroup,
    PlaceOrder,
    PlaceSpecialOrder,
    ReceiveTransfer,
    SendTransfer,
    SetRulesVersion,
    SettleTransfer,
    Tick,
)
from engine.events import AccountCreated, AssetCreated, MarketCreated
from engine.types import FeeTier, ScheduleStep
from sim.http_operator_requests import operator_request
from sim.http_requests import trader_request
from sim.part_names import PartNames

# Who lists a market has more to say by now, keys are the driver's own affair, and only the leader ticks and changes
# the rules. What goes on between groups is carried by gateways and relays: a scenario is about one group.
BETWEEN_GROUPS = (NameGroup, MirrorAccount, SendTransfer, ReceiveTransfer, SettleTransfer)
NO_REQUEST = (CreateMarket, CreateApiKey, SetRulesVersion, Tick, *BETWEEN_GROUPS)
PACKED = {"steps": pack_schedule([ScheduleStep(31_800, 1)]), "tiers": pack_tiers([FeeTier(5, 1, 2)])}


@pytest.fixture
def names() -> PartNames:
    """A part with ana, EUR, GLD and a market."""
    part = PartNames()
    for number, name in enumerate((b"EUR", b"GLD"), start=1):
        created = part.published(CreateAsset(0, 0, 5, name))
        assert isinstance(created, CreateAsset)
        part.register.learn(AssetCreated(number, 5, created.name), 0)
    listed = part.published(ListMarket(0, 0, *(0,) * 19, b"GLD", b"EUR"))
    assert isinstance(listed, ListMarket)
    market = listed.base_asset + b"-" + listed.quote_asset
    part.register.learn(MarketCreated(3, 2, 1, 1, 1, 1, 0, 0, 0, market), 0)
    part.register.learn(AccountCreated(4, 0, f"ana.{part.suffix}".encode()), 0)
    part.register.accounts[4] = "ana"
    return part


@pytest.mark.parametrize("layout", COMMAND_LAYOUTS, ids=lambda layout: layout.record.__name__)
def test_every_command_has_its_route(layout: Any, names: PartNames) -> None:
    numbers = (0,) * (len(layout.record._fields) - layout.texts)
    command = layout.record(*numbers, *(b"x",) * layout.texts)
    command = command._replace(**{name: PACKED[name] for name in PACKED.keys() & set(layout.record._fields)})
    request = operator_request(command, names) or trader_request(command, names)
    if isinstance(command, NO_REQUEST):
        assert request is None
    else:
        assert request is not None
        assert request.method in ("POST", "PUT", "PATCH", "DELETE")
        assert request.path.startswith("/v1/")


def test_an_order_says_what_it_is_and_nothing_more(names: PartNames) -> None:
    plain = trader_request(PlaceOrder(4, 0, 3, 0, 0, 0, 1, 0, 105, 1, 4, 0, b"c1"), names)
    market = f"GLD{names.suffix}-EUR{names.suffix}"
    common = {"market": market, "side": "buy", "self_trade": "cancel_newest", "client_order_id": "c1"}
    assert plain is not None
    assert plain.body == common | {
        "type": "limit",
        "price": "10.5",
        "quantity": "4",
        "time_in_force": "gtc",
        "post_only": True,
    }
    absent = (0, 254)
    budget_stop = PlaceSpecialOrder(4, 0, 3, 0, 2, 1, 0, 0, 1, *absent, 50, 0, 105, 1, *absent, *absent, 0, b"c1")
    special = trader_request(budget_stop, names)
    assert special is not None
    assert special.body == common | {
        "type": "market",
        "budget": "50",
        "time_in_force": "ioc",
        "post_only": False,
        "stop_price": "10.5",
    }


def test_a_number_that_no_command_can_hold_is_sent_as_such(names: PartNames) -> None:
    request = trader_request(PlaceOrder(4, 0, 3, 0, 0, 0, 0, 0, 0, 255, 1, 0, b"c1"), names)
    assert request is not None
    assert request.body is not None
    assert request.body["price"] == "1e400"


def test_what_a_part_brings_into_being_has_its_suffix_and_is_told_without(names: PartNames) -> None:
    suffix = names.suffix
    assert re.fullmatch(r"[A-Z0-9]{5}", suffix)
    deposit = names.published(Deposit(0, 0, 4, 1, 5, 0, b"dep-7"))
    assert isinstance(deposit, Deposit)
    assert deposit.reference == f"dep-7.{suffix}".encode()
    assert names.plain(f"dep-7.{suffix}") == "dep-7"
    assert names.plain(f"GLD{suffix}-EUR{suffix}") == "GLD-EUR"
    assert names.plain("somebody-else") == "somebody-else"
    assert (names.knows(f"GLD{suffix}"), names.knows("GLD")) == (True, False)
    assert names.account(4) == f"ana.{suffix}"
    assert names.account(0) == "exchange"


@pytest.mark.parametrize(
    ("plain", "shown"), [(b"ABCDEFGHIJKL", "ABCDEFG"), (b"lower", "lower"), (b"ABCDEFGHIJKLM", "ABCDEFGHIJKLM")]
)
def test_a_name_that_is_allowed_stays_so_and_one_that_is_not_does_too(
    names: PartNames, plain: bytes, shown: str
) -> None:
    """12 characters are allowed, 13 are not, nor are small letters."""
    created = names.published(CreateAsset(0, 0, 2, plain))
    assert isinstance(created, CreateAsset)
    assert created.name.decode() == shown + names.suffix
    assert names.plain(created.name.decode()) == plain.decode()


def test_the_ids_of_the_operator_whom_all_scenarios_share_have_the_suffix(names: PartNames) -> None:
    for command in (MassCancel(0, 0, 4, 3, 2, b"id1"), DecideTransfer(0, 0, 70, 0, b"id1")):
        published = names.published(command)
        assert isinstance(published, MassCancel | DecideTransfer)
        assert published.request_id == f"id1.{names.suffix}".encode()
        assert names.published(command._replace(account_id=4)) == command._replace(account_id=4)
