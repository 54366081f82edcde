"""import: what people have already comes into a lake."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from lakehouse.cli.base import as_json, cluster_options, group_help, main

if TYPE_CHECKING:
    from lakehouse.lake import Lake


@main.group("import", invoke_without_command=True)
@click.pass_context
def import_(ctx: click.Context) -> None:
    """Take over what img2dataset, clip-retrieval or LAION made; nothing is fetched or embedded again.

    Interrupted, the same command goes on where it was.
    """
    group_help(ctx)


@import_.command("img2dataset")
@click.argument("folder")
@as_json
@cluster_options
@click.pass_obj
def img2dataset(root: str | None, /, folder: str, as_json: bool, **cluster: Any) -> None:
    """Pairs and pictures from shards: webdataset, files or parquet."""
    from lakehouse import open_lake, progress
    from lakehouse.imports.img2dataset import find, take

    lake = open_lake(root)
    lake.storage.check_writable()
    found = find(lake, folder)
    units = progress.imported(lake, cluster, lambda client, progress: take(lake, client, found, progress))
    for stem in found.unfinished:
        click.echo(f"left out {stem}: it has no _stats.json, so img2dataset did not finish it", err=True)
    _tell(lake, units, as_json)


@import_.command("clip-retrieval")
@click.argument("folder")
@click.option("--model", metavar="M", required=True, help="A model of lake.toml: whose vectors they are.")
@as_json
@cluster_options
@click.pass_obj
def clip_retrieval(root: str | None, /, folder: str, model: str, as_json: bool, **cluster: Any) -> None:
    """Vectors of candidates: img_emb, text_emb and metadata, joined by URL and caption."""
    from lakehouse import open_lake, progress
    from lakehouse.imports.clip_retrieval import bring, find

    lake = open_lake(root)
    lake.storage.check_writable()
    found = find(lake, folder, model)
    units = progress.imported(lake, cluster, lambda client, progress: bring(lake, client, found, progress))
    _tell(lake, units, as_json)


@import_.command("laion")
@click.argument("folder")
@as_json
@cluster_options
@click.pass_obj
def laion(root: str | None, /, folder: str, as_json: bool, **cluster: Any) -> None:
    """LAION's parquet of URLs and texts, and its score files, joined by hash."""
    from lakehouse import open_lake, progress
    from lakehouse.imports.laion import bring, find

    lake = open_lake(root)
    lake.storage.check_writable()
    found = find(lake, folder)
    units = progress.imported(lake, cluster, lambda client, progress: bring(lake, client, found, progress))
    _tell(lake, units, as_json)


def _tell(lake: Lake, units: Sequence[str], as_json: bool) -> None:
    """What became of the rows of these units, per table: what came in, what stayed, what was left out."""
    from lakehouse.imports.account import account

    told = account(lake, units)
    click.echo(json.dumps(told) if as_json else "\n".join(_line(key, each) for key, each in told.items()))


def _line(key: str, told: Mapping[str, int]) -> str:
    why = ", ".join(f"{n:,} {name}" for name, n in told.items() if name not in ("in", "out"))
    return f"{key}: {told['out']:,} of {told['in']:,} rows" + (f"; {why}" if why else "")
