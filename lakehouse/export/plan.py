"""What an export holds: which rows, in which order, in which shard, and where their pictures are.

The plan is made once, on a worker, and lies in the export's folder while it is being written: a parquet file
per shard. So rows are chosen at one moment, and every shard can be written again from its part alone.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse import tombstones, views
from lakehouse.errors import UsageError
from lakehouse.events import REMOVALS
from lakehouse.export.base import FOLDER, Format, Written, store, store_parquet
from lakehouse.lake import Lake
from lakehouse.relations import ranges_of
from lakehouse.sqlfiles import identifier, literal
from lakehouse.storage import Storage
from lakehouse.tables.lance import LanceFormat

FILE = f"{FOLDER}/plan.json"
MANIFEST = "manifest.json"
WITHDRAWN = "withdrawn.txt"
PLACE = "place"  # of a picture in the images table, at the version in the plan


@dataclass(frozen=True)
class Request:
    """What is asked for."""

    format: str
    view: str
    of: str  # what the lake was opened at: "head", or a moment in words
    shard_rows: int
    seed: int


def part(number: int) -> str:
    """Where the plan's part of a shard is."""
    return f"{FOLDER}/{number:05d}.parquet"


def begun(target: Storage, request: Request) -> dict[str, Any] | None:
    """The plan, or the manifest, that is in the folder already; None where it is empty.

    Raises UsageError where the folder holds another export, or something else.
    """
    for name in (MANIFEST, FILE):
        if target.exists(name):
            found: dict[str, Any] = json.loads(target.read(name))
            other = {key: value for key, value in asdict(request).items() if found[key] != value}
            if other:
                was = ", ".join(f"{key} {found[key]}" for key in other)
                raise UsageError(f"{target.root} holds another export ({was}): choose another folder")
            return found
    if target.is_local and Path(target.root).is_file():
        raise UsageError(f"{target.root} is a file: an export wants a folder of its own")
    if target.is_local and any(not f.base_name.startswith(FOLDER) for f in _entries(target)):
        raise UsageError(f"{target.root} is not empty, and what is in it is no export: choose another folder")
    return None


def make(lake: Lake, request: Request, form: Format, target: Storage) -> dict[str, Any]:
    """Runs the view and writes the plan; returns what the manifest will begin with."""
    sql = views.definition(lake, request.view)
    pins = lake.pins()
    images = lake.table("images")
    assert isinstance(images, LanceFormat)
    version, places = images.places(ranges_of("images", pins))
    plan: dict[str, Any] = {
        **asdict(request),
        "view_sha256": hashlib.sha256(json.dumps(sql, sort_keys=True).encode()).hexdigest(),
        "pins": {key: list(pin) for key, pin in pins.items()},
        "package": importlib.metadata.version("pairlake"),
        "removals": len(lake.ledger.done(REMOVALS)),
        "images_version": version if form.pictures else None,
    }
    with views.connect(lake, None if lake.moment else pins, only=["pairs", request.view]) as connection:
        connection.register("_places", places)
        with views.sql_errors(f"view {request.view}: "):
            chosen = connection.execute(_query(request, form)).to_arrow_reader(request.shard_rows)
            plan |= _write(target, chosen, request.shard_rows, form.pictures)
    store(target, FILE, json.dumps(plan).encode())
    return plan


def refuse_withdrawn(lake: Lake, plan: Mapping[str, Any], target: Storage) -> None:
    """Raises UsageError where rows were taken out of the lake that a begun or complete export may have."""
    pins = {key: (low, high) for key, (low, high) in plan["pins"].items()}
    since = pc.greater(tombstones.pairs(lake, pins)["removal"], plan.get("removals", 0))
    if gone := pc.sum(since).as_py():
        raise UsageError(
            f"{gone:,} pairs were removed from the lake since {target.root} was exported, and may be in it: "
            "delete it, then run the same command again"
        )


def store_withdrawn(lake: Lake, plan: Mapping[str, Any], target: Storage) -> list[Written]:
    """Names the pairs that were removed from the exported batches, for owners of earlier copies."""
    pins = {key: (low, high) for key, (low, high) in plan["pins"].items()}
    found = tombstones.pairs(lake, pins)
    found = found.filter(pc.less_equal(found["removal"], plan["removals"]))
    ids = pc.unique(found["sample_id"]).sort().to_pylist()
    if not ids:
        return []
    return [store(target, WITHDRAWN, "".join(f"sample_id:{key}\n" for key in ids).encode())]


def _entries(target: Storage) -> list[Any]:
    import pyarrow.fs as pafs

    return list(target.filesystem().get_file_info(pafs.FileSelector("", allow_not_found=True)))


def _query(request: Request, form: Format) -> str:
    view = identifier(request.view)
    seed = literal(str(request.seed))
    place = f", _places.{PLACE}" if form.pictures else ""
    joined = "left join _places on pairs.url_id = _places.url_id" if form.pictures else ""
    return (
        f"select pairs.*{place} from pairs {joined} "
        f"where pairs.sample_id in (select sample_id from {view}) "
        f"order by {form.order.replace('$seed', seed)}"
    )


def _write(target: Storage, chosen: pa.RecordBatchReader, size: int, pictures: bool) -> dict[str, Any]:
    """Cuts the rows into shards of `size`; those without a picture are left out where one is needed."""
    waiting, rows, shards, without = [], 0, 0, 0
    pending = 0
    for batch in chosen:
        table = pa.Table.from_batches([batch])
        if pictures:
            kept = table.filter(table[PLACE].is_valid())
            without += len(table) - len(kept)
            table = kept
        waiting.append(table)
        pending += len(table)
        while pending >= size:
            joined = pa.concat_tables(waiting)
            store_parquet(target, part(shards), joined.slice(0, size))
            waiting, pending = [joined.slice(size)], pending - size
            rows, shards = rows + size, shards + 1
    if pending:
        store_parquet(target, part(shards), pa.concat_tables(waiting))
        rows, shards = rows + pending, shards + 1
    return {"rows": rows, "shards": shards, "left_out": {"no_picture": without}}
