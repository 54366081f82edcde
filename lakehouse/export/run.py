"""Exporting a view: plan, shards on the workers, manifest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from dask.delayed import delayed
from distributed import Client, as_completed

from lakehouse import export as formats
from lakehouse import settings
from lakehouse.cluster import resources
from lakehouse.errors import LakeError, UsageError
from lakehouse.export import plan as plans
from lakehouse.export.base import FOLDER, Format, Shard, Written, store
from lakehouse.export.plan import Request
from lakehouse.fingerprints import Fingerprint, fingerprint
from lakehouse.lake import Lake
from lakehouse.moments import Moment
from lakehouse.storage import Storage, storage_errors
from lakehouse.tables.lance import LanceFormat

AT_ONCE = 64  # pictures read in a piece: from 4 MB on, Lance takes three times as long for each

Report = Callable[[int, int, int], None]  # shards done, shards in all, rows so far


def _silent(done: int, total: int, rows: int) -> None:
    pass


def export(lake: Lake, client: Client, request: Request, to: str, report: Report = _silent) -> dict[str, Any]:
    """Writes the pairs of a view to the folder or URI `to` and returns the manifest.

    An export that was interrupted goes on; one that is complete is left as it is. Raises UsageError for a
    format, view or release that does not exist, and where `to` holds something else, or pairs that were
    removed from the lake since.
    """
    if request.format not in formats.FORMATS:
        raise UsageError(f"no format {request.format!r}; there are {', '.join(formats.FORMATS)}")
    target = settings.storage_at(to)
    form = formats.FORMATS[request.format]
    plan = plans.begun(target, request)
    if plan is not None:
        plans.refuse_withdrawn(lake, plan, target)
    if plan is not None and "files" in plan:
        return plan
    if plan is None:
        plan = _result(client, delayed(_plan)(_told(lake), request, form, target))
    shards = [Shard(number, plan["shards"]) for number in range(plan["shards"])]
    results = _shards(lake, client, request, target, plan, shards, report)
    total = Fingerprint()
    for result in results:
        total += Fingerprint(0, int(result["fingerprint"], 16))
    manifest = {**plan, "fingerprint": total.content_hex, "files": [f for r in results for f in r["files"]]}
    manifest["files"] += _result(client, delayed(_finish)(_told(lake), request.format, target, manifest))
    del manifest["images_version"]
    store(target, plans.MANIFEST, json.dumps(manifest, indent=1).encode())
    with storage_errors(target.root):
        target.filesystem().delete_dir(FOLDER)
    return manifest


def _shards(
    lake: Lake,
    client: Client,
    request: Request,
    target: Storage,
    plan: dict[str, Any],
    shards: list[Shard],
    report: Report,
) -> list[dict[str, Any]]:
    """What each shard's task says of it, in order; those that an earlier try wrote are not written again."""
    found = {s.number: json.loads(target.read(_done(s))) for s in shards if target.exists(_done(s))}
    todo = [s for s in shards if s.number not in found]
    tasks = [delayed(_write)(_told(lake), request.format, target, plan, s) for s in todo]
    futures = client.compute(tasks, resources=resources(client, "io"))
    try:
        for future in as_completed(futures, loop=client.loop):
            result = _gathered(future)
            found[result["shard"]] = result
            report(len(found), len(shards), sum(r["rows"] for r in found.values()))
    finally:
        client.cancel(futures)
    return [found[shard.number] for shard in shards]


def _told(lake: Lake) -> tuple[settings.Settings, Moment | None]:
    """What a worker opens the same lake with."""
    return lake.settings, lake.moment


def _plan(
    told: tuple[settings.Settings, Moment | None], request: Request, form: Format, target: Storage
) -> dict[str, Any]:
    return plans.make(Lake(*told), request, form, target)


def _write(
    told: tuple[settings.Settings, Moment | None],
    form: str,
    target: Storage,
    plan: dict[str, Any],
    shard: Shard,
) -> dict[str, Any]:
    """Runs on a worker: one shard, from its part of the plan."""
    path = plans.part(shard.number)
    with storage_errors(target.uri(path)), target.filesystem().open_input_file(path) as file:
        rows = pq.read_table(file)
    content = _content(rows)
    pictures: Iterator[bytes] = iter(())
    if formats.FORMATS[form].pictures:
        pictures = _pictures(Lake(*told), plan["images_version"], rows[plans.PLACE].to_pylist())
        rows = rows.drop_columns(plans.PLACE)
    files = formats.FORMATS[form].write(target, shard, rows, pictures)
    result = {
        "shard": shard.number,
        "rows": len(rows),
        "fingerprint": content.content_hex,
        "files": [asdict(file) for file in files],
    }
    store(target, _done(shard), json.dumps(result).encode())
    return result


def _pictures(lake: Lake, version: int, places: list[int]) -> Iterator[bytes]:
    """The pictures at `places`, in that order."""
    images = lake.table("images")
    assert isinstance(images, LanceFormat)
    for start in range(0, len(places), AT_ONCE):
        for picture in images.at(version, places[start : start + AT_ONCE], "image"):
            yield picture.as_py()


def _content(rows: pa.Table) -> Fingerprint:
    """The sum of the rows' hashes over what every rebuild of them has: a picture is there by its sha256."""
    observed = {"batch", "attempt", plans.PLACE}
    fields = [
        field.with_metadata({"kind": "observation" if field.name in observed else "content"})
        for field in rows.schema
    ]
    return fingerprint(rows.cast(pa.schema(fields)))


def _finish(
    told: tuple[settings.Settings, Moment | None], form: str, target: Storage, manifest: dict[str, Any]
) -> list[dict[str, Any]]:
    made: list[Written] = formats.FORMATS[form].finish(target, manifest)
    made += plans.store_withdrawn(Lake(*told), manifest, target)
    return [asdict(file) for file in made]


def _done(shard: Shard) -> str:
    return f"{FOLDER}/{shard.number:05d}.json"


def _result(client: Client, task: Any) -> Any:
    return _gathered(client.compute(task, resources=resources(client, "io")))


def _gathered(future: Any) -> Any:
    """A task's result; what it raised, in one line where it is not Pairlake's own."""
    try:
        return future.result()
    except LakeError:
        raise
    except (OSError, ValueError, MemoryError, pa.ArrowException) as error:
        line = " ".join(str(error).split())
        raise LakeError(f"an export's task failed: {line[:300]}; run the same command again") from error
