"""img2dataset's output as candidates, downloads and pictures: nothing is fetched.

Its shards become sources of a lake, like crawl files: the stages candidates and downloads take rows and
pictures out of them, and what is made of them is remembered, resumed and rebuilt as everything else is.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass

from distributed import Client

from lakehouse import run
from lakehouse.errors import UsageError
from lakehouse.imports import files
from lakehouse.lake import Lake
from lakehouse.ledger import Source
from lakehouse.sources import new_units, reads_of, store_errors
from lakehouse.stages import IMG2DATASET, Options, chosen
from transforms.files import open_file
from transforms.imports import shards

STAGES = ("candidates", "downloads")


@dataclass(frozen=True)
class Found:
    """What a folder of img2dataset's holds."""

    shards: tuple[str, ...]  # paths of what holds pictures
    unfinished: tuple[str, ...]  # shards without statistics, where others have them: img2dataset was killed


def find(lake: Lake, folder: str) -> Found:
    """The shards in `folder`. Raises UsageError where there are none, or where they have no captions."""
    there = files.listed(folder)
    stems = {path.rsplit(".", 1)[0] if not there[path] else path for path in there if _is_shard(path, there)}
    done = {path.removesuffix("_stats.json") for path in there if path.endswith("_stats.json")}
    unfinished = sorted(stem for stem in stems if done and stem not in done)
    found = [_holder(lake, stem, there) for stem in sorted(stems) if stem not in unfinished]
    if not found:
        raise UsageError(
            f"no shards of img2dataset in {folder}: expected 00000.tar, 00000.parquet or folders 00000, "
            "finished (with their _stats.json)"
        )
    return Found(tuple(found), tuple(unfinished))


def _is_shard(path: str, there: Mapping[str, bool]) -> bool:
    name = posixpath.basename(path)
    if there[path]:
        return name.isdigit()
    return name.endswith((".tar", ".parquet"))


def _holder(lake: Lake, stem: str, there: Mapping[str, bool]) -> str:
    """What holds the pictures of the shard `stem`: its tar, its folder, or its table."""
    table = f"{stem}.parquet"
    holder = next((path for path in (f"{stem}.tar", stem, table) if path in there), table)
    if table in there:
        with store_errors(table), open_file(table, reads_of(lake)) as file:
            names = shards.columns_of(file, table)
        if not {"url", "caption", "key"} <= set(names):
            raise UsageError(
                f"{table} has no columns url, caption and key, so it is no shard of pairs by img2dataset: "
                f"it has {', '.join(names)[:200]}"
            )
        if holder == table and shards.picture_column(names) is None:
            raise UsageError(
                f"{table} holds no pictures, and there is neither {stem}.tar nor a folder {stem}"
            )
    return holder


def register(lake: Lake, client: Client, found: Found) -> list[Source]:
    """Makes sources of the shards that the lake does not know yet, with their hashes; returns these."""
    known = {source.path for source in lake.ledger.sources()}
    new = [path for path in found.shards if path not in known]
    digests = files.digests(client, new, lake.settings.reads)
    return lake.ledger.add_sources(new_units(IMG2DATASET, {path: [None] for path in new}, digests=digests))


def take(lake: Lake, client: Client, found: Found, progress: run.Progress | None = None) -> list[str]:
    """Takes over the shards that were found; what an interrupted call has done is not done again.

    Returns the units that the shards are. Other sources of the lake are left alone.
    """
    register(lake, client, found)
    units = [source.unit for source in lake.ledger.sources() if source.path in found.shards]
    run.run(lake, client, chosen(lake, STAGES), Options(units=frozenset(units)), progress)
    return units
