"""Prints what the library returns: tables for people, JSON, CSV or parquet for programs."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lakehouse import views
from lakehouse.diff import Diff
from lakehouse.errors import StorageError, UsageError
from lakehouse.lake import Lake
from lakehouse.releases import Release
from lakehouse.reproduce import Outcome
from lakehouse.run import Plan
from lakehouse.storage import explain

WIDEST = 60  # characters of a cell that a table for people shows


def rows(table: pa.Table, form: str, output: Path | None = None) -> None:
    """`table` on stdout, or in the file `output`."""
    if output is None:
        if form == "parquet":
            raise UsageError("--format parquet writes a file: name it with --output FILE")
        if form == "table":
            _draw(table)
        else:
            click.echo(_text(table, form))
        return
    if form == "table":
        raise UsageError("--output takes --format csv, json or parquet")
    try:
        if form == "parquet":
            pq.write_table(table, output)
        else:
            output.write_text(_text(table, form) + "\n")
    except OSError as error:
        raise StorageError(explain(error, str(output))) from error


def _text(table: pa.Table, form: str) -> str:
    return (_csv(table) if form == "csv" else _json(table)).rstrip("\n")


def _json(table: pa.Table) -> str:
    """One array of objects. JSON has no NaN and no infinity: they become null."""
    for place, field in enumerate(table.schema):
        if pa.types.is_floating(field.type):
            finite = pc.if_else(pc.is_finite(table[place]), table[place], None)
            table = table.set_column(place, field.name, finite)
    return json.dumps(table.to_pylist(), default=_plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """What JSON has no type for; DuckDB's sums of integers are decimals."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value.hex() if isinstance(value, bytes) else str(value)


def _csv(table: pa.Table) -> str:
    nested = [f.name for f in table.schema if pa.types.is_nested(f.type)]
    for name in nested:
        texts = [None if v is None else json.dumps(v, default=_plain) for v in table[name].to_pylist()]
        table = table.set_column(table.schema.names.index(name), name, pa.array(texts, pa.string()))
    sink = pa.BufferOutputStream()
    pacsv.write_csv(table, sink)
    return bytes(sink.getvalue()).decode()


def _draw(table: pa.Table, title: str | None = None) -> None:
    drawn = Table(title=title, title_justify="left")
    for field in table.schema:
        number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        drawn.add_column(escape(field.name), justify="right" if number else "left", overflow="fold")
    for row in table.to_pylist():
        drawn.add_row(*[_cell(name, value) for name, value in row.items()])
    Console(width=None if sys.stdout.isatty() else 160, soft_wrap=False).print(drawn)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not name.endswith("id") and not isinstance(value, bool):
        return f"{value:,}"
    text = str(value)
    return escape(text if len(text) <= WIDEST else text[: WIDEST - 1] + "…")


def plan_fields(plan: Plan) -> dict[str, Any]:
    """A plan as plain data."""
    return {
        "stage": plan.stage.name,
        "state": _state(plan),
        "done": plan.done,
        "todo": len(plan.works),
        "why": _why(plan),
        "unreadable": list(plan.unreadable),
        "rows": plan.rows,
        "bytes": plan.bytes,
        "seconds": plan.seconds,
    }


def _state(plan: Plan) -> str:
    if plan.stale:
        return "stale"
    if plan.fresh:
        return "fresh" if plan.done else "empty"
    return "to do"


def _why(plan: Plan) -> str:
    if plan.stale:
        return "rules changed: " + "; ".join(plan.stale)
    if plan.works:
        what = "sources" if plan.stage.source == "sources" else f"batches of {plan.stage.source}"
        return f"{len(plan.works)} {what} not done yet"
    if plan.unreadable:
        return f"{len(plan.unreadable)} passed over as unreadable: `lake run --retry unreadable`"
    return "" if plan.done else f"nothing in {plan.stage.source} yet"


def status(lake: Lake, plans: Sequence[Plan]) -> None:
    """One line per stage: what it holds, whether it is fresh, and why not."""
    held: dict[str, int] = {}
    pins = lake.pins()
    for event in lake.ledger.done():
        pin = pins.get(event["key"])
        if pin and pin[0] <= event["batch"] <= pin[1]:
            held[event["key"]] = held.get(event["key"], 0) + event["rows"]
    lines = [
        {"stage": p.stage.name, "rows": held.get(p.stage.name, 0), "state": _state(p), "why": _why(p)}
        for p in plans
    ]
    _draw(pa.Table.from_pylist(lines), f"{lake.storage.root}: {len(lake.ledger.sources())} sources")


def plans(found: Sequence[Plan]) -> None:
    """What a run would do: rows in, bytes and seconds to expect where earlier batches tell."""
    lines = [
        {
            "stage": p.stage.name,
            "works": len(p.works),
            "rows in": p.rows,
            "bytes": p.bytes,
            "seconds": None if p.seconds is None else round(p.seconds),
            "why": _why(p),
        }
        for p in found
    ]
    _draw(pa.Table.from_pylist(lines), "to do; a stage whose input is not made yet shows what is known now")


def history(lake: Lake, name: str, as_json: bool) -> None:
    """The table's batches (from the ledger) and its native versions."""
    table = lake.table(name)
    batches = [
        {
            "key": e["key"],
            "batch": e["batch"],
            "generation": e["generation"],
            "version": e["version"],
            "rows": e["rows"],
            "seconds": round(e["seconds"], 2),
            "at": f"{e['at']:%Y-%m-%d %H:%M:%S}",
            "units": ", ".join(e["units"]),
        }
        for e in lake.ledger.done()
        if name in (e["key"], e["key"].partition("/")[0])
    ]
    versions = [vars(v) for v in table.history()]
    if as_json:
        click.echo(json.dumps({"batches": batches, "versions": versions}, default=str, indent=2))
        return
    if not batches:
        click.echo(f"{name} has no batches yet")
        return
    _draw(pa.Table.from_pylist(batches), f"{name}: batches")
    lines = [
        {"version": v["version"], "operation": v["operation"], "batch": v["lineage"].get("batch")}
        for v in versions
    ]
    _draw(pa.Table.from_pylist(lines), f"{name}: native versions, for `lake sql --at {name}=VERSION`")


def sample(lake: Lake, sample_id: int) -> None:
    """One row through every stage, column by column."""
    found = views.query(lake, f"select * from pairs where sample_id = {sample_id}").to_pylist()
    if not found:
        raise UsageError(f"no pair has sample_id {sample_id} at head")
    _pairs("pair", found[0])
    scores = views.query(lake, f"select scorer, value from scores where sample_id = {sample_id} order by 1")
    _pairs("scores", {row["scorer"]: row["value"] for row in scores.to_pylist()})


def _pairs(title: str, fields: Mapping[str, Any]) -> None:
    drawn = Table(title=title, title_justify="left", show_header=False)
    for name, value in fields.items():
        drawn.add_row(escape(name), escape("" if value is None else str(value)))
    Console(width=None if sys.stdout.isatty() else 160).print(drawn)


def releases(found: Sequence[Release], as_json: bool) -> None:
    """All releases, a line each."""
    lines = [
        {"name": r.name, "at": str(r.at)[:19], "rows": sum(r.counts.values()), "note": r.note} for r in found
    ]
    if as_json:
        click.echo(json.dumps(lines, indent=2))
    elif not lines:
        click.echo("no releases yet: `lake release create NAME`")
    else:
        _draw(pa.Table.from_pylist(lines))


def release(found: Release, as_json: bool) -> None:
    """One release: what it pins; as JSON all that it records."""
    if as_json:
        sums = {
            key: {"whole": f.whole_hex, "content": f.content_hex} for key, f in found.fingerprints.items()
        }
        click.echo(json.dumps({**vars(found), "fingerprints": sums}, default=str, indent=2))
        return
    lines = [
        {
            "table": key,
            "batches": f"{low}–{high}",
            "rows": found.counts[key],
            "content fingerprint": found.fingerprints[key].content_hex,
        }
        for key, (low, high) in sorted(found.pins.items())
    ]
    _draw(
        pa.Table.from_pylist(lines),
        f"{found.name}, made {found.at:%Y-%m-%d %H:%M} UTC by Pairlake {found.package}",
    )


def diff(found: Diff, names: Sequence[str], as_json: bool) -> None:
    """Rows that differ between two versions, by reason."""
    lines = [dataclasses.asdict(count) for count in found.counts]
    before, after = names
    if as_json:
        rows = {
            "before": {"name": before, "rows": found.before},
            "after": {"name": after, "rows": found.after},
        }
        click.echo(json.dumps({"view": found.view, **rows, "differences": lines}, indent=2))
        return
    title = f"{found.view}: {found.before:,} rows in {before}, {found.after:,} in {after}"
    click.echo(title if lines else f"{title}: no difference")
    if lines:
        _draw(pa.Table.from_pylist(lines))


def outcomes(found: Sequence[Outcome], as_json: bool) -> None:
    """How a release was reproduced, stage by stage; what differs is told row by row."""
    lines = [dataclasses.asdict(outcome) for outcome in found]
    if as_json:
        click.echo(json.dumps(lines, indent=2))
        return
    names = ("key", "verdict", "batches", "rows", "largest")
    _draw(pa.Table.from_pylist([{name: line[name] for name in names} for line in lines]))
    for outcome in found:
        for detail in outcome.details:
            click.echo(f"{outcome.key}: {detail}")
