"""Times as clients write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.rendering import timestamp_text
from gateway.times import read_moment, read_time_of_day, time_of_day_text


@pytest.mark.parametrize(
    ("text", "moment_ns"),
    [
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000_000_000),
        ("2023-11-14T22:13:20.5Z", 1_700_000_000_500_000_000),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000_000_000),
        ("2262-04-11T23:47:16.854775807Z", (1 << 63) - 1),
    ],
)
def test_a_moment_is_read_to_the_nanosecond(text: str, moment_ns: int) -> None:
    assert read_moment({"at": text}, "at") == moment_ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2023-11-14",
        "2023-11-14T22:13:20",
        "2023-11-14 22:13:20Z",
        "2023-11-14t22:13:20z",
        "2023-11-14T22:13:20+00:00",
        "2023-11-14T22:13Z",
        "2023-11-14T22:13:20.Z",
        "2023-11-14T22:13:20.0000000001Z",
        "2023-11-14T22:13:20Z\n",
        "2023-02-29T00:00:00Z",
        "2023-13-01T00:00:00Z",
        "2023-11-14T24:00:00Z",
        "2023-11-14T23:59:60Z",
        "0000-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "2262-04-11T23:47:16.854775808Z",
        "9999-12-31T23:59:59Z",
        "\uff12023-11-14T22:13:20Z",
    ],
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_moment({"at": text}, "at")
    assert caught.value.code == "BAD_TIME"


@given(st.integers(1, (1 << 63) - 1))
def test_what_is_shown_can_be_read(moment_ns: int) -> None:
    assert read_moment({"at": timestamp_text(moment_ns)}, "at") == moment_ns


@pytest.mark.parametrize("value", [None, 5, [], True])
def test_a_time_is_a_string(value: object) -> None:
    for read in (read_moment, read_time_of_day):
        with pytest.raises(BadRequest) as caught:
            read({"at": value}, "at")
        assert caught.value.code == "BAD_FIELD"


@pytest.mark.parametrize(("text", "second"), [("00:00:00", 0), ("08:50:00", 31_800), ("23:59:59", 86_399)])
def test_a_time_of_day(text: str, second: int) -> None:
    assert read_time_of_day({"at": text}, "at") == second
    assert time_of_day_text(second) == text


@pytest.mark.parametrize(
    "text", ["", "8:50:00", "08:50", "24:00:00", "08:60:00", "08:50:60", "08:50:00Z", "08:50:00\n"]
)
def test_what_is_no_time_of_day_is_refused(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_time_of_day({"at": text}, "at")
    assert caught.value.code == "BAD_TIME"
