"""report, gallery, card: a lake on paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from lakehouse.cli.base import main, moment_options
from lakehouse.errors import StorageError, UsageError


def to_option(default: str) -> Callable[[Any], Any]:
    """--to FILE."""
    return click.option(
        "--to", type=click.Path(dir_okay=False), default=default, show_default=True, help="The file to write."
    )


@main.command()
@to_option("report.html")
@moment_options
@click.pass_obj
def report(root: str | None, to: str, release: str | None, at: Sequence[str]) -> None:
    """Statistics as one HTML page with plots."""
    from lakehouse import open_lake
    from lakehouse.papers.report import report

    _written(to, report(open_lake(root, release=release, at=at)))


@main.command()
@click.option("--view", default="pairs", show_default=True, metavar="V", help="Whose pairs.")
@click.option("--near", required=True, metavar="SCORE=VALUE", help="The threshold: similarity=0.28.")
@click.option("-n", "each", type=click.IntRange(1, 500), default=24, show_default=True, help="Pairs a side.")
@to_option("gallery.html")
@moment_options
@click.pass_obj
def gallery(
    root: str | None, view: str, near: str, each: int, to: str, release: str | None, at: Sequence[str]
) -> None:
    """Pictures and captions on both sides of a threshold, as one HTML page."""
    from lakehouse import open_lake
    from lakehouse.papers.gallery import gallery

    score, _, value = near.partition("=")
    try:
        number = float(value)
    except ValueError as error:
        raise UsageError(f"--near {near}: expected SCORE=VALUE, such as similarity=0.28") from error
    _written(to, gallery(open_lake(root, release=release, at=at), view, score, number, each))


@main.command()
@click.option("--to", type=click.Path(dir_okay=False), help="The file to write, instead of stdout.")
@moment_options
@click.pass_obj
def card(root: str | None, to: str | None, release: str | None, at: Sequence[str]) -> None:
    """The data card: sources, rules, models, funnel, languages, safety, as Markdown from lineage."""
    from lakehouse import open_lake
    from lakehouse.papers.card import card

    text = card(open_lake(root, release=release, at=at))
    if to is None:
        click.echo(text, nl=False)
    else:
        _written(to, text)


def _written(to: str, text: str) -> None:
    try:
        Path(to).write_text(text, "utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {to}: {error.strerror}") from error
    click.echo(f"wrote {to}")
