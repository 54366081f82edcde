"""compact: what keeps a lake in order."""

from __future__ import annotations

from collections.abc import Sequence

import click

from lakehouse.cli.base import main


@main.command()
@click.argument("table", nargs=-1)
@click.pass_obj
def compact(root: str | None, table: Sequence[str]) -> None:
    """Merge the small files of tables; rows, releases and fingerprints stay as they are."""
    from lakehouse import care, open_lake

    lake = open_lake(root)
    for name in table or lake.names():
        version = care.compact(lake, name)
        if version is not None:
            click.echo(f"{name}: version {version}")
