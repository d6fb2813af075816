"""Around a run of ``tally chaos``: verdicts, the report, what is refused, and the disks that it breaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.chaos import main
from sim.chaos_disks import SmallDisks, flip_byte, remove_contents, truncate
from sim.chaos_nemesis import Struck
from sim.chaos_report import document, histogram, text
from sim.chaos_run import ACKNOWLEDGED_MIN, Options, Result
from sim.chaos_schedule import FAULTS, Planned
from sim.chaos_traders import Acknowledgements
from sim.simulation_verdict import Verdict

OPTIONS = Options(seed=7, minutes=1.0, kinds=tuple(FAULTS))


def result(*, acknowledged: int = ACKNOWLEDGED_MIN, skipped: str = "", complaints: tuple[str, ...] = ()) -> Result:
    struck = Struck(Planned(1, "kill-leader", 1.0, 1.0, 0.5), "node-2", 10.0, 12.5, skipped)
    gaps_s = [] if skipped else [2.25]
    return Result(struck=[struck], gaps_s=gaps_s, complaints=list(complaints), acknowledged=acknowledged)


def test_a_run_that_shows_nothing_is_no_pass() -> None:
    assert result().verdict is Verdict.PASS
    assert result(acknowledged=ACKNOWLEDGED_MIN - 1).verdict is Verdict.UNKNOWN
    assert result(skipped="node-2 has no snapshots yet").verdict is Verdict.UNKNOWN
    assert result(acknowledged=0, complaints=("it is gone",)).verdict is Verdict.FAIL


def test_the_report_names_each_fault_what_it_cost_and_what_was_broken() -> None:
    report = text(OPTIONS, result(complaints=("trader-1: place o1: lost",)))
    assert "   1 kill-leader            2.25 s  node-2" in report
    assert "broken      trader-1: place o1: lost" in report
    assert report.splitlines()[-1].startswith("fail: 1 promises broken (seed 7,")
    assert "skipped: no room" in text(OPTIONS, result(skipped="no room"))
    faults = document(OPTIONS, result())["faults"]
    assert faults == [{"number": 1, "kind": "kill-leader", "what": "node-2", "skipped": "", "without_service_s": 2.25}]


def test_the_histogram_counts_each_fault_once() -> None:
    assert histogram([0.05, 0.1, 0.3, 40.0])[:3] == [
        "  up to 0.1 s      2 " + "#" * 50,
        "  up to 0.25 s     0",
        "  up to 0.5 s      1 " + "#" * 25,
    ]
    assert "  longer           1 " + "#" * 25 in histogram([0.05, 0.1, 0.3, 40.0])
    assert histogram([]) == ["  none"]


def test_the_longest_gap_is_found_between_acknowledgements_and_at_both_ends() -> None:
    served = Acknowledgements()
    served.times_s = [1.0, 2.0, 5.0, 6.0]
    assert served.longest_gap_s(1.5, 5.5) == 3.0
    assert served.longest_gap_s(6.5, 10.5) == 4.0
    assert served.longest_gap_s(4.0, 5.5) == 1.0


def test_files_are_damaged_as_chance_says(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(bytes(1000))
    assert flip_byte(file, 0.5) == "byte 500 of 1000 of data flipped"
    assert [offset for offset, byte in enumerate(file.read_bytes()) if byte] == [500]
    assert truncate(file, 0.25) == "data cut from 1000 to 250 bytes"
    assert file.stat().st_size == 250
    remove_contents(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_small_disk_can_be_full_and_its_files_survive_it(tmp_path: Path) -> None:
    folder = tmp_path / "node-1"
    with SmallDisks([folder]) as disks:
        if disks.why_not:
            pytest.skip(disks.why_not)
        (folder / "kept").write_bytes(b"kept")
        disks.fill(folder)
        with pytest.raises(OSError, match="No space left"):
            (folder / "more").write_bytes(b"x" * 5000)
        disks.free(folder)
        (folder / "more").write_bytes(b"x" * 5000)
    assert not folder.is_mount()
    assert (folder / "kept").read_bytes() == b"kept"


def test_what_cannot_be_run_is_refused_with_a_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(seed=1, minutes=1.0, faults="earthquake") == 2
    assert "tally chaos: there is no fault earthquake; there are kill-leader," in capsys.readouterr().err
    (tmp_path / "mine").write_text("mine")
    assert main(seed=1, minutes=1.0, keep=tmp_path) == 2
    assert f"{tmp_path} is not empty" in capsys.readouterr().err
