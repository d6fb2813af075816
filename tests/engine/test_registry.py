"""The registry by account id: roles, standings, and limits that are read and set together."""

from __future__ import annotations

import pytest

from engine.rate import use_rate
from engine.registry import Registry, Standing
from engine.types import EXCHANGE_ACCOUNT, NS_PER_MS, OPERATOR, TRADER, AccountLimits, AccountSpec

ANA, OPS = 1, 2
NOBODY = (3, (1 << 64) - 1)


def _registry() -> Registry:
    registry = Registry()
    registry.add_account(AccountSpec(ANA, b"ana", TRADER, 1))
    registry.add_account(AccountSpec(OPS, b"ops", OPERATOR, 2))
    return registry


def test_accounts_exist_from_the_exchange_to_the_last_one() -> None:
    registry = _registry()
    assert [registry.has_account(account_id) for account_id in (EXCHANGE_ACCOUNT, ANA, OPS)] == [True] * 3
    assert [registry.role_of(account_id) for account_id in (EXCHANGE_ACCOUNT, ANA, OPS)] == [OPERATOR, TRADER, OPERATOR]
    assert not any(registry.has_account(account_id) for account_id in NOBODY)
    with pytest.raises(IndexError):
        registry.role_of(3)


def test_an_account_has_a_standing_once_it_is_asked_for_to_be_changed() -> None:
    registry = _registry()
    assert registry.standings == [None, None, None]
    assert registry.standing_of(OPS) is None and not any(registry.standing_of(account_id) for account_id in NOBODY)
    standing = registry.standing(OPS)
    assert registry.standing(OPS) is standing and registry.standing_of(OPS) is standing
    assert registry.standings == [None, None, standing]
    with pytest.raises(IndexError):
        registry.standing(3)


def test_only_who_was_frozen_is_frozen() -> None:
    registry = _registry()
    registry.standing(ANA).frozen = 1
    registry.standing(OPS).frozen = 0
    assert [registry.is_frozen(account_id) for account_id in (EXCHANGE_ACCOUNT, ANA, OPS, 3)] == [
        False,
        True,
        False,
        False,
    ]


def test_limits_are_the_standings_numbers() -> None:
    registry = _registry()
    assert registry.standing_of(ANA) is None and Standing().limits == AccountLimits()
    standing = registry.standing(ANA)
    standing.limits = AccountLimits(4, 3, 2, 1)
    assert (standing.open_orders_max, standing.stops_max) == (4, 3)
    assert (standing.requests_max, standing.window_ms) == (2, 1)
    found = registry.standing_of(ANA)
    assert found is not None and found.limits == standing.limits == AccountLimits(4, 3, 2, 1)
    standing.limits = AccountLimits(*[(1 << 32) - 1] * 4)
    assert standing.limits == AccountLimits(*[(1 << 32) - 1] * 4)


def test_a_standing_counts_requests_by_window() -> None:
    standing = Standing()
    window_ns = 10 * NS_PER_MS
    assert [use_rate(standing, 2, 10, at_ns) for at_ns in (0, 1, window_ns - 1, window_ns)] == [True, True, False, True]
    assert (standing.window, standing.requests_in_window) == (1, 1)
    assert all(use_rate(standing, 0, 0, window_ns) for _ in range(9))
    assert (standing.window, standing.requests_in_window) == (1, 1), "what has no limit is not counted"
