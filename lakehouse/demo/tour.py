"""`lake demo`: the embedded web becomes a lake, through the real stages over real HTTP."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from lakehouse import progress, run, search, show, sources, views
from lakehouse.demo import pages, server, wat
from lakehouse.errors import NoLakeError, UsageError
from lakehouse.lake import Lake, init, open_lake
from lakehouse.settings import storage_at
from lakehouse.stages import Options, stages

# As on a mirror of Common Crawl, so that units keep their names wherever the lake is
CRAWL = "crawl-data/DEMO-2026-03/wat"
QUESTION = "a bicycle"
SUBSET = """\
select similarity, language, text, url
from laion2b_multi
order by similarity desc, url
limit 8"""

LAKE_TOML = """\
# The lake of `lake demo`. Times are short because its web is on this machine: one server there
# answers after half a second, one after many.
[lake]
schema = 1

[network]
user_agent = "PairlakeDemo/0.1 (+https://pictures.emoji.test/contact)"
host_delay_seconds = 0

[downloads]
read_seconds = 2.0
total_seconds = 10.0
retries = 0

[batches]
units = 2
rows = 128

[models.demo]
"""


def run_demo(root: str, cluster: Mapping[str, Any]) -> None:
    """Builds the demo's lake at `root`, or finds it fresh; prints the funnel, a subset and a search."""
    started = time.monotonic()
    lake = _opened(root)
    web = pages.build()
    files = wat.write_wats(web, Path(lake.storage.root) / CRAWL)
    new = sources.add(lake, "wat", [str(path) for path in files])
    if new:
        _say(f"a web of {len(web.pages)} pages, crawled into {len(files)} WAT files: {files[0].parent}")
    todo = [run.plan(lake, stage) for stage in stages(lake)]
    if all(plan.fresh for plan in todo):
        _say("everything is fresh: this lake is built, and nothing was done")
    else:
        with server.serve(web) as address:
            network = dataclasses.replace(lake.settings.network, resolve={"*.test": address})
            lake = Lake(dataclasses.replace(lake.settings, network=network))
            progress.run(lake, stages(lake), Options(), cluster)
        _say(f"built in {time.monotonic() - started:.0f} s")
    _print(lake, root)


def _opened(root: str) -> Lake:
    try:
        lake = open_lake(root)
    except NoLakeError:
        if not storage_at(root).is_local:
            raise UsageError("the demo's lake is a local folder: give a path as --root") from None
        return init(root, LAKE_TOML)
    if [model.name for model in lake.settings.models] != ["demo"]:
        raise UsageError(f"the lake at {root} is not the demo's: give another folder with --root")
    return lake


def _print(lake: Lake, root: str) -> None:
    click.echo("\nFrom links to pairs: what came in, what stayed, and why the rest did not")
    show.rows(views.query(lake, "select * from funnel"), "table")
    click.echo(f"\nA subset, by SQL:\n{SUBSET}")
    show.rows(views.query(lake, SUBSET), "table")
    click.echo(f"\nPictures nearest to {QUESTION!r}, by the lake's own embeddings")
    found = search.find(lake, search.Query(text=QUESTION, k=5, collapse="same"))
    show.rows(found.rows.drop_columns("sample_id"), "table")
    click.echo(
        "\nNext, try:\n"
        f'  uv run lake --root {root} sql "select language, count(*) from pairs group by 1"\n'
        f"  uv run lake --root {root} release create v1\n"
        f"  uv run lake --root {root} status"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr)
