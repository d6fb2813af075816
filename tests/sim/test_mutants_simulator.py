"""`tally mutants --with sim`: the list fits the catalogues, and the search can tell found from not found."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from sim import mutants_simulator
from sim.mutant_catalogue import CatalogueError, parse_catalogue
from sim.mutants_simulator import NAMES, main, named, search

ROOT = Path(__file__).parents[2]

HARMLESS = """\
== another-word-in-a-docstring
Nobody notices.
file replication/poller.py
tests tests/replication/test_poller.py
-    \"\"\"Messages that wait for the journal.\"\"\"
+    \"\"\"Messages which wait for the journal.\"\"\"
"""


def test_at_least_twenty_bugs_are_named_and_each_is_in_a_catalogue() -> None:
    mutants = named(ROOT)
    assert len({mutant.name for mutant in mutants}) == len(mutants) >= 20


def test_a_name_that_no_catalogue_has_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for catalogue in ROOT.glob("sim/mutants-*.txt"):
        (tmp_path / "sim").mkdir(exist_ok=True)
        (tmp_path / "sim" / catalogue.name).write_bytes(catalogue.read_bytes())
    (tmp_path / NAMES).write_text("no-such-bug\n")
    with pytest.raises(CatalogueError, match="no catalogue has a mutant no-such-bug"):
        named(tmp_path)


def test_one_that_is_not_in_the_list_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(only="nonsense") == 1
    assert "has no mutant nonsense" in capsys.readouterr().err


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the copy is made of what git lists")
def test_a_bug_is_found_and_a_harmless_change_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutants_simulator, "SEEDS", 2)
    monkeypatch.setattr(mutants_simulator, "MINUTES", 0.03)
    (bug,) = (mutant for mutant in named(ROOT) if mutant.name == "vote-not-written")
    out = io.StringIO()
    found, not_found = search([bug, *parse_catalogue(HARMLESS)], root=ROOT, out=out)
    assert found.seeds == 1 and "on its disk are" in found.reason
    assert not_found.seeds == 0 and not not_found.reason
    assert "1 of 2 found" in out.getvalue()
    assert "NOT FOUND" in out.getvalue()
