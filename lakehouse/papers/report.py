"""`lake report`: what sql/reports/ says of a lake, as one page with plots."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa
from markupsafe import Markup

from lakehouse import sqlfiles, views
from lakehouse.lake import Lake
from lakehouse.papers import plots
from lakehouse.papers.page import render

ROWS = 60  # of a table that a reader sees; the SQL gives the rest
#: how a file of sql/reports says that it is drawn: "Plot: bars of rows by language"
PLOT = re.compile(r"^-- Plot: (?P<kind>bars|columns) of (?P<value>\w+) by (?P<label>\w+)", re.M)


@dataclass(frozen=True)
class Section:
    """One report."""

    name: str
    about: str  # the first sentence of the file's comment
    rows: pa.Table
    plot: Markup | None


def report(lake: Lake) -> str:
    """The page, as HTML that stands alone: a section for each file of sql/reports."""
    sections = [_section(lake, name, text) for name, text in sorted(_reports(lake).items())]
    return render("report.html", lake=lake, pins=lake.pins(), sections=sections, most=ROWS)


def _reports(lake: Lake) -> dict[str, str]:
    texts = views.definitions(lake)
    return {name: texts[name] for name in sqlfiles.reports() if name in texts}


def _section(lake: Lake, name: str, text: str) -> Section:
    rows = views.query(lake, f"select * from {sqlfiles.identifier(name)}")
    about = re.match(r"-- \w+: (.*?)\n--\n", text, re.S)
    words = " ".join(about[1].replace("\n--", " ").split()) if about else ""
    return Section(name, words[:1].upper() + words[1:], rows, _plot(rows, text))


def _plot(rows: pa.Table, text: str) -> Markup | None:
    asked = PLOT.search(text)
    if asked is None or len(rows) == 0:
        return None
    found = rows.filter(rows[asked["value"]].is_valid())
    draw = plots.bars if asked["kind"] == "bars" else plots.columns
    labels = ["(none)" if label is None else label for label in found[asked["label"]].to_pylist()]
    return draw(labels, [float(value) for value in found[asked["value"]].to_pylist()], asked[0][9:])
