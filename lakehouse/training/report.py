"""The study's report: means with their intervals over seeds, differences between arms, a table and a plot."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lakehouse.training.arms import ARMS

METRICS = {
    "zero_shot_top1": "zero-shot top-1",
    "text_to_picture_r1": "text to picture R@1",
    "text_to_picture_r5": "text to picture R@5",
    "picture_to_text_r5": "picture to text R@5",
}
SHOWN = ("zero_shot_top1", "text_to_picture_r5")  # in the plot

Results = Mapping[str, Mapping[int, Mapping[str, Any]]]
"""Arm -> seed -> what `study` stored of the run."""


@dataclass(frozen=True)
class Interval:
    """A mean over n seeds and half the width of its 95 % interval (Student's t)."""

    mean: float
    half: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Interval:
        """Raises ValueError for fewer than two values."""
        from scipy.stats import t

        if len(values) < 2:
            raise ValueError("an interval over seeds needs two of them")
        error = float(np.std(values, ddof=1)) / len(values) ** 0.5
        return cls(float(np.mean(values)), float(t.ppf(0.975, len(values) - 1)) * error, len(values))

    def __str__(self) -> str:
        return f"{100 * self.mean:.2f} ± {100 * self.half:.2f} %"


def read(folder: Path) -> Results:
    """The stored runs."""
    found: defaultdict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for path in sorted(folder.glob("*.json")):
        told = json.loads(path.read_text())
        found[told["arm"]][told["seed"]] = told
    return {arm: found[arm] for arm in ARMS if arm in found}


def mean(results: Results, arm: str, metric: str) -> Interval:
    """A metric of an arm, over its seeds."""
    return Interval.of([run[metric] for run in results[arm].values()])


def difference(results: Results, arm: str, other: str, metric: str) -> Interval:
    """How much larger a metric is for `arm` than for `other`, paired by seed."""
    pairs = [(run, results[other][seed]) for seed, run in results[arm].items() if seed in results[other]]
    return Interval.of([one[metric] - two[metric] for one, two in pairs])


def write(results: Results, composition: Mapping[str, Mapping[str, int]], to: Path) -> None:
    """summary.json, table.md and study.svg in the folder `to`; prints the table."""
    summary = {
        "arms": {arm: {m: vars(mean(results, arm, m)) for m in METRICS} for arm in results},
        "differences": {
            f"{arm} - {other}": {m: vars(difference(results, arm, other, m)) for m in METRICS}
            for arm, other in (
                ("laion", "all"),
                ("laion", "random"),
                ("deduplicated", "laion"),
                ("clean", "laion"),
            )
        },
        "composition": composition,
        "cpu_seconds": sum(run["cpu_seconds"] for runs in results.values() for run in runs.values()),
    }
    (to / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    text = table(results, composition)
    (to / "table.md").write_text(text)
    plot(results, to / "study.svg")
    print(text)


def table(results: Results, composition: Mapping[str, Mapping[str, int]]) -> str:
    """Markdown: an arm a row, then the differences that the study asks about."""
    lines = [
        f"| arm | pairs | right captions | seeds | {' | '.join(METRICS.values())} | times chance |",
        f"|---|---|---|---|{'---|' * (len(METRICS) + 1)}",
    ]
    for arm, runs in results.items():
        kinds = composition[arm]
        right = sum(n for kind, n in kinds.items() if kind.startswith("right")) / sum(kinds.values())
        one = next(iter(runs.values()))
        found = {metric: mean(results, arm, metric) for metric in METRICS}
        times = found["zero_shot_top1"].mean / one["chance"]
        told = " | ".join(map(str, found.values()))
        lines.append(f"| {arm} | {one['pairs']:,} | {right:.0%} | {len(runs)} | {told} | {times:.0f} |")
    lines += [
        "",
        "| difference | zero-shot top-1, in points | text to picture R@5, in points |",
        "|---|---|---|",
    ]
    for arm, other in (("laion", "all"), ("laion", "random"), ("deduplicated", "laion"), ("clean", "laion")):
        told = " | ".join(str(difference(results, arm, other, metric)).removesuffix(" %") for metric in SHOWN)
        lines.append(f"| {arm} − {other} | {told} |")
    return "\n".join(lines) + "\n"


def plot(results: Results, to: Path) -> None:
    """A dot for each seed, the mean and its 95 % interval; a panel for each metric of `SHOWN`."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from lakehouse.papers.plots import FILL, INK

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "pairlake", "font.size": 9}):
        figure = Figure(figsize=(8, 2.6), layout="constrained")
        for axes, metric in zip(figure.subplots(1, len(SHOWN), sharey=True), SHOWN, strict=True):
            for place, (arm, runs) in enumerate(results.items()):
                found = mean(results, arm, metric)
                values = [100 * run[metric] for run in runs.values()]
                axes.plot(values, [place] * len(values), "o", color=INK, alpha=0.4, markersize=3)
                axes.errorbar(100 * found.mean, place, xerr=100 * found.half, fmt="D", color=FILL, capsize=3)
            axes.set_yticks(range(len(results)), list(results))
            axes.set_title(f"{METRICS[metric]}, %", color=INK, loc="left", fontsize=9)
            axes.set_xlim(left=0)
            axes.tick_params(colors=INK, length=2)
            for side, spine in axes.spines.items():
                spine.set_visible(side in ("left", "bottom"))
                spine.set_color(INK)
        figure.axes[0].invert_yaxis()
        figure.savefig(to, format="svg", transparent=True, metadata={"Date": None})
