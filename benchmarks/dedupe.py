"""How the dedupe of candidates grows: 5, 10 and 20 million rows into one lake, then 1 % more.

Synthetic candidates go through the lake's own dedupe (`first_seen`, against the lake's keys) and its batch
protocol on two workers, `--batch` rows in four units at a time; one row in five repeats another one,
half of them one of an earlier unit, half one of its own unit. CPU seconds are those of driver and workers
together; what the same batches cost without dedupe is measured first, on a lake of its own, and taken off.

`ratio` is the allowed share of 1 % more files (3 %) divided by the measured one; the floor is reading the
lake's keys once per batch: 8 bytes a row.

    uv run python benchmarks/dedupe.py --json
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dask.dataframe as dd
import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.compute as pc
from distributed import Client
from output import show

from lakehouse import cluster, pairs, run, settings
from lakehouse import lake as lakes
from lakehouse.lake import Lake
from lakehouse.ledger import Source
from lakehouse.stages import Options, Stage
from transforms import columns
from transforms.candidates import SCHEMA, first_seen

MARKS = (0.25, 0.5, 1.0)  # of all rows: 5, 10 and 20 of 20 million
MORE = 0.01  # of all rows, added at the end
ALLOWED = 0.03  # of the building of the lake, for adding them
REPEATED = 0.2  # of the rows repeat an earlier one
UNITS = 4  # per batch
ALONE = 3  # batches that measure the cost without dedupe, the first of which is left out
URL = 1 << 40  # added to a picture's number for the key of its URL
WATCH_SECONDS = 0.1


def make(start: int, stop: int) -> pd.DataFrame:
    """Rows `start` to `stop` of the crawl as extraction would give them: a frame of `SCHEMA`."""
    numbers = pictures(start, stop)
    text = pc.cast(pa.array(numbers), pa.string())
    url = pc.binary_join_element_wise("https://pictures.example/of/", text, "/photograph.jpg", "")
    caption = pc.binary_join_element_wise(
        "photograph", text, "of a crawl, with a caption of usual length", " "
    )
    unit = f"crawl/{start}"
    rows = len(numbers)
    made = {
        "sample_id": pa.array(mixed(numbers)),
        "url": url,
        "text": caption,
        "url_id": pa.array(mixed(numbers + URL)),
        "host": pa.array(["pictures.example"] * rows),
        "language": pa.array(["en"] * rows),
        "language_probability": pa.array(np.full(rows, 0.9, np.float32)),
        "unit": pa.array([unit] * rows),
        "position": pa.array(np.arange(rows)),
    }
    arrays = [made.get(f.name, pa.nulls(rows, f.type)) for f in columns.CANDIDATES]
    table = pa.table(arrays, schema=columns.CANDIDATES)
    table = columns.with_counts(table, unit, {"in": rows})
    order = pa.array(np.full(len(table), start))
    return columns.to_pandas(table.append_column("_order", order))


def pictures(start: int, stop: int) -> np.ndarray:
    """The number of each row's picture: its own, or an earlier one's."""
    chance = np.random.default_rng(start)
    numbers = np.arange(start, stop)
    repeats = np.flatnonzero(chance.random(len(numbers)) < REPEATED)
    old, new = np.split(repeats, [len(repeats) // 2])
    numbers[old] = chance.integers(0, max(start, 1), len(old))
    numbers[new] = chance.integers(start, stop, len(new))
    return numbers


def mixed(numbers: np.ndarray) -> np.ndarray:
    """Numbers as keys, spread like hashes: splitmix64, which gives no two numbers the same."""
    x = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (x ^ (x >> np.uint64(31))).view(np.int64)


def bounds(source: Source) -> tuple[int, int]:
    """The numbers of a unit's rows."""
    return source.start or 0, source.stop or 0


def stage(dedupe: bool) -> Stage:
    """The stage candidates, with rows made instead of extracted. A unit's slice is its rows' numbers."""

    def build(lake: Lake, works: Sequence[str], options: Options) -> list[dd.DataFrame]:
        units = {source.unit: bounds(source) for source in lake.ledger.sources()}
        starts, stops = zip(*[units[work] for work in works], strict=True)
        rows = dd.from_map(make, starts, stops, meta=columns.meta(SCHEMA), enforce_metadata=False)
        if not dedupe:
            return [rows]
        pin = lake.pins().get("candidates")
        known = lake.read("candidates", [pin], ["sample_id"], pairs.KEYS) if pin else None
        return [first_seen(rows, known)]

    return Stage("candidates", "candidates", ("candidates",), "sources", "cpu", dict, build)


@dataclass
class Watch:
    """CPU seconds and memory of this process and its children, the workers."""

    peak: float = 0.0  # bytes of all together
    largest: float = 0.0  # bytes of the largest worker
    _spent: dict[int, float] = field(default_factory=dict)

    def look(self) -> float:
        """CPU seconds so far; a worker that was replaced keeps what it spent."""
        me = psutil.Process()
        sizes = []
        for process in [me, *me.children(recursive=True)]:
            try:
                times, size = process.cpu_times(), process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
            self._spent[process.pid] = times.user + times.system
            sizes.append(size)
        self.peak = max(self.peak, sum(sizes))
        self.largest = max(self.largest, *sizes[1:], 0)
        return sum(self._spent.values())


@contextmanager
def watched() -> Iterator[Watch]:
    """A Watch that looks by itself, too."""
    watch, stop = Watch(), threading.Event()

    def look() -> None:
        while not stop.wait(WATCH_SECONDS):
            watch.look()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield watch
    finally:
        stop.set()
        thread.join()


def add(lake: Lake, start: int, stop: int, each: int) -> None:
    """Registers units of `each` rows."""
    starts = range(start, stop, each)
    units = [Source(f"crawl/{a}", f"crawl/{a}", "wat", a, a, min(a + each, stop)) for a in starts]
    lake.ledger.add_sources(lambda known: units)


@dataclass(frozen=True)
class Cost:
    """What some rows cost."""

    cpu: float
    wall: float

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.cpu - other.cpu, self.wall - other.wall)


def fill(lake: Lake, client: Client, watch: Watch, rows: range, each: int, dedupe: bool = True) -> Cost:
    """Adds `rows` to the lake; returns the cost."""
    add(lake, rows.start, rows.stop, each)
    cpu, wall = watch.look(), time.monotonic()
    run.run(lake, client, [stage(dedupe)])
    return Cost(watch.look() - cpu, time.monotonic() - wall)


def measure(folder: Path, client: Client, watch: Watch, total: int, batch: int) -> dict[str, object]:
    """All figures."""
    each = batch // UNITS
    alone = lakes.init(str(folder / "alone"))
    fill(alone, client, watch, range(batch), each, dedupe=False)
    costs = fill(alone, client, watch, range(batch, ALONE * batch), each, dedupe=False)
    plain = Cost(costs.cpu / ((ALONE - 1) * batch), costs.wall / ((ALONE - 1) * batch))
    lake = lakes.init(str(folder / "lake"))
    found: dict[int, Cost] = {}
    so_far, done = Cost(0, 0), 0
    for mark in MARKS:
        rows = int(mark * total)
        cost = fill(lake, client, watch, range(done, rows), each)
        so_far, done = Cost(so_far.cpu + cost.cpu, so_far.wall + cost.wall), rows
        found[rows] = so_far
        print(f"{rows} rows: {so_far}", file=sys.stderr)
    more = int(MORE * total)
    added = fill(lake, client, watch, range(total, total + more), more)
    kept = sum(event["rows"] for event in lake.ledger.done("candidates"))
    distinct = len(np.unique(np.concatenate([pictures(*bounds(s)) for s in lake.ledger.sources()])))
    if kept != distinct:
        raise SystemExit(f"{kept} rows kept, but {distinct} different ones were made")
    first, last = min(found), max(found)
    dedupe = {rows: cost.cpu - plain.cpu * rows for rows, cost in found.items()}
    share = added.cpu / found[last].cpu
    share_of_dedupe = (added.cpu - plain.cpu * more) / dedupe[last]
    return {
        "name": "dedupe",
        "ours": round(100 * share, 2),
        "peer": 100 * ALLOWED,
        "unit": "% of the CPU seconds of building the lake, to add 1 % more",
        "ratio": round(ALLOWED / share, 2),
        "floor_ratio": round(share / MORE, 2),  # times the cost of 1 % of the rows
        "growth": round(found[last].cpu / last / (found[first].cpu / first) - 1, 3),
        "growth_wall": round(found[last].wall / last / (found[first].wall / first) - 1, 3),
        "growth_of_dedupe_alone": round(dedupe[last] / last / (dedupe[first] / first) - 1, 3),
        "share_of_dedupe_alone": round(100 * share_of_dedupe, 2),
        "share_wall": round(100 * added.wall / found[last].wall, 2),
        "microseconds_a_row": {rows: round(1e6 * cost.cpu / rows, 2) for rows, cost in found.items()},
        "microseconds_a_row_for_dedupe": {rows: round(1e6 * s / rows, 2) for rows, s in dedupe.items()},
        "microseconds_a_row_without": round(1e6 * plain.cpu, 2),
        "cpu_seconds": {rows: round(cost.cpu, 1) for rows, cost in found.items()},
        "wall_seconds": {rows: round(cost.wall, 1) for rows, cost in found.items()},
        "added_cpu_seconds": round(added.cpu, 2),
        "added_wall_seconds": round(added.wall, 2),
        "rows_made": total + more,
        "rows_kept": kept,
    }


def main() -> None:
    """Measures and prints; with --json, one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--batch", type=int, default=1_000_000, help="rows per batch, in four units")
    parser.add_argument("--memory", default="2GB", help="limit per worker")
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    here = settings.Cluster(workers=2, memory=told.memory)
    with (
        tempfile.TemporaryDirectory() as folder,
        cluster.connect(here) as client,
        watched() as watch,
    ):
        found = measure(Path(folder), client, watch, told.rows, told.batch)
    result = {
        **found,
        "peak_mb": round(watch.peak / 1e6),
        "largest_worker_mb": round(watch.largest / 1e6),
        "batch": told.batch,
        "memory": told.memory,
        "load": [round(load, 1) for load in os.getloadavg()],
    }
    show(result, told.json)


if __name__ == "__main__":
    main()
