"""A random workload for the folds: every command of traders, in two markets, with fees, rebates and refusals."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from engine.amounts import SCALE_ABSENT
from engine.codec import encode_command
from engine.commands import (
    AmendOrder,
    CancelAll,
    CancelOrder,
    Command,
    CreateAccount,
    CreateAsset,
    CreateMarket,
    Deposit,
    PlaceOrder,
)
from engine.types import BUY, LIMIT, MARKET, MARKET_BUDGET, TRADER
from tests.projections.databases import new_database
from tests.projections.postgres_server import binaries, postgres_server

RandomEntries = Callable[[Random, int], Iterator[bytes]]
ACCOUNTS = (1, 2, 3)
MARKETS = (1, 2)
LISTING: tuple[Command, ...] = (
    CreateAsset(0, 0, 3, b"GLD"),
    CreateAsset(0, 0, 2, b"OIL"),
    CreateAsset(0, 0, 5, b"EUR"),
    CreateMarket(0, 0, 1, 2, 1, 3, 0, 0, 1_000, 2_500, b"GLD", b"EUR"),
    CreateMarket(0, 0, 5, 2, 2, 1, 1, 0, -200, 2_500, b"OIL", b"EUR"),
    *(CreateAccount(0, 0, TRADER, b"trader-%d" % account_id) for account_id in ACCOUNTS),
)


@pytest.fixture(scope="session")
def random_entries() -> RandomEntries:
    """The command records of a listing and then of ``count`` random entries of one to four commands."""

    def entries(random: Random, count: int) -> Iterator[bytes]:
        yield b"".join(map(encode_command, LISTING))
        placed: list[PlaceOrder] = []
        for number in range(count):
            commands = [_random_command(random, 4 * number + offset, placed) for offset in range(random.randint(1, 4))]
            yield b"".join(map(encode_command, commands))

    return entries


def _random_command(random: Random, number: int, placed: list[PlaceOrder]) -> Command:
    request_id = b"r%d" % number
    kind = random.randint(0, 11)
    if kind < 2:
        return Deposit(0, 0, random.choice(ACCOUNTS), random.randint(1, 3), random.randint(1, 500), 0, request_id)
    if kind == 2 and not random.randint(0, 3):
        return CancelAll(random.choice(ACCOUNTS), 0, random.choice((0, *MARKETS)), request_id)
    if kind < 6 and placed:
        target = placed[-random.randint(1, min(len(placed), 12))]
        if kind == 3:
            return CancelOrder(target.account_id, 0, 0, target.client_order_id, request_id)
        if kind == 4 and not random.randint(0, 2):
            return target  # a repeat
        price = (random.randint(200, 204) * 5, 2) if random.randint(0, 1) else (0, SCALE_ABSENT)
        quantity = (random.randint(1, 15) * 2, 1) if random.randint(0, 1) else (0, SCALE_ABSENT)
        return AmendOrder(target.account_id, 0, 0, *price, *quantity, target.client_order_id, request_id)
    placed.append(_random_order(random, random.choice(ACCOUNTS), request_id))
    return placed[-1]


def _random_order(random: Random, account_id: int, client_order_id: bytes) -> PlaceOrder:
    order_type = random.choice((LIMIT, LIMIT, LIMIT, LIMIT, MARKET, MARKET_BUDGET))
    limit = order_type == LIMIT
    return PlaceOrder(
        account_id=account_id,
        issued_at_ns=0,
        market_id=random.choice(MARKETS),
        side=BUY if order_type == MARKET_BUDGET else random.randint(0, 1),
        order_type=order_type,
        time_in_force=random.choice((0, 0, 0, 1, 2)) if limit else 0,
        post_only=int(limit and not random.randint(0, 5)),
        self_trade=random.randint(0, 2),
        price_mantissa=random.randint(200, 204) * 5 if limit else 0,
        price_scale=2 if limit else SCALE_ABSENT,
        quantity_mantissa=random.randint(1, 15) * 2,
        quantity_scale=0 if order_type == MARKET_BUDGET else 1,
        client_order_id=client_order_id,
    )


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server, without a database."""
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed: the package is called postgresql")
    # The other user that runs it in root's place must be able to enter the folder.
    with postgres_server(Path("/tmp" if os.geteuid() == 0 else tempfile.gettempdir())) as url:
        yield url


@pytest.fixture
def postgres_url(postgres: str) -> str:
    """An empty database in it."""
    return new_database(postgres)


@pytest.fixture(params=["sqlite", "postgresql"])
def any_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'projections.sqlite'}"
    url: str = request.getfixturevalue("postgres_url")
    return url
