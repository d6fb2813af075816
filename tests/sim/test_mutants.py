"""The catalogue fits the code, and the check of the tests can fail."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sim.mutant_catalogue import CATALOGUES, CatalogueError, Mutant, parse_catalogue, read_catalogue, table
from sim.mutants import MutationError, Result, Tree, Verdict, check, main

ROOT = Path(__file__).parents[2]
MUTANTS = read_catalogue(ROOT)

HARMLESS = """\
== another-word-in-a-docstring
Nobody notices.
file engine/fees.py
tests tests/engine/test_fees.py
-    \"\"\"The fee if an order, so far overpaid by so much, executed ``notional_units`` more at this rate.\"\"\"
+    \"\"\"The fee in case an order, so far overpaid by so much, executed ``notional_units`` more.\"\"\"
"""

COUNTER = """\
def count_to(end: int) -> int:
    count = 0
    while count < end:
        count += 1
    return count
"""
COUNTER_TEST = """\
from counter import count_to

def test_it_counts_to_three() -> None:
    assert count_to(3) == 3
"""
COUNTER_MUTANTS = """\
# A comment.
== counts-two-at-a-time
It ends too late.
file counter.py
tests test_counter.py
-        count += 1
+        count += 2

== never-ends
It counts for ever.
file counter.py
tests test_counter.py
-        count += 1
+        count += 0

== begins-below-zero
It ends as before.
file counter.py
tests test_counter.py
-    count = 0
+    count = -1

== cannot-be-loaded
It is no Python.
file counter.py
tests test_counter.py
-    count = 0
+    count =
"""


@pytest.fixture
def counter_tree(tmp_path: Path) -> Path:
    """A tree with one module and one test, in which nothing is committed."""
    root = tmp_path / "tree"
    root.mkdir()
    (root / "counter.py").write_text(COUNTER)
    (root / "test_counter.py").write_text(COUNTER_TEST)
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    return root


def try_counter(root: Path, copy: Path, name: str, timeout_s: float = 30.0) -> Result:
    (mutant,) = (mutant for mutant in parse_catalogue(COUNTER_MUTANTS) if mutant.name == name)
    return Tree(root, copy).try_mutant(mutant, timeout_s=timeout_s)


def test_there_are_mutants_of_engine_and_replication() -> None:
    """An empty catalogue would pass everything below."""
    for package in ("engine/", "replication/"):
        assert sum(mutant.file.startswith(package) for mutant in MUTANTS) >= 15
    assert len(MUTANTS) >= 30


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_a_mutant_fits_the_code(mutant: Mutant) -> None:
    text = (ROOT / mutant.file).read_text()
    planted = mutant.apply_to(text)
    assert planted != text
    compile(planted, mutant.file, "exec")
    for test in mutant.tests:
        assert (ROOT / test.partition("::")[0]).exists()
    # A selection with this file in it would object to everything.
    assert not any(Path(__file__).is_relative_to(ROOT / test) for test in mutant.tests)


def test_the_page_has_the_table_of_the_catalogue() -> None:
    assert table(MUTANTS) in (ROOT / "docs" / "mutants.md").read_text(), "tally mutants --table prints the new one"


def test_the_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(print_table=True) == 0
    assert capsys.readouterr().out == table(MUTANTS)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the copy is made of what git lists")
def test_a_bug_is_caught_and_a_harmless_change_survives(capsys: pytest.CaptureFixture[str]) -> None:
    (bug,) = (mutant for mutant in MUTANTS if mutant.name == "fee-rounded-per-fill")
    before = (ROOT / bug.file).read_bytes()
    caught, survived = check([bug, *parse_catalogue(HARMLESS)], root=ROOT)
    assert caught.verdict is Verdict.CAUGHT
    assert caught.detail.startswith("tests/engine/test_fees.py::test_")
    assert survived.verdict is Verdict.SURVIVED
    assert not survived.ok
    assert (ROOT / bug.file).read_bytes() == before
    printed = capsys.readouterr().out
    assert "1 of 2 caught" in printed
    assert "SURVIVED  another-word-in-a-docstring: Nobody notices." in printed


def test_the_test_that_objected_is_named(counter_tree: Path, tmp_path: Path) -> None:
    result = try_counter(counter_tree, tmp_path / "copy", "counts-two-at-a-time")
    assert (result.verdict, result.detail) == (Verdict.CAUGHT, "test_counter.py::test_it_counts_to_three")


def test_tests_that_hang_are_stopped_and_count_as_caught(counter_tree: Path, tmp_path: Path) -> None:
    result = try_counter(counter_tree, tmp_path / "copy", "never-ends", timeout_s=3.0)
    assert result.verdict is Verdict.HANG
    assert result.ok


def test_a_mutant_that_cannot_be_loaded_is_no_bug_that_was_caught(counter_tree: Path, tmp_path: Path) -> None:
    result = try_counter(counter_tree, tmp_path / "copy", "cannot-be-loaded")
    assert result.verdict is Verdict.BROKEN
    assert not result.ok


def test_a_planted_bug_is_taken_out_again(counter_tree: Path, tmp_path: Path) -> None:
    tree = Tree(counter_tree, tmp_path / "copy")
    for mutant in parse_catalogue(COUNTER_MUTANTS)[:1]:
        tree.try_mutant(mutant, timeout_s=30.0)
    assert (tmp_path / "copy" / "counter.py").read_text() == COUNTER
    assert tree.run_tests(("test_counter.py",), timeout_s=30.0)[0] == 0
    assert (counter_tree / "counter.py").read_text() == COUNTER


def test_tests_that_fail_without_a_mutant_prove_nothing(counter_tree: Path) -> None:
    (counter_tree / "counter.py").write_text(COUNTER.replace("count = 0", "count = 1").replace("<", "<="))
    mutants = [mutant for mutant in parse_catalogue(COUNTER_MUTANTS) if mutant.name == "never-ends"]
    with pytest.raises(MutationError, match=r"without any mutant, test_counter\.py does not pass"):
        check(mutants, root=counter_tree)


def test_a_folder_without_git_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MutationError, match="git cannot list the files"):
        Tree(tmp_path, tmp_path / "copy")


def test_the_exit_code_tells_whether_all_were_caught(counter_tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (counter_tree / "sim").mkdir()
    for file in CATALOGUES:
        (counter_tree / file).write_text("")
    (counter_tree / CATALOGUES[0]).write_text(COUNTER_MUTANTS)
    assert main(only="counts-two-at-a-time", root=counter_tree) == 0
    assert main(only="begins-below-zero", root=counter_tree) == 1
    assert main(only="nonsense", root=counter_tree) == 1
    assert "there is no mutant nonsense" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("catalogue", "complaint"),
    [
        ("file counter.py", "stands before the first mutant"),
        ("== a\nfile counter.py\ntests t.py\n-x\n+y\n", "needed are a sentence"),
        ("== a\nIt hurts.\nfile counter.py\ntests t.py\n", "every place needs `-` lines first"),
        ("== a\nIt hurts.\nfile counter.py\ntests t.py\n+y\n", "every place needs `-` lines first"),
        ("== a\nIt hurts.\nfile counter.py\ntests t.py\n-y\n+y\n", "something else instead of them"),
    ],
)
def test_an_incomplete_mutant_is_refused(catalogue: str, complaint: str) -> None:
    with pytest.raises(CatalogueError, match=complaint):
        parse_catalogue(catalogue)


def test_two_mutants_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "twice.txt").write_text(COUNTER_MUTANTS + COUNTER_MUTANTS)
    with pytest.raises(CatalogueError, match="two mutants have the name counts-two-at-a-time"):
        read_catalogue(tmp_path, ("twice.txt",))


@pytest.mark.parametrize(("old", "count"), [("    return 1", 2), ("return 1", 0), ("    return 3", 0)])
def test_a_place_must_be_there_exactly_once_and_as_whole_lines(old: str, count: int) -> None:
    text = "if a:\n    return 1\nif b:\n    return 1\n"
    mutant = parse_catalogue(f"== a\nIt hurts.\nfile a.py\ntests t.py\n-{old}\n+pass\n")[0]
    with pytest.raises(CatalogueError, match=f"found {count} times in a.py"):
        mutant.apply_to(text)


def test_several_places_are_changed_together() -> None:
    (mutant,) = parse_catalogue("== a\nIt hurts.\nfile a.py\ntests t.py\n-one\n+1\n-two\n-three\n-four\n+4\n")
    assert mutant.apply_to("one\ntwo\nthree\nfour\nfive\n") == "1\n4\nfive\n"
