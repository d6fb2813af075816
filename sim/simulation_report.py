"""A page about many seeds: what was run, what went wrong, what was found, and for how long nobody was served.

One file with everything in it: no script, no font, no picture from anywhere else.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

from sim.simulation_run import Outcome
from sim.simulation_verdict import Verdict

FINDINGS: Final = Path(__file__).parents[1] / "docs" / "findings.md"
BUCKETS_S: Final = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 40.0)
"""Where the bars of the histogram begin; the last one has everything above."""

_BAR_PX: Final = 62
_HEIGHT_PX: Final = 180
_CODE: Final = re.compile(r"`([^`]*)`")
_LINK: Final = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1b2733;background:#fff}
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2.2rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.3rem .6rem}
tr{border-bottom:1px solid #dde3ea}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
code{font:13px ui-monospace,monospace;background:#f1f4f7;padding:0 .2em}.fail{color:#a40000;font-weight:600}
.figures{display:flex;flex-wrap:wrap;gap:1rem}
.figures div{border:1px solid #dde3ea;border-radius:6px;padding:.5rem 1rem}
.figures b{display:block;font-size:1.35rem}svg text{font:12px system-ui,sans-serif;fill:#1b2733}
"""


def write_report(path: Path, outcomes: Sequence[Outcome], *, version: str, commit: str) -> None:
    """OSError if the file cannot be written."""
    path.write_text(page(outcomes, version=version, commit=commit), encoding="utf-8")


def page(outcomes: Sequence[Outcome], *, version: str, commit: str) -> str:
    """The HTML. ``outcomes`` are in the order of their seeds, and at least one."""
    seeds = [outcome.plan.seed for outcome in outcomes]
    title = f"Tallystick {version}: what the simulator did"
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p>Commit <code>{html.escape(commit or 'unknown')}</code>, seeds {seeds[0]} to {seeds[-1]}, "
        f"{outcomes[0].plan.nodes} replicas, {outcomes[0].plan.seconds / 60:g} virtual minutes of trade each. "
        "The same seed does the same again on the same commit: <code>tally sim --seed N</code>.</p>",
        _figures(outcomes),
        "<h2>Faults that struck</h2>",
        _fault_table(outcomes),
        "<h2>Time without service</h2>",
        _histogram([outage_s for outcome in outcomes for outage_s in outcome.outages_s]),
        "<h2>Broken promises in these runs</h2>",
        _failures(outcomes),
        "<h2>Failures found by the simulator, and mended</h2>",
        _findings(FINDINGS.read_text(encoding="utf-8") if FINDINGS.exists() else ""),
    ]
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _figures(outcomes: Sequence[Outcome]) -> str:
    verdicts = Counter(outcome.verdict for outcome in outcomes)
    virtual_s = sum(outcome.virtual_s for outcome in outcomes)
    ratios = [outcome.virtual_s / outcome.cpu_s for outcome in outcomes]
    figures = [
        (f"{len(outcomes):,}", "seeds"),
        (", ".join(f"{verdicts[verdict]} {verdict.value}" for verdict in Verdict), "verdicts"),
        (f"{virtual_s / 3600:.2f}", "virtual hours"),
        (f"{sum(sum(outcome.fault_counts.values()) for outcome in outcomes):,}", "faults"),
        (f"{sum(outcome.answered for outcome in outcomes):,}", "requests answered"),
        (f"{sum(outcome.reads for outcome in outcomes):,}", "reads checked"),
        (f"{sum(outcome.checks for outcome in outcomes):,}", "checks by the onlooker"),
        (f"{median(ratios):.0f} ({min(ratios):.0f} to {max(ratios):.0f})", "times faster than real time"),
    ]
    return '<div class="figures">' + "".join(f"<div><b>{value}</b>{name}</div>" for value, name in figures) + "</div>"


def _fault_table(outcomes: Sequence[Outcome]) -> str:
    total: Counter[str] = Counter()
    seeds: Counter[str] = Counter()
    for outcome in outcomes:
        total.update(outcome.fault_counts)
        seeds.update(outcome.fault_counts.keys())
    rows = "".join(
        f'<tr><td>{html.escape(kind)}</td><td class="n">{count:,}</td><td class="n">{seeds[kind]:,}</td></tr>'
        for kind, count in total.most_common()
    )
    return f'<table><tr><th>kind</th><th class="n">times</th><th class="n">in seeds</th></tr>{rows}</table>'


def _histogram(outages_s: Sequence[float]) -> str:
    """How many outages were how long."""
    if not outages_s:
        return "<p>There was none longer than a second.</p>"
    ends_s = [*BUCKETS_S[1:], float("inf")]
    counts = [
        sum(low <= outage_s < high for outage_s in outages_s) for low, high in zip(BUCKETS_S, ends_s, strict=True)
    ]
    scale = _HEIGHT_PX / max(counts)
    bars = []
    for number, (low_s, count) in enumerate(zip(BUCKETS_S, counts, strict=True)):
        left, height = 10 + number * _BAR_PX, count * scale
        middle = left + _BAR_PX / 2 - 4
        label = f"{low_s:g}" + (f" to {BUCKETS_S[number + 1]:g}" if number + 1 < len(BUCKETS_S) else " s on")
        bars.append(
            f'<rect x="{left}" y="{20 + _HEIGHT_PX - height:.1f}" width="{_BAR_PX - 8}" height="{height:.1f}" '
            f'fill="#3f6fa5"/><text x="{middle}" y="{14 + _HEIGHT_PX - height:.1f}" text-anchor="middle">{count}</text>'
            f'<text x="{middle}" y="{36 + _HEIGHT_PX}" text-anchor="middle">{label}</text>'
        )
    width, height_px = 20 + len(BUCKETS_S) * _BAR_PX, _HEIGHT_PX + 44
    ordered = sorted(outages_s)
    at_99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return (
        f'<svg viewBox="0 0 {width} {height_px}" width="{width}" role="img" '
        f'aria-label="Histogram of times without service, in seconds">{"".join(bars)}</svg>'
        f"<p>Seconds in which no request was answered although requests were waiting, where it was longer than one: "
        f"{len(ordered):,} times, median {median(ordered):.1f} s, 99 % at most {at_99:.1f} s, longest "
        f"{ordered[-1]:.1f} s. Faults come one after the other here, and several at once take a majority away for as "
        "long as they last: this is no forecast for a cluster in operation.</p>"
    )


def _failures(outcomes: Sequence[Outcome]) -> str:
    failed = [outcome for outcome in outcomes if outcome.verdict is Verdict.FAIL]
    if not failed:
        return "<p>None.</p>"
    rows = "".join(
        f'<tr><td class="n">{outcome.plan.seed}</td><td class="fail">{html.escape(outcome.reason)}</td></tr>'
        for outcome in failed
    )
    return f'<table><tr><th class="n">seed</th><th>what was broken</th></tr>{rows}</table>'


def _findings(markdown: str) -> str:
    """The table of docs/findings.md."""
    lines = [line for line in markdown.splitlines() if line.startswith("|") and not line.startswith("|---")]
    if not lines:
        return "<p>The list is docs/findings.md in the source.</p>"
    cells = [[_inline(cell.strip()) for cell in line.strip("|").split("|")] for line in lines]
    head = "".join(f"<th>{cell}</th>" for cell in cells[0])
    rows = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in cells[1:])
    return f"<table><tr>{head}</tr>{rows}</table>"


def _inline(text: str) -> str:
    return _LINK.sub(r"\1", _CODE.sub(r"<code>\1</code>", html.escape(text)))
