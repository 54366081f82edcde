"""`lake report`: what sql/reports/ says of a lake, as one page with plots."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from lakehouse import sqlfiles, views
from lakehouse.lake import Lake
from lakehouse.papers import plots
from lakehouse.papers.page import render

ROWS = 60  # of a table that a reader sees; the SQL gives the rest
#: how a file of sql/reports says that it is drawn: "Plot: bars of rows by language", a plot for each value of
#: another column where it ends in "for each scorer"
PLOT = re.compile(
    r"^-- Plot: (?P<kind>bars|columns|histogram) of (?P<value>\w+) by (?P<label>\w+)"
    r"(?: for each (?P<each>\w+))?",
    re.M,
)


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
    title = f"{asked['value']} by {asked['label']}"
    if asked["each"] is None:
        return _drawn(found, asked, title)
    names = found[asked["each"]].unique().to_pylist()
    each = found[asked["each"]]
    return Markup().join(
        _drawn(found.filter(pc.equal(each, name)), asked, f"{name}: {title}") for name in names
    )


def _drawn(rows: pa.Table, asked: re.Match[str], title: str) -> Markup:
    labels = ["(none)" if label is None else label for label in rows[asked["label"]].to_pylist()]
    values = [float(value) for value in rows[asked["value"]].to_pylist()]
    if asked["kind"] == "histogram":
        return plots.histogram([float(label) for label in labels], values, title)
    return (plots.bars if asked["kind"] == "bars" else plots.columns)(labels, values, title)
