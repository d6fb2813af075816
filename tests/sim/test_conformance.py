"""The engine, as an outside conformance suite sees it: in a process of its own, over stdin and stdout.

How a person runs it is in ``sim.conformance``.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tracebook.conformance import (
    AdapterFactory,
    CampaignResult,
    ConformanceConfig,
    ConformanceReport,
    ConformanceSuite,
    ExternalProcessAdapterFactory,
    campaign_profile_names,
    copy_bundled_conformance_suite,
    get_campaign_profile,
    run_campaign,
    run_conformance,
    run_qualification,
)
from tracebook.core.order import SelfTradePolicy

ROOT = Path(__file__).parents[2]
ANSWER_TIMEOUT_S = 60.0  # of a busy machine; an engine that hangs is still found

EXPRESSIBLE_CASES = [
    "fifo-lifecycle",
    "order-instructions",
    "stp-cancel-resting",
    "stp-cancel-resting-deep",
    "stp-cancel-incoming",
    "multi-symbol",
    "tick-grid",
    "deep-cancellation",
]
NOT_EXPRESSIBLE = "pro-rata-allocation"

# Traces for each profile: most for the one that includes the others, which have probes of their own in each trace.
QUALIFICATIONS = {"fifo-full-v1": 25, "fifo-limit-v1": 8, "fifo-partial-fill-v1": 8}

# An engine in which a new order goes to the front of its queue. Interpreted: what is compiled cannot be changed.
LAST_IN_FIRST_OUT = """
import os
import sys
os.environ["TALLY_PURE"] = "1"
from engine.book import BookSide
from sim.conformance import EngineUnderTest, serve_stdio

def add_in_front(side, order):
    add(side, order)
    level = side.level_of(order)
    oldest = side.oldest(level)
    if oldest is not order:
        side.pool.at(order.older).newer = 0
        level.newest, oldest.older = order.older, order.slot
        order.older, order.newer, level.oldest = 0, oldest.slot, order.slot

add, BookSide.add = BookSide.add, add_in_front
sys.exit(serve_stdio(EngineUnderTest))
"""


def candidate(*arguments: str) -> AdapterFactory:
    return ExternalProcessAdapterFactory([sys.executable, *arguments], timeout_seconds=ANSWER_TIMEOUT_S, cwd=ROOT)


OUR_ENGINE = candidate("-m", "sim.conformance")


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> ConformanceSuite:
    return copy_bundled_conformance_suite(tmp_path_factory.mktemp("suite") / "v2", suite_version="v2")


def run_case(suite: ConformanceSuite, name: str, factory: AdapterFactory) -> ConformanceReport:
    case = next(case for case in suite.cases if case.name == name)
    report = run_conformance(case.load_events(), factory, config=case.config, trace_name=name)
    assert report.compared_events > 0
    return report


def test_every_case_of_the_suite_is_run_or_known_as_not_ours(suite: ConformanceSuite) -> None:
    assert sorted(case.name for case in suite.cases) == sorted([*EXPRESSIBLE_CASES, NOT_EXPRESSIBLE])
    assert sorted(campaign_profile_names()) == sorted(QUALIFICATIONS)


@pytest.mark.parametrize("name", EXPRESSIBLE_CASES)
def test_the_engine_conforms_in_a_fixed_case(suite: ConformanceSuite, name: str) -> None:
    assert run_case(suite, name, OUR_ENGINE).divergence is None


def test_time_priority_is_not_taken_for_pro_rata(suite: ConformanceSuite) -> None:
    """The first trade is the whole incoming order for us, and the oldest order's share of it for them."""
    divergence = run_case(suite, NOT_EXPRESSIBLE, OUR_ENGINE).divergence
    assert divergence is not None
    assert (divergence.path, divergence.reference, divergence.candidate) == (
        "$.observation.trades[0].quantity",
        "3",
        "5",
    )


@pytest.mark.parametrize("profile", QUALIFICATIONS)
def test_the_engine_qualifies(profile: str) -> None:
    """Fixed cases and generated traces agree, and together they did all that the profile is about."""
    traces = QUALIFICATIONS[profile]
    result = run_qualification(OUR_ENGINE, profile, suite_version="v2", seed=42, traces=traces, events_per_trace=200)
    assert shortest_failure(result.campaign) == []
    assert result.qualified, result.to_dict()["checks"]


@pytest.mark.parametrize(("policy", "seed"), [("NONE", 7), ("CANCEL_RESTING", 1337), ("CANCEL_INCOMING", 2026)])
def test_the_engine_conforms_in_long_generated_traces(policy: str, seed: int) -> None:
    """No profile of the suite prevents self-trades, but its generator has four owners who meet all the time."""
    everything = get_campaign_profile("fifo-full-v1")
    config = ConformanceConfig(self_trade_policy=SelfTradePolicy[policy])
    profile = replace(everything, name=f"{everything.name}-{policy}", config=config)
    result = run_campaign(OUR_ENGINE, profile, seed=seed, traces=3, events_per_trace=500)
    assert shortest_failure(result) == []
    assert result.semantic_coverage.uncovered_capabilities == ()


def test_a_wrong_order_of_the_queue_is_found(suite: ConformanceSuite) -> None:
    """An engine that is last in, first out, seen through the same protocol."""
    divergence = run_case(suite, "fifo-lifecycle", candidate("-c", LAST_IN_FIRST_OUT)).divergence
    assert divergence is not None
    assert divergence.path == "$.state.books[0].bids[0].order_id"


def shortest_failure(result: CampaignResult) -> list[dict[str, Any]]:
    """The fewest events after which the engines differ, and how: to be put into a test. Empty if they never did."""
    if result.failure is None:
        return []
    reduced = result.failure.minimization
    assert reduced.report.divergence is not None
    return [*(event.to_dict() for event in reduced.events), reduced.report.divergence.to_dict()]
