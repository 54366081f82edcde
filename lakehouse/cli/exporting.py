"""export: what takes a subset out of a lake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from lakehouse.cli.base import cluster_options, main, moment_options

FORMATS = ("webdataset", "parquet", "datacomp", "huggingface", "urls")


@main.command()
@click.argument("form", metavar="FORMAT", type=click.Choice(FORMATS))
@click.option("--view", required=True, metavar="V", help="Whose pairs: laion2b_en, or a view of your own.")
@click.option("--to", required=True, metavar="DIR", help="An empty folder or object-store URI.")
@click.option("--rows", type=click.IntRange(1), help="Per shard; each format has its own default.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order of rows.")
@moment_options
@cluster_options
@click.pass_obj
def export(
    root: str | None,
    /,
    form: str,
    view: str,
    to: str,
    rows: int | None,
    seed: int,
    release: str | None,
    at: Sequence[str],
    **cluster: Any,
) -> None:
    """Write a view's pairs as webdataset, parquet, datacomp, huggingface or urls.

    Interrupted, the same command goes on; the same release gives the same bytes.
    """
    from lakehouse import open_lake, progress
    from lakehouse.export import FORMATS as KNOWN
    from lakehouse.export.plan import Request

    lake = open_lake(root, release=release, at=at)
    of = lake.moment.what if lake.moment else "head"
    request = Request(form, view, of, rows or KNOWN[form].rows, seed)
    manifest = progress.export(lake, request, to, cluster)
    missing = manifest["left_out"]["no_picture"]
    without = f"; {missing:,} have no stored picture" if missing else ""
    click.echo(f"{manifest['rows']:,} pairs in {manifest['shards']} shards at {to}{without}")
