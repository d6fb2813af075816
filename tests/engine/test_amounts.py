"""Decimal text to integers and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.amounts import (
    ABSENT,
    NOT_A_MULTIPLE,
    SCALE_ABSENT,
    SCALE_MAX,
    UNREPRESENTABLE,
    Decimal,
    ceil_div,
    format_units,
    parse_decimal,
    significant_decimals,
    to_multiples,
    to_units,
)
from engine.types import AMOUNT_MAX, ASSET_DECIMALS_MAX

DECIMALS = st.integers(0, ASSET_DECIMALS_MAX)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", Decimal(0, 0)),
        ("-0", Decimal(0, 0)),
        ("0.000", Decimal(0, 0)),
        ("10", Decimal(10, 0)),
        ("10.005", Decimal(10_005, 3)),
        ("10.500", Decimal(105, 1)),
        ("-12.50", Decimal(-125, 1)),
        ("0.000000000000000001", Decimal(1, 18)),
        ("4611686018427387904", Decimal(AMOUNT_MAX, 0)),
        ("-4611686018427387904", Decimal(-AMOUNT_MAX, 0)),
        ("4.611686018427387904", Decimal(AMOUNT_MAX, 18)),
        ("1.000000000000000000000000000000000000000000000000000000000000", Decimal(1, 0)),
    ],
)
def test_plain_decimals_are_read(text: str, expected: Decimal) -> None:
    assert parse_decimal(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "4611686018427387905",
        "-4611686018427387905",
        "18446744073709551616",
        "9" * 64,
        "0.0000000000000000001",
        "4.6116860184273879041",
        "1e400",
        "1E+5",
        "-1.5e-3",
        "0e0",
    ],
)
def test_numbers_that_no_market_could_trade_at_are_unrepresentable(text: str) -> None:
    assert parse_decimal(text) == UNREPRESENTABLE


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "abc",
        "NaN",
        "nan",
        "Infinity",
        "-inf",
        "+1",
        "--1",
        "01",
        "00",
        "-01.5",
        "1.",
        ".5",
        "1..5",
        "1.5.5",
        "1,5",
        "1 000",
        " 1",
        "1 ",
        "1\n",
        "1_000",
        "0x10",
        "1e",
        "e5",
        "1e5.5",
        "\uff11\uff10",
        "\u0661\u0660",
        "1\u066b5",
        "1\x00",
        "9" * 65,
        "1." + "0" * 63,
    ],
)
def test_what_is_not_a_plain_number_is_not_read(text: str) -> None:
    assert parse_decimal(text) is None


@pytest.mark.parametrize(
    ("text", "decimals", "units"),
    [
        ("100.25", 5, 10_025_000),
        ("100.25", 2, 10_025),
        ("100.25", 1, NOT_A_MULTIPLE),
        ("0.00001", 5, 1),
        ("0.000001", 5, NOT_A_MULTIPLE),
        ("7", 0, 7),
        ("0", 5, -1),
        ("-1", 5, -1),
        ("-0.000001", 5, -1),
        ("4611686018427387904", 0, AMOUNT_MAX),
        ("4611686.018427387904", 12, AMOUNT_MAX),
        ("4611686.018427387905", 12, -1),
        ("4611687", 12, -1),
        ("1e400", 5, -1),
    ],
)
def test_decimals_become_whole_units_or_a_named_refusal(text: str, decimals: int, units: int) -> None:
    number = parse_decimal(text)
    assert number is not None
    assert to_units(*number, decimals) == units


def test_absent_and_too_fine_scales_are_no_units() -> None:
    assert to_units(*ABSENT, 5) == -1
    assert to_units(1, SCALE_ABSENT, 5) == -1
    assert to_units(1, SCALE_MAX + 1, 5) == -1
    assert to_units(AMOUNT_MAX + 1, 0, 0) == -1


@pytest.mark.parametrize(
    ("text", "multiples"),
    [("10.00", 1_000), ("10.005", NOT_A_MULTIPLE), ("10.0000001", NOT_A_MULTIPLE), ("0.01", 1), ("0", -1), ("-1", -1)],
)
def test_multiples_of_a_tick(text: str, multiples: int) -> None:
    number = parse_decimal(text)
    assert number is not None
    assert to_multiples(*number, 5, 1_000) == multiples


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [
        (10_025_000, 5, "100.25000"),
        (1, 5, "0.00001"),
        (0, 5, "0.00000"),
        (0, 0, "0"),
        (7, 0, "7"),
        (-25, 1, "-2.5"),
        (-1, 3, "-0.001"),
        (AMOUNT_MAX, 12, "4611686.018427387904"),
    ],
)
def test_units_are_written_with_all_their_decimals(units: int, decimals: int, text: str) -> None:
    assert format_units(units, decimals) == text


@given(units=st.integers(1, AMOUNT_MAX), decimals=DECIMALS)
def test_what_is_written_is_read_back(units: int, decimals: int) -> None:
    number = parse_decimal(format_units(units, decimals))
    assert number is not None
    assert to_units(*number, decimals) == units


@given(mantissa=st.integers(-AMOUNT_MAX, AMOUNT_MAX), scale=st.integers(0, SCALE_MAX))
def test_equal_numbers_are_equal_tuples(mantissa: int, scale: int) -> None:
    """However many zeros stand behind the point."""
    text = format_units(mantissa, scale)
    number = parse_decimal(text)
    assert number is not None
    assert number.mantissa * 10 ** (scale - number.scale) == mantissa
    more_zeros = text + ("0" if scale else ".0")
    assert parse_decimal(more_zeros) == number


@given(mantissa=st.integers(1, AMOUNT_MAX), scale=st.integers(0, SCALE_MAX), decimals=DECIMALS)
def test_conversion_is_exact_or_refused(mantissa: int, scale: int, decimals: int) -> None:
    units = to_units(mantissa, scale, decimals)
    if units > 0:
        assert units * 10**scale == mantissa * 10**decimals
        assert units <= AMOUNT_MAX
    elif units == NOT_A_MULTIPLE:
        assert mantissa * 10**decimals % 10**scale
    else:
        assert units == -1
        assert mantissa * 10**decimals > AMOUNT_MAX * 10**scale


@pytest.mark.parametrize(
    ("step", "decimals", "shown"), [(1_000, 5, 2), (1, 3, 3), (5_000, 5, 2), (1, 0, 0), (10, 0, 0)]
)
def test_a_step_needs_so_many_decimals(step: int, decimals: int, shown: int) -> None:
    assert significant_decimals(step, decimals) == shown


@given(numerator=st.integers(-AMOUNT_MAX, AMOUNT_MAX), denominator=st.integers(1, 10**9))
def test_ceil_div_rounds_up_by_less_than_one(numerator: int, denominator: int) -> None:
    assert 0 <= ceil_div(numerator, denominator) * denominator - numerator < denominator
