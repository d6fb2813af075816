"""The page about many seeds: what it counts, what it draws, and that it needs nothing but itself."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sim.simulation_report import page, write_report
from sim.simulation_run import Outcome, Plan, run_plan
from sim.simulation_verdict import Verdict


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    return run_plan(Plan(seed=12, seconds=2.0))


class Tags(HTMLParser):
    """Whatever is opened must be closed, and nothing may come from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "img", "iframe"), tag
        assert not {"src", "href", "onclick"} & {name for name, _ in attributes}, attributes
        if tag not in ("meta", "rect", "!doctype"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "rect":
            assert self.open.pop() == tag


def test_the_page_counts_all_seeds_and_stands_alone(outcome: Outcome, tmp_path: Path) -> None:
    outcome = replace(outcome, outages_s=())
    outcomes = [outcome, replace(outcome, plan=Plan(seed=13, seconds=2.0), outages_s=(1.2, 1.3, 2.5, 50.0))]
    write_report(tmp_path / "page.html", outcomes, version="1.2.3", commit="abc1234")
    text = (tmp_path / "page.html").read_text()
    tags = Tags()
    tags.feed(text)
    assert not tags.open
    assert "seeds 12 to 13" in text and "abc1234" in text
    assert f"<b>{2 * outcome.answered:,}</b>requests answered" in text
    bars = re.findall(r'text-anchor="middle">(\d+)</text>', text)
    assert [int(bar) for bar in bars] == [2, 0, 1, 0, 0, 0, 0, 0, 0, 1]
    kind, count = next(iter(outcome.fault_counts.items()))
    assert f'<td>{kind}</td><td class="n">{2 * count:,}</td><td class="n">2</td>' in text
    assert "<p>None.</p>" in text, "no promise was broken"


def test_a_broken_promise_is_named_with_its_seed(outcome: Outcome) -> None:
    failed = replace(outcome, verdict=Verdict.FAIL, reason="two <leaders>")
    text = page([failed], version="1.2.3", commit="")
    assert '<td class="n">12</td><td class="fail">two &lt;leaders&gt;</td>' in text


def test_the_findings_are_those_of_the_docs(outcome: Outcome) -> None:
    text = page([outcome], version="1.2.3", commit="")
    assert "what would have happened" in text and "test_lost_disk.py" in text


def test_seeds_that_were_served_all_the_time_have_no_histogram(outcome: Outcome) -> None:
    assert "none longer than a second" in page([replace(outcome, outages_s=())], version="1.2.3", commit="")
