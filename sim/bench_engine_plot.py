"""The results of ``tally bench engine`` as a picture: rates, and what batches take, side by side."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

from sim.bench_engine_form import COMPILED, INTERPRETED
from sim.bench_engine_results import Result

_COLORS: Final = {COMPILED: "#1f6f8b", INTERPRETED: "#e09f3e"}
_PERCENTILES: Final = (("p50_us", "p50", 1.0), ("p99_us", "p99", 0.7), ("p99_9_us", "p99.9", 0.45))
_BAR_WIDTH: Final = 0.38


class PlotError(Exception):
    """There is nothing to draw with, or nowhere to draw to."""


def check_plotting() -> None:
    """PlotError if the picture could not be drawn, before anything is measured for it."""
    _pyplot()


def plot(results: list[Result], path: Path) -> None:
    """Draw commands a second by workload and form, and beside it the percentiles of batches; both axes logarithmic."""
    pyplot = _pyplot()
    figure, (rates, latencies) = pyplot.subplots(1, 2, figsize=(13, 5), constrained_layout=True)
    workloads = list(dict.fromkeys(result["workload"] for result in results))
    forms = [form for form in _COLORS if any(result["form"] == form for result in results)]
    for form_index, form in enumerate(forms):
        mine = [result for result in results if result["form"] == form]
        middles = [
            workloads.index(result["workload"]) + (form_index - (len(forms) - 1) / 2) * _BAR_WIDTH for result in mine
        ]
        _draw_rates(rates, mine, middles, form)
        _draw_latencies(latencies, mine, middles, form)
    for axes, title, unit in (
        (rates, "Rate (median; lines: lowest and highest run)", "commands/s"),
        (latencies, f"Time of a batch of {results[0]['batch']} commands (p50, p99, p99.9)", "us"),
    ):
        _scale(axes)
        axes.set_title(title)
        axes.set_ylabel(unit)
        axes.set_xticks(range(len(workloads)), workloads)
        axes.grid(axis="y", which="major", alpha=0.3)
        axes.set_axisbelow(True)
    rates.legend(loc="upper left")
    figure.suptitle("Tallystick: the engine on one core")
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise PlotError(f"{path} cannot be written: {error}") from None
    finally:
        pyplot.close(figure)


def _draw_rates(axes: Any, results: list[Result], middles: list[float], form: str) -> None:
    heights = [result["commands_per_s"] for result in results]
    spread = [
        [result["commands_per_s"] - result["commands_per_s_min"] for result in results],
        [result["commands_per_s_max"] - result["commands_per_s"] for result in results],
    ]
    bars = axes.bar(middles, heights, _BAR_WIDTH, yerr=spread, capsize=3, color=_COLORS[form], label=form)
    axes.bar_label(bars, labels=[f"{height:,}" for height in heights], fontsize=8, padding=2)


def _draw_latencies(axes: Any, results: list[Result], middles: list[float], form: str) -> None:
    width = _BAR_WIDTH / len(_PERCENTILES)
    for index, (name, label, alpha) in enumerate(_PERCENTILES):
        places = [middle + (index - 1) * width for middle in middles]
        bars = axes.bar(places, [result[name] for result in results], width, color=_COLORS[form], alpha=alpha)
        axes.bar_label(bars, labels=[label] * len(results), fontsize=7, rotation=90, padding=2)


def _scale(axes: Any) -> None:
    """A logarithmic axis with plain numbers that begins at a power of ten and leaves room for labels above."""
    heights = [bar.get_height() for bar in axes.patches]
    axes.set_yscale("log")
    axes.set_ylim(10 ** math.floor(math.log10(min(heights) / 1.5)), 4 * max(heights))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_minor_formatter("")


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError:
        raise PlotError(
            "the plot needs matplotlib, which is among the tools for development: pip install -e '.[dev]'"
        ) from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
