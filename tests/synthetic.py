"""A stage that makes its rows itself: the batch protocol without a crawl, in this process or its own.

Each unit of the sources is one batch of `PARTS` tasks; every tenth row is a failed download, which has
no picture, and every task drops one row. Run as a program it is a driver that a test can kill.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import dask.dataframe as dd
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from distributed import Client

from lakehouse import cluster, run, settings
from lakehouse import lake as lakes
from lakehouse.errors import LakeError
from lakehouse.fingerprints import Fingerprint, fingerprint
from lakehouse.lake import Lake
from lakehouse.ledger import Source
from lakehouse.stages import Options, Stage
from lakehouse.tables import Range
from transforms import columns
from transforms.downloads import FETCHED

UNITS = 2
PARTS = 3
ROWS = 40  # per task
TROUBLE = "SYNTHETIC_TROUBLE"  # what goes wrong in the first task of the second unit: see `trouble`


def make(part: int, unit: str, marker: str) -> pd.DataFrame:
    """One task's rows, the same whoever makes them."""
    trouble(part, unit, marker)
    first = 1_000_000 * int(unit.removeprefix("unit-")) + 1000 * part
    ids = list(range(first, first + ROWS))
    failed = [i % 10 == 9 for i in ids]
    made = {
        "url_id": pa.array(ids, pa.int64()),
        "attempt": pa.array([1] * ROWS, pa.int32()),
        "url": pa.array([f"https://host-{i % 5}.test/{i}.png" for i in ids]),
        "status": pa.array(["timeout" if bad else "success" for bad in failed]),
        "width": pa.array([None if bad else 64 for bad in failed], pa.int32()),
        "height": pa.array([None if bad else 64 for bad in failed], pa.int32()),
        "bytes": pa.array([None if bad else 5_000 for bad in failed], pa.int64()),
        "sha256": pa.array([None if bad else f"{i:064x}" for i, bad in zip(ids, failed, strict=True)]),
        "unit": pa.array([unit] * ROWS),
        "image": pa.array([None if bad else b"%d" % i * 50 for i, bad in zip(ids, failed, strict=True)]).cast(
            pa.large_binary()
        ),
    }
    fields = [field.with_nullable(True) for field in FETCHED]
    rows = pa.table([made.get(f.name, pa.nulls(ROWS, f.type)) for f in fields], schema=pa.schema(fields))
    return columns.to_pandas(columns.with_counts(rows, unit, {"in": ROWS + 1, "drop:bad": 1}))


def trouble(part: int, unit: str, marker: str) -> None:
    """`raise`: fails each time; `die`: is killed the first time; both only where a marker is named."""
    if not marker or (part, unit) != (0, "unit-1"):
        return
    kind, _, path = marker.partition(":")
    if kind == "raise" and Path(path).exists():
        raise ValueError("the picture of Dorian Gray\nhas a second line")
    if kind == "die" and not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)


def stage(marker: str = "") -> Stage:
    """The stage, named as the one whose tables it fills."""

    def build(lake: Lake, works: Sequence[str], options: Options) -> list[dd.DataFrame]:
        meta = columns.meta(columns.counted(FETCHED))
        return [
            dd.from_map(make, range(PARTS), unit=unit, marker=marker, meta=meta, enforce_metadata=False)
            for unit in works
        ]

    return Stage(
        "downloads", "downloads", ("downloads", "images"), "sources", "io", lambda: {"rule": 1}, build
    )


def new(root: Path | str, units: int = UNITS) -> Lake:
    """A lake with sources and no rows."""
    lake = lakes.init(str(root), "[lake]\nschema = 1\n[batches]\nunits = 1\n")
    return with_sources(lake, units)


def with_sources(lake: Lake, units: int = UNITS) -> Lake:
    """Registers the units."""
    found = [Source(f"unit-{n}", f"unit-{n}", "wat", n) for n in range(units)]
    lake.ledger.add_sources(lambda known: [source for source in found if source not in known])
    return lake


def fill(lake: Lake, client: Client, marker: str = "") -> int:
    """Runs the stage; returns the number of batches that it committed."""
    return run.run(lake, client, [stage(marker)])


def content(lake: Lake) -> dict[str, tuple[int, int, int]]:
    """Per table: rows, distinct keys, content fingerprint, all read back from the table through pins."""
    found = {}
    for key, (low, high) in lake.pins().items():
        rows = lake.table(key).arrow([Range(low, high)])
        found[key] = (len(rows), len(set(rows["url_id"].to_pylist())), fingerprint(rows).content)
    return found


def expected(units: int = UNITS) -> dict[str, tuple[int, int, int]]:
    """What `content` gives for a lake in which nothing went wrong, computed without one."""
    total, pictures, rows = Fingerprint(), Fingerprint(), units * PARTS * ROWS
    for unit in range(units):
        for part in range(PARTS):
            frame = make(part, f"unit-{unit}", "")
            made = columns.to_arrow(frame[frame[columns.COUNT].isnull()], pa.schema(FETCHED))
            total += fingerprint(made.select(columns.DOWNLOADS.names).cast(columns.DOWNLOADS))
            have = made.filter(pc.is_valid(made["image"])).select(columns.IMAGES.names)
            pictures += fingerprint(have.cast(columns.IMAGES))
    kept = rows * 9 // 10
    return {"downloads": (rows, rows, total.content), "images": (kept, kept, pictures.content)}


def assert_ledger_agrees(lake: Lake) -> None:
    """Counts and fingerprints in the ledger are those of the rows, batch by batch."""
    for event in lake.ledger.done():
        rows = lake.table(event["key"]).arrow([Range(event["batch"], event["batch"])])
        sums = fingerprint(rows)
        assert (f"{sums.whole:032x}", f"{sums.content:032x}") == (event["whole"], event["content"])
        counts = {c["name"]: c["n"] for c in event["counts"]}
        dropped = sum(n for name, n in counts.items() if name.startswith("drop:"))
        assert counts["in"] - dropped == event["rows"] == len(rows)
        assert all(lake.storage.sha256(f["path"]) == f["sha256"] for f in event["files"])


def drive(root: Path | str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A driver in a process of its own; `SCHEDULER` names a cluster that it uses."""
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here.parent), str(here)])
    return subprocess.run(
        [sys.executable, "-c", "import synthetic; synthetic.main()", str(root)],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def main() -> None:
    """Fills the lake at the root given as the argument."""
    lake = lakes.open_lake(sys.argv[1])
    here = settings.Cluster(scheduler=os.environ.get("SCHEDULER", ""), workers=1, memory="2GB")
    with cluster.connect(here) as client:
        try:
            print(fill(lake, client, os.environ.get(TROUBLE, "")))
        except LakeError as error:
            sys.exit(str(error))
