"""status, history, show, sql, views: what only reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from lakehouse.cli.base import FORMATS, as_json, main, moment_options
from lakehouse.errors import UsageError


@main.command()
@as_json
@click.pass_obj
def status(root: str | None, as_json: bool) -> None:
    """Which stages are fresh, which are not, and why."""
    from lakehouse import open_lake, show
    from lakehouse.run import plan
    from lakehouse.stages import stages

    lake = open_lake(root)
    plans = [plan(lake, stage) for stage in stages(lake)]
    if as_json:
        click.echo(json.dumps([show.plan_fields(p) for p in plans], indent=2))
    else:
        show.status(lake, plans)


@main.command()
@click.argument("table")
@as_json
@click.pass_obj
def history(root: str | None, table: str, as_json: bool) -> None:
    """A table's batches and native versions, with their lineage."""
    from lakehouse import open_lake, show

    show.history(open_lake(root), table, as_json)


# About half of all ids are negative: "-5" is one, and no option
@main.command("show", context_settings={"ignore_unknown_options": True})
@click.argument("sample_id", type=int)
@click.pass_obj
def show_(root: str | None, sample_id: int) -> None:
    """One row through every stage."""
    from lakehouse import open_lake, show

    show.sample(open_lake(root), sample_id)


def _numbers(given: Sequence[str], option: str) -> dict[str, float]:
    """NAME=VALUE arguments as a dict."""
    found = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            found[name] = float(value)
        except ValueError as error:
            raise UsageError(f"{option} {text}: expected NAME=VALUE, where VALUE is a number") from error
    return found


@main.command()
@click.argument("query")
@moment_options
@click.option("--set", "thresholds", multiple=True, metavar="NAME=VALUE", help="Try another threshold.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("--output", type=click.Path(dir_okay=False), help="Write to a file; parquet needs one.")
@click.pass_obj
def sql(
    root: str | None,
    query: str,
    release: str | None,
    at: Sequence[str],
    thresholds: Sequence[str],
    form: str,
    output: str | None,
) -> None:
    """SQL over the views, at head, at a release, at a time or at native versions."""
    from lakehouse import open_lake, show, views

    lake = open_lake(root, release=release, at=at)
    rows = views.query(lake, query, thresholds=_numbers(thresholds, "--set"))
    show.rows(rows, form, Path(output) if output else None)


@main.command()
@click.option("--sql", "as_sql", is_flag=True, help="As a script for the DuckDB shell.")
@moment_options
@click.pass_obj
def views(root: str | None, as_sql: bool, release: str | None, at: Sequence[str]) -> None:
    """The lake's views: their names, or a script that makes them in the DuckDB shell."""
    from lakehouse import open_lake, views

    lake = open_lake(root, release=release, at=at)
    click.echo(views.script(lake) if as_sql else "\n".join(views.names(lake)))
