"""The file that says what goes wrong: what it changes, and what it is refused for."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from sim.simulation_fault_file import FaultFileError, changed, load_ranges
from sim.simulation_faults import RANGES, Span, draw_faults

ROOT = Path(__file__).parents[2]


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "faults.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_number_a_list_and_a_range_replace_what_is_drawn_from(tmp_path: Path) -> None:
    text = "kill_weight = 4\ndelay_ms_mean = [0.5, 30]\nfsync_fails_probability = { from = 0, to = 0.001 }\n"
    ranges = load_ranges(written(tmp_path, text))
    assert changed(ranges) == {
        "kill_weight": (4.0,),
        "delay_ms_mean": (0.5, 30.0),
        "fsync_fails_probability": Span(0.0, 0.001),
    }
    for seed in range(20):
        faults = draw_faults(Random(seed), ranges)
        assert faults.kill_weight == 4.0
        assert faults.delay_ms_mean in (0.5, 30.0)
        assert 0.0 <= faults.fsync_fails_probability <= 0.001


def test_what_the_file_does_not_name_is_drawn_as_without_it(tmp_path: Path) -> None:
    ranges = load_ranges(written(tmp_path, "delay_ms_min = 0\n"))
    for seed in range(20):
        usual, other = vars(draw_faults(Random(seed))), vars(draw_faults(Random(seed), ranges))
        assert {name for name in RANGES if usual[name] != other[name]} <= {"delay_ms_min"}


def test_the_example_that_is_shipped_can_be_used() -> None:
    assert changed(load_ranges(ROOT / "configs" / "sim-disks.toml"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kil_weight = 4", "kil_weight is no fault; did you mean kill_weight"),
        ("qqqq = 4", "there are delay_ms_min"),
        ("kill_weight = -1", "is no number from 0 on"),
        ("kill_weight = true", "is no number from 0 on"),
        ("kill_weight = []", "an empty list"),
        ('kill_weight = "4"', "is no number from 0 on"),
        ("kill_weight = { from = 2, to = 1 }", "from 2 to 1 there is nothing"),
        ("kill_weight = { from = 2 }", "a range is"),
        ("late_probability = 1.5", "is more than 1"),
        ("fault_every_ms = 0", "less than 1 ms"),
        ("kill_weight", "cannot be read"),
    ],
)
def test_a_file_that_does_not_say_what_it_means_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(FaultFileError) as refused:
        load_ranges(path)
    assert words in str(refused.value) and str(path) in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FaultFileError, match=r"none\.toml cannot be read"):
        load_ranges(tmp_path / "none.toml")
