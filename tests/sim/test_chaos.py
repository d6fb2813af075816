"""``tally chaos``: one short run of real processes, all of it."""

import json
from pathlib import Path

import pytest

from sim.chaos import main
from sim.chaos_run import ACKNOWLEDGED_MIN


@pytest.mark.cluster
def test_real_processes_are_broken_and_every_fill_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = "flip,kill-leader,second-process"
    code = main(seed=5, minutes=0.06, faults=kinds, as_json=True, keep=tmp_path / "kept")
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert (code, report["verdict"], report["complaints"]) == (0, "pass", []), said
    assert report["acknowledged"] > ACKNOWLEDGED_MIN
    assert {fault["kind"] for fault in report["faults"]} <= set(kinds.split(","))
    assert report["faults"]
    assert f"tally chaos --minutes 0.06 --seed 5 --faults {kinds}" in said.err
    assert not (tmp_path / "kept" / "cluster" / "data" / "node-1").is_mount()
