"""How much of the data passes through the driver: none, by the batch protocol.

A synthetic stage of many rows with a payload each goes through claim, write, commit and done on a local
cluster, while this process (driver, scheduler and client in one) watches its own memory. The peer makes
the same rows on the same cluster into a Delta table with deltalake's own `write_deltalake`, which takes
them one partition at a time from the process that calls it.

    uv run python benchmarks/driver_memory.py --rows 5000000 --payload 800 --json
"""

from __future__ import annotations

import argparse
import pickle
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import dask.dataframe as dd
import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
from deltalake import write_deltalake
from distributed import Client
from output import show

from lakehouse import cluster, run, settings
from lakehouse import lake as lakes
from lakehouse.lake import Lake
from lakehouse.ledger import Source
from lakehouse.stages import Options, Stage
from transforms import columns
from transforms.downloads import FETCHED

MEGABYTE = 1_000_000
ROWS_PER_TASK = 10_000
IN_FLIGHT = 4  # partitions that the peer's cluster works ahead
WATCH_SECONDS = 0.02


def make(task: int, rows: int, payload: int) -> pd.DataFrame:
    """`rows` successful downloads whose pictures are `payload` random bytes."""
    ids = np.arange(task * rows, (task + 1) * rows)
    offsets = pa.py_buffer((np.arange(rows + 1) * payload).astype("<i8"))
    data = pa.py_buffer(np.random.default_rng(task).bytes(rows * payload))
    made = {
        "url_id": pa.array(ids),
        "attempt": pa.array(np.ones(rows, "i4")),
        "url": pa.array([f"https://example.test/{i}.jpg" for i in ids]),
        "status": pa.array(["success"] * rows),
        "unit": pa.array(["unit"] * rows),
        "image": pa.Array.from_buffers(pa.large_binary(), rows, [None, offsets, data]),
    }
    schema = pa.schema([field.with_nullable(True) for field in FETCHED])
    table = pa.table([made.get(f.name, pa.nulls(rows, f.type)) for f in schema], schema=schema)
    return columns.to_pandas(columns.with_counts(table, "unit", {"in": rows}))


def frame(rows: int, payload: int) -> dd.DataFrame:
    """All rows, `ROWS_PER_TASK` a partition."""
    meta = columns.meta(columns.counted(FETCHED))
    tasks = range(max(1, rows // ROWS_PER_TASK))
    made: dd.DataFrame = dd.from_map(
        make, tasks, rows=rows // len(tasks), payload=payload, meta=meta, enforce_metadata=False
    )
    return made


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Seconds, and by how many bytes this process grew at its largest."""
    process, stop = psutil.Process(), threading.Event()
    before = process.memory_info().rss
    found = {"seconds": 0.0, "bytes": 0.0}

    def watch() -> None:
        while not stop.wait(WATCH_SECONDS):
            found["bytes"] = max(found["bytes"], process.memory_info().rss - before)

    thread = threading.Thread(target=watch)
    thread.start()
    started = time.monotonic()
    try:
        yield found
    finally:
        found["seconds"] = time.monotonic() - started
        stop.set()
        thread.join()


def through_the_protocol(
    client: Client, folder: Path, rows: int, payload: int
) -> tuple[Lake, dict[str, float]]:
    """The rows as one batch of `downloads` and `images`."""

    def build(lake: Lake, works: Sequence[str], options: Options) -> list[dd.DataFrame]:
        return [frame(rows, payload)]

    lake = lakes.init(str(folder))
    lake.ledger.add_sources(lambda known: [Source("unit", "unit", "wat", 0)])
    stage = Stage("downloads", "downloads", ("downloads", "images"), "sources", "io", dict, build)
    with watched() as ours:
        run.run(lake, client, [stage])
    return lake, ours


def through_the_driver(client: Client, folder: Path, rows: int, payload: int) -> dict[str, float]:
    """The rows by way of this process, `IN_FLIGHT` partitions at a time."""
    schema = pa.schema([field.with_nullable(True) for field in FETCHED])
    parts = frame(rows, payload).to_delayed()

    def batches() -> Iterator[pa.RecordBatch]:
        waiting = [client.compute(part) for part in parts[:IN_FLIGHT]]
        for part in [*parts[IN_FLIGHT:], *[None] * len(waiting)]:
            made = waiting.pop(0).result()
            if part is not None:
                waiting.append(client.compute(part))
            rows = made[made[columns.COUNT].isnull()]
            yield from columns.to_arrow(rows, schema).to_batches()

    with watched() as peer:
        write_deltalake(str(folder), pa.RecordBatchReader.from_batches(schema, batches()))
    return peer


def main() -> None:
    """Measures both and prints what was found; with --json, one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--payload", type=int, default=800, help="bytes per row")
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        cluster.connect(settings.Cluster(workers=2)) as client,
    ):
        # What a first run loads for good is not the data's doing
        through_the_protocol(client, Path(folder) / "warm", 2 * ROWS_PER_TASK, told.payload)
        lake, ours = through_the_protocol(client, Path(folder) / "lake", told.rows, told.payload)
        files = [event["files"] for event in lake.ledger.done()]
        written = sum(event["bytes"] for event in lake.ledger.done())
        rows = {event["key"]: event["rows"] for event in lake.ledger.done()}
        total = psutil.Process().memory_info().rss
        through_the_driver(client, Path(folder) / "warm-peer", 2 * ROWS_PER_TASK, told.payload)
        peer = through_the_driver(client, Path(folder) / "peer", told.rows, told.payload)
    result = {
        "name": "driver_memory",
        "ours": round(ours["bytes"] / MEGABYTE, 1),
        "peer": round(peer["bytes"] / MEGABYTE, 1),
        "unit": "MB by which the driver grew",
        "ratio": round(max(peer["bytes"], 1) / max(ours["bytes"], 1), 3),
        # times the least that must come back: name, size and checksum of every data file
        "floor_ratio": round(ours["bytes"] / len(pickle.dumps(files)), 1),
        "rows": rows,
        "payload_bytes": told.rows * told.payload,
        "written_bytes": written,
        "driver_total_mb": round(total / MEGABYTE, 1),
        "seconds": round(ours["seconds"], 1),
        "peer_seconds": round(peer["seconds"], 1),
    }
    show(result, told.json)


if __name__ == "__main__":
    main()
