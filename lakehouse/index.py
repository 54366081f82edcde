"""The vector index of a model's embeddings: chosen by rule, measured, kept up to date.

An index is no table: it holds nothing that the embeddings do not, and a search without it gives the same
results, only later. So it is made by an operation of its own, as a compaction is, and not by a stage with
batches. What it was made with, and what it was measured to find, goes into the ledger as an `index` event.
"""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from typing import Any

import lance
import numpy as np
import numpy.typing as npt

from lakehouse import faults
from lakehouse.errors import ConflictError, UsageError
from lakehouse.events import REMOVALS
from lakehouse.lake import Lake
from lakehouse.storage import storage_errors
from lakehouse.tables import indexing
from lakehouse.tables.indexing import COLUMNS, Modality, Parameters, State
from lakehouse.tables.lance import LanceFormat
from lakehouse.vectors import Tuning, matrix, near

NEAREST = 10  # that recall is measured for
ROWS_AT_ONCE = 16_384  # vectors held while the nearest of the test queries are found exactly


@dataclass(frozen=True)
class IndexRules:
    """How an index is chosen; figures without a source are from benchmarks/search.py."""

    #: bytes that the indices of a model may take (image and text together); autofaiss's own default is 16 GB
    memory: int = 16_000_000_000
    #: rows below which there is no index: looking at each takes a few milliseconds
    least_rows: int = 50_000
    #: rows of a cell, on average
    cell_rows: int = 1_000
    #: bits per element: the most that fit the memory. One bit is RaBitQ's own (Gao and Long, arXiv
    #: 2405.12497), more bits its extension (Gao et al., arXiv 2409.09913)
    bits: tuple[int, ...] = (5, 4, 3, 1)
    #: bytes of a row's place, factors and share of the cells, beside its code
    row_bytes: int = 30
    #: recall@10 that is asked for
    recall: float = 0.98
    #: ways to search that are tried for it, the quickest first: cells to look into, and candidates per result
    #: that are looked at exactly, of which codes of one bit need more than those of three to five
    ways: tuple[tuple[int, int], ...] = (
        (4, 2),
        (4, 4),
        (8, 4),
        (16, 8),
        (32, 8),
        (64, 16),
        (128, 16),
        (256, 16),
    )
    #: queries that it is measured with
    queries: int = 200
    #: segments from which on an update makes one of them; each is searched on its own
    segments: int = 8
    #: as many times the rows that the cells were trained on, from which on they are trained anew
    grown: float = 2.0


@dataclass(frozen=True)
class Report:
    """What was done to the index of one modality."""

    model: str
    modality: Modality
    done: str  # built, updated, fresh, or why there is none
    rows: int
    seconds: float = 0.0
    bytes: int = 0
    tuning: Tuning | None = None


def choose(rows: int, dimension: int, rules: IndexRules = IndexRules()) -> Parameters | None:
    """The index for that many vectors in both modalities; None where it is quicker to look at each.

    Where not even the coarsest codes fit the memory, these: an index is read as far as it is needed.
    """
    if rows < rules.least_rows:
        return None
    sizes = {bits: len(COLUMNS) * rows * (dimension * bits // 8 + rules.row_bytes) for bits in rules.bits}
    fitting = [bits for bits, size in sizes.items() if size <= rules.memory]
    return Parameters(max(1, round(rows / rules.cell_rows)), max(fitting, default=min(rules.bits)))


def update(lake: Lake, model: str, rules: IndexRules = IndexRules(), anew: bool = False) -> list[Report]:
    """Makes the index of `model`, or adds what is missing; with `anew`, makes it from the beginning.

    Raises UsageError where nothing is embedded yet, ConflictError while rows are removed, or where some were
    meanwhile: the index is dropped then, as it may hold codes of them.
    """
    lake.storage.check_writable()
    table = lake.table(f"embeddings_{model}")
    dataset = table.dataset()
    if not isinstance(table, LanceFormat) or dataset is None:
        raise UsageError(f"nothing is embedded with {model} yet: `lake run`")
    if lake.ledger.state().unfinished(REMOVALS) is not None:
        raise ConflictError("rows are being removed: make the index when that is done")
    removals = _removals(lake)
    with storage_errors(table.uri), lake.storage.settled(table.spec.name):
        reports = [_update(lake, dataset, model, modality, rules, anew) for modality in COLUMNS]
    faults.point("index:built")
    if _removals(lake) != removals:
        with storage_errors(table.uri):
            for modality in COLUMNS:
                indexing.drop(table.dataset(), modality)
            table.purge()
        raise ConflictError(f"embeddings_{model}: rows were removed meanwhile: run `lake index` again")
    if any(report.seconds for report in reports):
        _record(lake, table, reports)
    return reports


def tuning(lake: Lake, model: str) -> dict[Modality, Tuning]:
    """How the indices of `model` are best asked, as measured when they were made."""
    event = lake.ledger.state().indexed(f"embeddings_{model}")
    told = json.loads(event["details"]) if event else {}
    return {modality: Tuning(**told[modality]["tuning"]) for modality in COLUMNS if modality in told}


def _removals(lake: Lake) -> set[str]:
    return {e["token"] for e in lake.ledger.events() if e["key"] == REMOVALS and e["event"] == "claim"}


def _update(
    lake: Lake, dataset: lance.LanceDataset, model: str, modality: Modality, rules: IndexRules, anew: bool
) -> Report:
    started = time.monotonic()
    rows = dataset.count_rows()
    size = dataset.schema.field(COLUMNS[modality]).type.list_size
    wanted, have = choose(rows, size, rules), indexing.state(dataset, modality)
    if wanted is None and have is None:
        return Report(model, modality, f"none: {rows:,} rows are searched exactly", rows)
    tuned = tuning(lake, model).get(modality)
    if have is not None and tuned is not None and not anew and _still_good(have, wanted, rules):
        if not have.missing:
            return Report(model, modality, "fresh", rows, 0.0, have.bytes, tuned)
        indexing.add(dataset, modality, merge=have.segments >= rules.segments)
        done = "updated"
    else:
        indexing.build(dataset, modality, wanted or Parameters(1, max(rules.bits)))
        dataset = lance.dataset(dataset.uri, storage_options=dict(lake.storage.options))
        tuned = measure(dataset, modality, rules)
        done = "built"
    now = indexing.state(lance.dataset(dataset.uri, storage_options=dict(lake.storage.options)), modality)
    assert now is not None
    return Report(model, modality, done, now.rows, time.monotonic() - started, now.bytes, tuned)


def _still_good(have: State, wanted: Parameters | None, rules: IndexRules) -> bool:
    """Whether it is worth adding to, rather than making anew."""
    if wanted is None:
        return True
    return (
        have.parameters.bits == wanted.bits and wanted.partitions < have.parameters.partitions * rules.grown
    )


def measure(dataset: lance.LanceDataset, modality: Modality, rules: IndexRules = IndexRules()) -> Tuning:
    """The quickest way to search that has the recall asked for, or else the most thorough; and its recall.

    Asked are vectors of the other modality, as a search by text among pictures does, drawn from the table.
    """
    other: Modality = "text" if modality == "image" else "image"
    total = dataset.count_rows()
    drawn = np.sort(np.random.default_rng(total).choice(total, min(rules.queries, total), replace=False))
    queries = matrix(dataset.take(drawn.tolist(), columns=[COLUMNS[other]])[COLUMNS[other]]).astype(
        np.float32
    )
    exact = _exact(dataset, modality, queries)
    for probes, refine in rules.ways:
        found = Tuning(probes, refine, 0.0)
        hits = [
            len(np.intersect1d(near(dataset, modality, q, exact.shape[1], found, None)[0], true))
            for q, true in zip(queries, exact, strict=True)
        ]
        found = dataclasses.replace(found, recall=round(float(np.sum(hits)) / exact.size, 4))
        if found.recall >= rules.recall:
            break
    return found


def _exact(
    dataset: lance.LanceDataset, modality: Modality, queries: npt.NDArray[np.float32]
) -> npt.NDArray[np.int64]:
    """sample_ids of the nearest to each query: int64 [queries, NEAREST]."""
    column = COLUMNS[modality]
    ids = np.empty((len(queries), 0), np.int64)
    cosines = np.empty((len(queries), 0), np.float32)
    for rows in dataset.scanner(columns=["sample_id", column], batch_size=ROWS_AT_ONCE).to_batches():
        some = queries @ matrix(rows[column]).astype(np.float32).T
        cosines = np.concatenate([cosines, some], axis=1)
        ids = np.concatenate([ids, np.broadcast_to(rows["sample_id"].to_numpy(), some.shape)], axis=1)
        first = np.argpartition(-cosines, min(NEAREST, cosines.shape[1]) - 1, axis=1)[:, :NEAREST]
        cosines, ids = np.take_along_axis(cosines, first, 1), np.take_along_axis(ids, first, 1)
    return ids


def _record(lake: Lake, table: LanceFormat, reports: list[Report]) -> None:
    details: dict[str, Any] = {}
    for report in reports:
        state = indexing.state(table.dataset(), report.modality)
        if state is not None and report.tuning is not None:
            details[report.modality] = {
                "done": report.done,
                "tuning": dataclasses.asdict(report.tuning),
                **dataclasses.asdict(state),
            }
    seconds, size = sum(r.seconds for r in reports), sum(r.bytes for r in reports)
    version = table.version() or 0
    lake.ledger.indexed(table.spec.name, version, reports[0].rows, size, seconds, json.dumps(details))
