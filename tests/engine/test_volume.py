"""Volumes: which days count, and the same snapshot whatever was dropped when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.types import AMOUNT_MAX, NS_PER_DAY, VOLUME_DAYS
from engine.volume import VOLUME_ROW, Row, Volumes

ANA, BO = 1, 2
EUR, USD = 2, 3
TODAY = 20_000
NOW_NS = TODAY * NS_PER_DAY + NS_PER_DAY // 2


def day_ns(day: int) -> int:
    return day * NS_PER_DAY


def test_what_was_never_traded_is_zero() -> None:
    assert Volumes().last_30_days(ANA, EUR, NOW_NS) == 0
    assert rows_of(Volumes(), NOW_NS) == []


@pytest.mark.parametrize(
    ("traded_at_ns", "counts"),
    [
        (day_ns(TODAY - VOLUME_DAYS) - 1, False),
        (day_ns(TODAY - VOLUME_DAYS), True),
        (day_ns(TODAY) - 1, True),
        (day_ns(TODAY), False),
        (NOW_NS, False),
    ],
)
def test_the_30_whole_days_before_today_count(traded_at_ns: int, counts: bool) -> None:
    volumes = Volumes()
    volumes.add(ANA, EUR, traded_at_ns, 700)
    assert volumes.last_30_days(ANA, EUR, NOW_NS) == (700 if counts else 0)
    assert volumes.last_30_days(ANA, EUR, day_ns(TODAY)) == (700 if counts else 0)
    assert volumes.last_30_days(ANA, EUR, day_ns(TODAY + 1) - 1) == (700 if counts else 0)


def test_days_add_up() -> None:
    volumes = Volumes()
    for day in range(TODAY - VOLUME_DAYS - 5, TODAY + 1):
        volumes.add(ANA, EUR, day_ns(day), 1)
        volumes.add(ANA, EUR, day_ns(day + 1) - 1, 1)
    assert volumes.last_30_days(ANA, EUR, NOW_NS) == 2 * VOLUME_DAYS


def test_todays_trades_count_from_tomorrow_on() -> None:
    volumes = Volumes()
    volumes.add(ANA, EUR, NOW_NS, 5)
    assert volumes.last_30_days(ANA, EUR, NOW_NS) == 0
    volumes.add(ANA, EUR, NOW_NS, 6)
    assert volumes.last_30_days(ANA, EUR, NOW_NS) == 0
    assert volumes.last_30_days(ANA, EUR, day_ns(TODAY + 1)) == 11
    assert volumes.last_30_days(ANA, EUR, day_ns(TODAY + VOLUME_DAYS)) == 11
    assert volumes.last_30_days(ANA, EUR, day_ns(TODAY + VOLUME_DAYS + 1)) == 0


def test_accounts_and_assets_do_not_mix() -> None:
    volumes = Volumes()
    for number, (account_id, asset_id) in enumerate(((ANA, EUR), (ANA, USD), (BO, EUR), (0, 65_535), (9_999, 1)), 1):
        volumes.add(account_id, asset_id, NOW_NS, number)
    tomorrow_ns = day_ns(TODAY + 1)
    found = [volumes.last_30_days(*key, tomorrow_ns) for key in ((ANA, EUR), (ANA, USD), (BO, EUR), (BO, USD))]
    assert found == [1, 2, 3, 0]
    assert volumes.last_30_days(0, 65_535, tomorrow_ns) == 4
    assert volumes.last_30_days(9_999, 1, tomorrow_ns) == 5


def test_a_day_is_full_at_the_greatest_amount() -> None:
    volumes = Volumes()
    volumes.add(ANA, EUR, day_ns(TODAY - 1), AMOUNT_MAX - 1)
    volumes.add(ANA, EUR, day_ns(TODAY - 1), 1)
    volumes.add(ANA, EUR, day_ns(TODAY - 1), 1)
    assert volumes.last_30_days(ANA, EUR, NOW_NS) == AMOUNT_MAX
    volumes.add(ANA, EUR, day_ns(TODAY), AMOUNT_MAX)
    volumes.add(ANA, EUR, day_ns(TODAY), AMOUNT_MAX)
    assert volumes.last_30_days(ANA, EUR, day_ns(TODAY + 1)) == 2 * AMOUNT_MAX
    volumes.add(ANA, EUR, day_ns(TODAY + 1), 1)
    volumes.add(ANA, EUR, day_ns(TODAY + 2), AMOUNT_MAX)
    for day in (TODAY + 2, TODAY + 3):
        assert volumes.last_30_days(ANA, EUR, day_ns(day)) == 2 * AMOUNT_MAX, "no tier asks for more"
    day = TODAY + VOLUME_DAYS + 1
    assert volumes.last_30_days(ANA, EUR, day_ns(day)) == AMOUNT_MAX + 1


def rows_of(volumes: Volumes, timestamp_ns: int) -> list[Row]:
    """As a snapshot reads them."""
    out = bytearray(b"before")
    count = volumes.append_rows(timestamp_ns, out)
    rows: list[Row] = [(numbers, ()) for numbers in VOLUME_ROW.iter_unpack(out[6:])]
    assert len(rows) == count and out.startswith(b"before")
    return rows


def test_rows_are_what_still_counts_in_order_of_account_asset_and_day() -> None:
    volumes = Volumes()
    for day in (TODAY - VOLUME_DAYS - 1, TODAY - VOLUME_DAYS, TODAY):
        for account_id, asset_id in ((BO, EUR), (ANA, USD), (ANA, EUR)):
            volumes.add(account_id, asset_id, day_ns(day), 7)
    assert rows_of(volumes, NOW_NS) == [
        ((account_id, asset_id, day, 7), ())
        for account_id, asset_id in ((ANA, EUR), (ANA, USD), (BO, EUR))
        for day in (TODAY - VOLUME_DAYS, TODAY)
    ]
    assert len(rows_of(volumes, day_ns(TODAY + 1))) == 3
    assert rows_of(volumes, day_ns(TODAY + VOLUME_DAYS + 1)) == []


def test_what_was_dropped_and_what_only_grew_old_give_the_same_rows() -> None:
    """Bo trades on and drops old days; Ana stops. Only what counts is in the rows of either."""
    one, other = Volumes(), Volumes()
    for account_id in (ANA, BO):
        one.add(account_id, EUR, day_ns(TODAY - VOLUME_DAYS - 1), 7)
    one.add(BO, EUR, NOW_NS, 9)
    other.add(BO, EUR, NOW_NS, 9)
    assert rows_of(one, NOW_NS) == rows_of(other, NOW_NS)


def test_no_account_keeps_more_days_than_can_count() -> None:
    volumes = Volumes()
    for day in range(TODAY, TODAY + 100):
        volumes.add(ANA, EUR, day_ns(day), 1)
    everything_kept = rows_of(volumes, 0)
    assert len(everything_kept) == VOLUME_DAYS + 1


def test_log_time_that_runs_backwards_is_a_bug() -> None:
    volumes = Volumes()
    volumes.add(ANA, EUR, NOW_NS, 1)
    with pytest.raises(AssertionError):
        volumes.add(ANA, EUR, NOW_NS - NS_PER_DAY, 1)


def test_the_greatest_numbers_fit_a_row() -> None:
    numbers = (2**64 - 1, 2**32 - 1, (2**63 - 1) // NS_PER_DAY, AMOUNT_MAX)
    assert VOLUME_ROW.unpack(VOLUME_ROW.pack(*numbers)) == numbers


STEPS = st.tuples(st.integers(0, 20), st.sampled_from((ANA, BO)), st.sampled_from((EUR, USD)), st.integers(1, 9))


@given(st.lists(STEPS, max_size=60), st.integers(0, 60))
def test_volumes_are_the_sums_of_all_trades_before_and_after_a_snapshot(
    steps: list[tuple[int, int, int, int]], restored_at: int
) -> None:
    volumes, day = Volumes(), TODAY
    trades: list[tuple[int, int, int, int]] = []
    for number, (days, account_id, asset_id, units) in enumerate(steps):
        day += days
        if number == restored_at:
            rows = rows_of(volumes, day_ns(day))
            volumes = Volumes()
            volumes.restore(rows)
            assert rows_of(volumes, day_ns(day)) == rows
        volumes.add(account_id, asset_id, day_ns(day), units)
        trades.append((account_id, asset_id, day, units))
        for key in ((ANA, EUR), (ANA, USD), (BO, EUR), (BO, USD)):
            expected = sum(
                units
                for owner, asset, traded_on, units in trades
                if (owner, asset) == key and day - 30 <= traded_on <= day - 1
            )
            assert volumes.last_30_days(*key, day_ns(day)) == expected
