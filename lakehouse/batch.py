"""One batch through the protocol: claim, write on workers, commit, done.

Between the driver and the workers go only metadata and counts; rows, pictures and vectors are
written where they are made.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
from dask.delayed import delayed
from distributed import Client, Future, KilledWorker, as_completed
from numpy.typing import NDArray

from lakehouse import cluster, faults
from lakehouse.errors import LakeError
from lakehouse.fingerprints import Fingerprint, fingerprint
from lakehouse.lake import Lake
from lakehouse.ledger import LEASE, Claim, Result
from lakehouse.schema import TableSpec
from lakehouse.tables import DataFile, Writer
from transforms import columns
from transforms.candidates.errors import UnreadableUnit
from transforms.downloads import UnnamedCrawlerError
from transforms.embeddings.errors import ModelUnavailable
from transforms.scores import ScorerError

REASON_CHARS = 300  # of an unforeseen error's message: some quote whole rows
POLL_SECONDS = 0.02  # between two looks at what the workers have finished

Counts = Mapping[tuple[str, str], int]  # (unit, count's name) -> n
Report = Callable[[int, int, int], None]  # tasks done, tasks in all, rows so far


@dataclass(frozen=True)
class Target:
    """Where a worker puts the rows of one ledger key."""

    key: str
    spec: TableSpec
    writer: Writer


@dataclass(frozen=True)
class Part:
    """What one task brought to one ledger key."""

    key: str
    files: list[DataFile]
    rows: int
    fingerprint: Fingerprint
    counts: Counts


class Stream(Protocol):
    """Makes rows from one partition, a frame of bounded size at a time; picklable."""

    def __call__(self, frame: pd.DataFrame, number: int, given: Any) -> Iterator[pd.DataFrame]:
        """The frames that partition `number` becomes; `given` is what all partitions are given."""

    def clear(self) -> None:
        """Forget what was kept for a repeat of the batch, which is done."""


@dataclass(frozen=True)
class Streamed:
    """A frame whose partitions are too large, or too slow, to be made in one piece."""

    frame: dd.DataFrame
    stream: Stream
    given: Any = None  # may be delayed


def write_part(
    frame: pd.DataFrame,
    targets: Sequence[Target],
    batch: int,
    crash: str,
    stream: Stream | None = None,
    number: int = 0,
    given: Any = None,
) -> list[Part]:
    """Runs on a worker: stores one partition's rows in each target and says what it stored."""
    frames = [frame] if stream is None else stream(frame, number, given)
    try:
        return [part for each in frames for part in _write(each, targets, batch, crash)]
    except LakeError as error:
        failed = type(error)(*error.args)
    raise failed  # alone: where Dask cannot send an error's causes, the driver gets a text in its place


def _write(frame: pd.DataFrame, targets: Sequence[Target], batch: int, crash: str) -> list[Part]:
    faults.point(f"{crash}:worker")
    counted = frame[columns.COUNT].notnull().to_numpy(bool)
    counts: Counter[tuple[str, str]] = Counter()
    notes = frame[["unit", columns.COUNT, columns.N]][counted]  # not of pictures: all would be copied
    for unit, name, n in zip(notes["unit"], notes[columns.COUNT], notes[columns.N], strict=True):
        counts[str(unit), str(name)] += int(n)
    rows = _where(frame, ~counted)
    return [_store(rows, target, batch, counts if i == 0 else {}) for i, target in enumerate(targets)]


def _store(rows: pd.DataFrame, target: Target, batch: int, counts: Counts) -> Part:
    total = Counter(counts)
    if len(rows) == 0:  # a frame of bookkeeping alone has no columns of the table
        return Part(target.key, [], 0, Fingerprint(), total)
    schema = target.spec.schema
    if "image" in schema.names:
        rows = _with_payload(rows, total)
    numbered = rows.assign(batch=pd.array([batch] * len(rows), pd.ArrowDtype(pa.int64())))
    batches = columns.to_arrow(numbered, schema).to_batches()  # none of no rows: they would cost a copy
    table = pa.Table.from_batches(batches, schema).combine_chunks()
    files = target.writer.write(table)
    return Part(target.key, files, len(table), fingerprint(table), total)


def _with_payload(rows: pd.DataFrame, counts: Counter[tuple[str, str]]) -> pd.DataFrame:
    """The rows that have a picture; a URL without one has its row in `downloads` alone."""
    have = rows["image"].notnull().to_numpy(bool)
    for name, some in (("in", rows), ("drop:not_fetched", rows[~have])):
        for unit, n in some["unit"].value_counts().items():
            counts[str(unit), name] += int(n)
    return _where(rows, have)


def _where(frame: pd.DataFrame, chosen: NDArray[np.bool_]) -> pd.DataFrame:
    """The chosen rows; without a copy, which takes long with pictures, where they come first."""
    number = int(chosen.sum())
    return frame.iloc[:number] if chosen[:number].all() else frame[chosen]


def run_batch(
    lake: Lake,
    client: Client,
    claim: Claim,
    frames: Sequence[dd.DataFrame | Streamed],
    need: str,
    report: Report,
    origin: Mapping[str, Any],
) -> None:
    """Computes `frames` on the cluster, commits what the workers wrote and marks the batch as done.

    `origin` goes into the commits' lineage, and with the batch into the ledger.
    """
    started = time.monotonic()
    name = claim.keys[0]
    targets = [target(lake, key) for key in claim.keys]
    tasks = []
    streams = []
    for frame in frames:
        stream, given = None, None
        if isinstance(frame, Streamed):
            frame, stream, given = frame.frame, frame.stream, frame.given
            streams.append(stream)
        for number, part in enumerate(frame.to_delayed()):
            tasks.append(delayed(write_part)(part, targets, claim.batch, name, stream, number, given))
    parts = _compute(lake, client, claim, tasks, need, report)
    finish(lake, claim, parts, started, {"tasks": len(tasks)}, origin)
    for stream in streams:
        stream.clear()


def finish(
    lake: Lake,
    claim: Claim,
    parts: Sequence[Part],
    started: float,
    details: Mapping[str, Any],
    origin: Mapping[str, Any],
) -> None:
    """Commits what the tasks of a batch, begun at `started` (monotonic), wrote, and marks it as done."""
    faults.point(f"{claim.keys[0]}:written")
    results = {}
    for key in claim.keys:
        results[key] = _commit(lake, claim, key, [p for p in parts if p.key == key], origin)
        faults.point(f"{key}:committed")
    lake.ledger.finish(claim, results, time.monotonic() - started, json.dumps({**details, **origin}))
    faults.point(f"{claim.keys[0]}:done")


def target(lake: Lake, key: str) -> Target:
    """Where the rows of a ledger key go."""
    table = lake.table(key)
    return Target(key, table.spec, table.writer(key.partition("/")[2] or None))


def _compute(
    lake: Lake, client: Client, claim: Claim, tasks: Sequence[object], need: str, report: Report
) -> list[Part]:
    """Waits for the tasks, renewing the claim's lease; a failed task raises here what it raised there."""
    futures = client.compute(tasks, resources=cluster.resources(client, need))
    completed = as_completed(futures, client.loop, with_results=True, raise_errors=False)
    renewed = time.monotonic()
    parts: list[Part] = []
    rows = 0
    try:
        while not completed.is_empty():
            if time.monotonic() - renewed > LEASE.total_seconds() / 3:
                lake.ledger.renew(claim)
                renewed = time.monotonic()
            ready = completed.next_batch(block=False)
            for future, result in ready:
                _check(claim, future, result)
                parts += result
                rows += sum(part.rows for part in result if part.key == claim.keys[0])
            if ready:
                report(len(futures) - completed.count(), len(futures), rows)
            else:
                time.sleep(POLL_SECONDS)
    finally:
        client.cancel(futures)
    return parts


def _check(claim: Claim, future: Future[Any], result: Any) -> None:
    """Raises what a failed task raised: as it is where it is Pairlake's own, else in one line.

    Of errors that say all by themselves what was found and what to do, the class is left out.
    """
    if future.status == "finished":
        return
    error = result[1] if future.status == "error" else result
    if isinstance(error, LakeError):
        raise error
    reason = next(iter(str(error).splitlines()), "")
    if not isinstance(error, UnreadableUnit | ModelUnavailable | ScorerError | UnnamedCrawlerError):
        reason = f"{type(error).__name__}: {reason[:REASON_CHARS]}"
    if isinstance(error, UnreadableUnit | FileNotFoundError) and claim.keys[0] == "candidates":
        reason += "; `lake run --skip-unreadable` notes it and goes on"
    if isinstance(error, KilledWorker):
        reason = "a task killed one worker after another: too little memory for it, or a crash in native code"
    raise LakeError(
        f"{claim.keys[0]}: batch {claim.batch} failed on a worker, nothing of it was kept: {reason}"
    ) from error


def _commit(lake: Lake, claim: Claim, key: str, parts: Sequence[Part], origin: Mapping[str, Any]) -> Result:
    counts: Counter[tuple[str, str]] = Counter()
    total = Fingerprint()
    for part in parts:
        counts.update(part.counts)
        total += part.fingerprint
    files = sorted((f for part in parts for f in part.files), key=lambda f: f.path)
    lineage = {"key": key, "batch": claim.batch, "claim": claim.token, "works": list(claim.works), **origin}
    # Raises where the claim was lost; from there to the commit, the fence of who takes it over guards
    version = lake.table(key).commit(files, lineage, lambda: lake.ledger.renew(claim))
    rows = sum(part.rows for part in parts)
    return Result(rows, sum(f.bytes for f in files), counts, files, total, version)


def recover(lake: Lake, claim: Claim) -> None:
    """Deletes what an earlier try of the batch left in the tables, and keeps that try from adding more.

    Raises `ConflictError`, and deletes nothing, unless the claim still holds: the rows of a batch that
    is done, or that another driver has taken over, are not this driver's to delete.
    """
    lake.ledger.renew(claim)
    for key in claim.keys:
        table = lake.table(key)
        table.fence(key)
        table.delete(where(table.spec, key, f"batch = {claim.batch}"))


def where(spec: TableSpec, key: str, condition: str) -> str:
    """The SQL condition, for the rows of one ledger key alone."""
    part = key.partition("/")[2].replace("'", "''")
    return f"{condition} and {spec.partition_by} = '{part}'" if part else condition
