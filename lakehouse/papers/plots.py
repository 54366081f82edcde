"""Plots as SVG text, drawn by matplotlib: they scale, print, and follow the page's light or dark colours."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from markupsafe import Markup

INK = "#78716c"  # axes and text: read on light and on dark
FILL = "#0e7490"
MOST = 30  # bars in one plot


def bars(labels: Sequence[object], values: Sequence[float], title: str) -> Markup:
    """Horizontal bars, the first on top; at most the first `MOST`."""
    labels, values = labels[:MOST], values[:MOST]
    return _drawn("barh", list(map(str, labels)), values, title, 0.24 * len(labels) + 0.6)


def columns(labels: Sequence[object], values: Sequence[float], title: str) -> Markup:
    """Upright bars in the order given: classes of unequal width."""
    return _drawn("bar", list(map(str, labels)), values, title, 2.4)


def histogram(lows: Sequence[float], values: Sequence[float], title: str) -> Markup:
    """Upright bars where their bins begin, which are of one width; bins that are not named are empty."""
    width = min((b - a for a, b in pairwise(lows)), default=1.0)
    return _drawn("bar", list(lows), values, title, 1.8, width=width, align="edge")


def _drawn(
    kind: str,
    labels: Sequence[str] | Sequence[float],
    values: Sequence[float],
    title: str,
    height: float,
    **more: Any,
) -> Markup:
    # The object-oriented interface: pyplot keeps figures alive, and opens windows where there are some
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "pairlake", "font.size": 9}):
        figure = Figure(figsize=(7, height), layout="constrained")
        axes = figure.add_subplot()
        getattr(axes, kind)(labels, values, color=FILL, **more)
        if kind == "barh":
            axes.invert_yaxis()
        elif not more and len(labels) > 12:
            axes.tick_params(axis="x", rotation=60)
        axes.set_title(title, color=INK, loc="left", fontsize=9)
        axes.tick_params(colors=INK, length=2)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(INK)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    svg = out.getvalue()
    return Markup(svg[svg.index("<svg") :])
