"""The vectors of one model as a reader sees them: nearest ones, all or among given pairs, and by key."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import lance
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from lance.dataset import serialize_row_addrs

from lakehouse.lake import Lake
from lakehouse.storage import storage_errors
from lakehouse.tables import Range, indexing
from lakehouse.tables.base import among, predicate
from lakehouse.tables.indexing import COLUMNS, METRIC, Modality
from lakehouse.tables.lance import LanceFormat

ROWS_AT_ONCE = 65_536  # vectors that a search of a pushed copy holds

CELLS_PER_CELL = 8  # looked into, for each that would hold all that is looked for
CONDITIONED_CELLS = 512  # under a condition: what it leaves may lie far from the vector
FEW = 1_000  # results, beyond which the vectors themselves are not looked at

Ids = npt.NDArray[np.int64]
Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tuning:
    """How an index is asked."""

    probes: int  # cells to look into
    refine: int  # candidates per result whose vectors are looked at
    recall: float  # of the first ten, as measured with these

    def suited(self, n: int, share: float, rows: int, cells: int) -> Tuning:
        """For `n` results among a share of the `rows` that lie in so many `cells`.

        The n nearest among a share are about the n / share nearest of all, and these lie in more cells than
        ten do, and in others than the nearest where the share is no random one. With many results, the codes
        alone tell well enough which they are.
        """
        wanted = n / share / (rows / cells)  # cells full of rows that are as near
        probes = self.probes + math.ceil(CELLS_PER_CELL * wanted)
        if share < 1:
            probes = max(probes, CONDITIONED_CELLS)
        return Tuning(min(cells, probes), self.refine if n <= FEW else 1, self.recall)


UNTUNED = Tuning(32, 4, 0.0)  # of an index that nothing is recorded about


@dataclass(frozen=True)
class Nearest:
    """What is nearest to a vector, nearest first; ties by sample_id."""

    ids: Ids
    cosines: npt.NDArray[np.float64]
    how: Literal["index", "exact"]


class Vectors(Protocol):
    """The image and text vectors of one model that a reader sees."""

    def nearest(self, modality: Modality, vector: Vector, n: int, chosen: Ids | None) -> Nearest:
        """The `n` pairs nearest to `vector` (float32 [D], length 1), of all or among `chosen` (sorted)."""

    def of(self, ids: Ids, modality: Modality) -> Mapping[int, Vector]:
        """The vectors of those of `ids` that have some."""

    def count(self, chosen: Ids) -> int:
        """How many of `chosen` (sorted) have vectors."""


def best(ids: Ids, cosines: npt.NDArray[np.float64], n: int) -> tuple[Ids, npt.NDArray[np.float64]]:
    """The `n` of largest cosine, in order."""
    order = np.lexsort((ids, -cosines))[:n]
    return ids[order], cosines[order]


def matrix(column: pa.ChunkedArray | pa.Array) -> npt.NDArray[np.float16]:
    """A column of vectors as float16 [n, D]."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    size = whole.type.list_size
    flat: npt.NDArray[np.float16] = whole.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(-1, size)


class PublishedVectors:
    """Those of a pushed copy, which are parquet: all are read, some at a time."""

    def __init__(self, lake: Lake, key: str, pin: tuple[int, int]) -> None:
        self._lake, self._key, self._pin = lake, key, pin

    def _parts(self, chosen: Ids | None, names: list[str]) -> Iterator[pa.Table]:
        for part in self._lake.read(self._key, [self._pin], names, ROWS_AT_ONCE).to_delayed():
            rows = pa.Table.from_pandas(part.compute(scheduler="synchronous"), preserve_index=False)
            yield rows if chosen is None else rows.filter(pa.array(among(rows["sample_id"], chosen)))

    def nearest(self, modality: Modality, vector: Vector, n: int, chosen: Ids | None) -> Nearest:
        """See Vectors."""
        ids, cosines = np.empty(0, np.int64), np.empty(0, np.float64)
        for part in self._parts(chosen, ["sample_id", COLUMNS[modality]]):
            found = (matrix(part[COLUMNS[modality]]).astype(np.float32) @ vector).astype(np.float64)
            keys = part["sample_id"].to_numpy()
            ids, cosines = best(np.concatenate([ids, keys]), np.concatenate([cosines, found]), n)
        return Nearest(ids, cosines, "exact")

    def of(self, ids: Ids, modality: Modality) -> Mapping[int, Vector]:
        """See Vectors."""
        found: dict[int, Vector] = {}
        for part in self._parts(np.unique(ids), ["sample_id", COLUMNS[modality]]):
            found.update(_by_id(part, modality))
        return found

    def count(self, chosen: Ids) -> int:
        """See Vectors."""
        return sum(map(len, self._parts(chosen, ["sample_id"])))


class LanceVectors:
    """Those of a lake, at one native version of its table."""

    def __init__(self, table: LanceFormat, pin: tuple[int, int], tuning: Mapping[Modality, Tuning]) -> None:
        self._table, self._pin, self._tuning = table, pin, tuning
        self._dataset: lance.LanceDataset = table.dataset()
        with self._errors():
            self._rows = self._dataset.count_rows()
            self._all = self._dataset.count_rows(predicate([Range(*pin)])) == self._rows
            found = {m: indexing.state(self._dataset, m) for m in COLUMNS}
        self._cells = {m: state.parameters.partitions for m, state in found.items() if state is not None}

    def _errors(self) -> AbstractContextManager[None]:
        return storage_errors(self._table.uri)

    @property
    def is_newest(self) -> bool:
        """Whether the table is still at this version."""
        with self._errors():
            return bool(self._dataset.latest_version == self._dataset.version)

    @cached_property
    def _places(self) -> _Places:
        with self._errors():
            rows = self._dataset.scanner(
                columns=["sample_id", "batch"], with_row_address=True, scan_in_order=True
            ).to_table()
        batches = rows["batch"].to_numpy()
        pinned = np.flatnonzero((batches >= self._pin[0]) & (batches <= self._pin[1]))
        ids = rows["sample_id"].to_numpy()[pinned]
        order = np.argsort(ids, kind="stable")
        addresses = rows["_rowaddr"].to_numpy().astype(np.int64)
        return _Places(ids[order], addresses[pinned[order]], pinned[order])

    @cached_property
    def _pinned(self) -> bytes | None:
        """The rows that readers see, for Lance; None where these are all."""
        return None if self._all else _mask(self._places.addresses)

    def _among(self, chosen: Ids) -> npt.NDArray[np.bool_]:
        return among(pa.chunked_array([pa.array(self._places.ids)]), chosen)

    def count(self, chosen: Ids) -> int:
        """See Vectors."""
        return int(self._among(chosen).sum())

    def nearest(self, modality: Modality, vector: Vector, n: int, chosen: Ids | None) -> Nearest:
        """See Vectors."""
        tuning = self._tuning.get(modality, UNTUNED) if modality in self._cells else None
        mask, share = self._pinned, 1.0
        if chosen is not None:
            places = self._places.addresses[self._among(chosen)]
            if not len(places):
                return Nearest(chosen[:0], np.empty(0), "exact")
            mask, share = _mask(places), len(places) / self._rows
        if tuning is not None:
            tuning = tuning.suited(n, share, self._rows, self._cells[modality])
        with self._errors():
            ids, cosines = near(self._dataset, modality, vector, n, tuning, mask)
        return Nearest(*best(ids, cosines, n), "exact" if tuning is None else "index")

    def of(self, ids: Ids, modality: Modality) -> Mapping[int, Vector]:
        """See Vectors."""
        numbers = np.sort(self._places.numbers[self._among(np.unique(ids))]).tolist()
        if not numbers:
            return {}
        with self._errors():
            rows = self._dataset.take(numbers, columns=["sample_id", COLUMNS[modality]])
        return _by_id(rows, modality)


@dataclass(frozen=True)
class _Places:
    """Where the rows are that readers see, by their sample_ids: 24 bytes a row."""

    ids: Ids  # sorted
    addresses: Ids  # what Lance calls them
    numbers: Ids  # their places in the order of the table


def _by_id(rows: pa.Table, modality: Modality) -> dict[int, Vector]:
    vectors = matrix(rows[COLUMNS[modality]]).astype(np.float32)
    return dict(zip(rows["sample_id"].to_pylist(), vectors, strict=True))


def _mask(places: Ids) -> bytes:
    """Addresses of rows as Lance takes them."""
    return bytes(serialize_row_addrs(places.tolist()))


def near(
    dataset: lance.LanceDataset,
    modality: Modality,
    vector: Vector,
    n: int,
    tuning: Tuning | None,
    mask: bytes | None,
) -> tuple[Ids, npt.NDArray[np.float64]]:
    """sample_ids and cosines of the `n` nearest rows among `mask` (all where it is None), in any order.

    By the index, asked as `tuning` says; exactly where that is None.
    """
    asked: dict[str, Any] = {"column": COLUMNS[modality], "q": vector, "k": n, "metric": METRIC}
    if tuning is None:
        asked["use_index"] = False
    else:
        asked |= {"minimum_nprobes": tuning.probes, "refine_factor": tuning.refine}
    rows = dataset.scanner(
        columns=["sample_id", "_distance"], nearest=asked, prefilter=True, row_addr_allowlist=mask
    ).to_table()
    return rows["sample_id"].to_numpy(), 1.0 - rows["_distance"].to_numpy().astype(np.float64)
