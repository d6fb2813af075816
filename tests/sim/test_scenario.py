"""A scenario's text: blocks, parts, and what a skipped line does to the rest of its part."""

from pathlib import Path

import pytest

from sim.scenario import ScenarioError, Skipped, difference, read_blocks, render_blocks, run_blocks

TEXT = """\
# The first part.
exchange with GLD 3
one
----
one happened

two
----
two happened

exchange with EUR 5
three
----
three happened
"""


def write(directory: Path, text: str = TEXT) -> Path:
    path = directory / "scenario.txt"
    path.write_text(text)
    return path


def execute(line: str) -> list[str]:
    return [] if line.startswith("exchange") else [f"{line} happened"]


def test_a_text_that_is_read_and_written_is_the_same(tmp_path: Path) -> None:
    assert render_blocks(read_blocks(write(tmp_path))) == TEXT


def test_remarks_are_not_executed(tmp_path: Path) -> None:
    executed: list[str] = []

    def record(line: str) -> list[str]:
        executed.append(line)
        return []

    run_blocks(read_blocks(write(tmp_path)), record)
    assert executed == ["exchange with GLD 3", "one", "two", "exchange with EUR 5", "three"]


def test_what_happens_as_expected_has_no_difference(tmp_path: Path) -> None:
    blocks = read_blocks(write(tmp_path))
    run = run_blocks(blocks, execute)
    assert (run.happened, run.compared, run.parts, run.skipped) == (blocks, 3, 2, [])
    assert difference(blocks, run.happened) == []


def test_what_happens_otherwise_is_shown_line_by_line(tmp_path: Path) -> None:
    blocks = read_blocks(write(tmp_path))
    run = run_blocks(blocks, lambda line: ["nothing happened"] if line == "two" else execute(line))
    assert {"-two happened", "+nothing happened"} < set(difference(blocks, run.happened))


def test_a_skipped_line_skips_the_rest_of_its_part_and_nothing_else(tmp_path: Path) -> None:
    """The blocks before it were compared. The next part begins anew."""
    executed: list[str] = []

    def skip_two(line: str) -> list[str]:
        executed.append(line)
        if line == "two":
            raise Skipped("two is too much")
        return execute(line)

    blocks = read_blocks(write(tmp_path, TEXT.replace("two\n----", "two\nafter\n----")))
    run = run_blocks(blocks, skip_two)
    assert executed == ["exchange with GLD 3", "one", "two", "exchange with EUR 5", "three"]
    assert (run.compared, run.parts, run.skipped) == (2, 2, ["two is too much"])
    assert difference(blocks, run.happened) == []


def test_a_difference_in_a_block_before_the_skipped_one_is_found(tmp_path: Path) -> None:
    def skip_two(line: str) -> list[str]:
        if line == "two":
            raise Skipped("two is too much")
        return ["nothing happened"] if line == "one" else execute(line)

    blocks = read_blocks(write(tmp_path))
    assert "+nothing happened" in difference(blocks, run_blocks(blocks, skip_two).happened)


def test_an_error_says_at_which_line_it_happened(tmp_path: Path) -> None:
    def fail(line: str) -> list[str]:
        raise ScenarioError("no such command")

    with pytest.raises(ScenarioError) as caught:
        run_blocks(read_blocks(write(tmp_path)), fail)
    assert caught.value.__notes__ == ["at the line: exchange with GLD 3"]


def test_a_block_without_a_separator_is_no_scenario(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="without the line ----: one"):
        read_blocks(write(tmp_path, "one\ntwo\n"))
