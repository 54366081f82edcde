"""What a lake that has grown for long looks like, made without its rows: logs, fragments and ledgers.

Data files are hard links to one file of a few rows, so that a table of 100,000 files takes a minute to make
and no room; logs, manifests and ledgers are those that the lake's own protocol writes. Each size is made and
measured in a process of its own, whose peak memory counts; benchmarks/scale.py starts them.

    uv run python benchmarks/growth.py delta 100000
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import CommitProperties

from lakehouse import lake as lakes
from lakehouse import releases, run, views
from lakehouse.fingerprints import Fingerprint
from lakehouse.lake import Lake, open_lake
from lakehouse.ledger import Result
from lakehouse.schema import LEDGER
from lakehouse.stages import stages
from lakehouse.tables import DataFile, Range
from lakehouse.tables.delta import append

COMMITS = 100  # that the files of a table come in
TAKEN = 100  # rows fetched by their key, as a page of results is
FILES = 4  # per batch and key of a made ledger: what a task writes
UNITS = 4  # per batch of candidates
TOML = '[lake]\nschema = 1\n[models.demo]\n[scores]\nscorers = ["similarity_demo"]\n'
KEYS = (
    ("candidates",),
    ("downloads", "images"),
    ("embeddings_demo",),
    ("scores/similarity_demo",),
    ("stored_pairs",),
)


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, all threads, and what came of it; another load changes them little."""
    started = time.process_time()
    found = call()
    return time.process_time() - started, found


def tables(form: str, folder: Path, files: int) -> dict[str, float]:
    """A table of so many files of one row, in `COMMITS` commits by the protocol."""
    lake = lakes.init(str(folder / "lake"), TOML)
    key = {"delta": "candidates", "lance": "images"}[form]
    found = {"files": float(files)}
    for batch in range(1, COMMITS + 1):
        seconds = commit(lake, key, batch, files // COMMITS)
        found["commit_first" if batch == 1 else "commit_last"] = seconds
    lake = open_lake(str(folder / "lake"))
    table = lake.table(key)
    found["open"], _ = timed(lambda: table.version())
    found["pins"], pins = timed(lake.pins)
    found["plan_a_read_of_one_batch"], frame = timed(lambda: lake.read(key, [(COMMITS, COMMITS)]))
    found["read_one_batch"], rows = timed(lambda: len(frame.compute(scheduler="sync")))
    assert pins[key] == (1, COMMITS)
    assert rows == files // COMMITS
    found |= of_delta(lake, files) if form == "delta" else of_lance(lake, files)
    return found


def of_delta(lake: Lake, files: int) -> dict[str, float]:
    """SQL over one batch and over all, and the log as delta-rs and we keep it."""
    log = Path(lake.storage.uri("candidates/_delta_log"))
    found = {"log_mb": sum(f.stat().st_size for f in log.iterdir()) / 1e6}
    found["checkpoints"] = float(len(list(log.glob("*.checkpoint*.parquet"))))
    one = f"select count(*) as n from candidates where batch = {COMMITS}"
    found["sql_one_batch"], _ = timed(lambda: views.query(lake, one))
    found["sql_all"], _ = timed(lambda: views.query(lake, "select count(*) as n from candidates"))
    found["compact"], _ = timed(lambda: lake.table("candidates").compact())
    found["open_after_compact"], _ = timed(lambda: lake.table("candidates").version())
    return found


def of_lance(lake: Lake, files: int) -> dict[str, float]:
    """Rows by their place, and by their key with no index."""
    table: Any = lake.table("images")
    dataset = table.dataset()
    places = np.random.default_rng(1).integers(0, files, TAKEN)
    found = {"manifest_mb": max(p.stat().st_size for p in Path(table.uri, "_versions").iterdir()) / 1e6}
    found["take"], _ = timed(lambda: dataset.take(places.tolist(), columns=["image"]))
    found["places"], _ = timed(lambda: table.places([Range(1, COMMITS)])[1].read_all())
    found["count"], _ = timed(lambda: dataset.count_rows(f"batch = {COMMITS}"))
    found["compact"], _ = timed(table.compact)
    return found


def commit(lake: Lake, key: str, batch: int, files: int) -> float:
    """One batch of `files` links through claim, commit and done; returns the seconds of the native commit."""
    keys = ("downloads", "images") if key == "images" else (key,)
    claim = lake.ledger.claim(keys, [f"unit-{batch}"], "rules", "all", "{}")
    table = lake.table(key)
    rows = pa.Table.from_pylist([row(table.spec.schema, batch)], schema=table.spec.schema)
    (written,) = table.writer().write(rows)
    links = [linked(lake, written) for _ in range(files)]
    seconds, version = timed(lambda: table.commit(links, {"key": key, "batch": batch}))
    result = Result(files, files * written.bytes, {("unit", "in"): files}, links, Fingerprint(1, 1), version)
    nothing = Result(0, 0, {}, [], Fingerprint(), 0)
    lake.ledger.finish(claim, {k: result if k == key else nothing for k in keys}, 1.0, "{}")
    return seconds


def row(schema: pa.Schema, batch: int) -> dict[str, Any]:
    """Some row of a table."""
    usual = {pa.string(): "text", pa.int64(): 1, pa.large_binary(): b"picture" * 100}
    return {**{f.name: usual.get(f.type) for f in schema}, "batch": batch}


def linked(lake: Lake, file: DataFile) -> DataFile:
    """The same data file under another name."""
    old = Path(file.path).name
    new = f"{uuid.uuid4().hex}{Path(old).suffix}"
    path = str(Path(file.path).with_name(new))
    os.link(lake.storage.uri(file.path), lake.storage.uri(path))
    return replace(file, path=path, native=file.native.replace(old, new))


def ledger(folder: Path, batches: int) -> dict[str, float]:
    """A ledger of so many batches of each stage; nothing but the ledger is there."""
    lake = lakes.init(str(folder / "lake"), TOML)
    fingerprints = {stage.keys: stage.fingerprint() for stage in stages(lake)}
    lake.ledger.events()
    table = lake.ledger._table
    assert table is not None
    step = max(1, batches // 10)
    for first in range(1, batches + 1, step):
        made = list(events(range(first, min(first + step, batches + 1)), fingerprints))
        append(table, lake.storage, "ledger", pa.Table.from_pylist(made, schema=LEDGER), CommitProperties())
    before = resident()
    found = {"batches": float(batches)}
    found["mb"] = sum(p.stat().st_size for p in Path(lake.ledger.uri).glob("*.parquet")) / 1e6
    found["open_lake_and_pins"], (lake, pins) = timed(lambda: opened(str(folder / "lake")))
    assert pins["stored_pairs"] == (1, batches)
    found["pins_again"], _ = timed(lake.pins)
    found["memory_mb"] = (resident() - before) / 1e6
    found["plan_all_stages"], plans = timed(lambda: [run.plan(lake, stage) for stage in stages(lake)])
    assert all(not plan.works for plan in plans if plan.stage.kind != "pairs"), [p.works[:3] for p in plans]
    found["claim"], claim = timed(lambda: lake.ledger.claim(["duplicates"], ["w"], "rules", "all", "{}"))
    result = Result(1, 1, {("unit", "in"): 1}, [], Fingerprint(1, 1), 1)
    found["finish"], _ = timed(lambda: lake.ledger.finish(claim, {"duplicates": result}, 1.0, "{}"))
    found["sums_of_a_release"], _ = timed(lambda: releases.verification.left(lake.ledger.state(), pins))
    return found


def opened(root: str) -> tuple[Lake, Any]:
    """What every command begins with."""
    lake = open_lake(root)
    return lake, lake.pins()


def events(batches: range, fingerprints: Mapping[tuple[str, ...], str]) -> Iterator[dict[str, Any]]:
    """What the ledger keeps of these batches, in every stage: a claim, a renewal, and done."""
    began = datetime(2026, 1, 1, tzinfo=UTC)
    for batch in batches:
        at = began + timedelta(seconds=batch)
        for keys in KEYS:
            token = uuid.uuid4().hex
            source = {"candidates": None, "embeddings_demo": "downloads"}.get(keys[0], "candidates")
            source = "embeddings_demo" if keys[0].startswith("scores") else source
            names = [
                f"crawl-data/CC-MAIN-2026-30/segments/wat/{batch:08}-{n}.warc.wat.gz" for n in range(UNITS)
            ]
            works = names if source is None else [f"{source}:{batch}"]
            usual = {
                "batch": batch,
                "generation": 0,
                "owner": "host:1:1",
                "token": token,
                "attempt": 1,
                "at": at,
            }
            told = {**usual, "units": works, "fingerprint": fingerprints[keys], "selection": "all"}
            for key in keys:
                yield {**told, "key": key, "event": "claim", "lease_until": at, "details": "{}"}
                yield {**usual, "key": key, "event": "renew", "lease_until": at}
                yield {**told, "key": key, "event": "done", **done(key, names)}
            if source is None:
                for n, name in enumerate(names):
                    details = {"unit": name, "path": name, "kind": "wat", "order": batch * UNITS + n}
                    yield {
                        "key": "sources",
                        "batch": details["order"],
                        "event": "source",
                        "at": at,
                        "details": json.dumps(details),
                    }


def done(key: str, names: list[str]) -> dict[str, Any]:
    """What came of a batch."""
    reasons = ("in", "drop:no_alt", "drop:short_text", "drop:duplicate", "drop:known")
    paths = [f"{key.partition('/')[0]}/part-{uuid.uuid4().hex}.parquet" for _ in range(FILES)]
    return {
        "rows": 1000,
        "bytes": 100_000,
        "seconds": 1.0,
        "counts": [{"unit": unit, "name": reason, "n": 10} for unit in names for reason in reasons],
        "files": [{"path": path, "sha256": uuid.uuid4().hex * 2, "bytes": 25_000} for path in paths],
        "whole": f"{1:032x}",
        "content": f"{1:032x}",
        "version": 1,
        "details": "{}",
    }


def resident() -> int:
    """Most bytes of memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(part: str, size: int) -> dict[str, float]:
    """One part at one size."""
    with tempfile.TemporaryDirectory() as folder:
        found = ledger(Path(folder), size) if part == "ledger" else tables(part, Path(folder), size)
    return {name: round(value, 4) for name, value in {**found, "peak_mb": resident() / 1e6}.items()}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
