"""The vectors of one model as a reader sees them: nearest ones, all or among given pairs, and by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import lance
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakehouse.lake import Lake
from lakehouse.storage import storage_errors
from lakehouse.tables import Range
from lakehouse.tables.base import among, predicate
from lakehouse.tables.lance import LanceFormat, placed

ROWS_AT_ONCE = 65_536  # vectors that an exact search holds

Modality = Literal["image", "text"]
Ids = npt.NDArray[np.int64]
Vector = npt.NDArray[np.float32]


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


class _Scanned:
    """Exact search over vectors that come some at a time."""

    def _parts(self, chosen: Ids | None, modality: Modality) -> Iterator[pa.Table]:
        raise NotImplementedError

    def nearest(self, modality: Modality, vector: Vector, n: int, chosen: Ids | None) -> Nearest:
        """See Vectors."""
        ids, cosines = np.empty(0, np.int64), np.empty(0, np.float64)
        for part in self._parts(chosen, modality):
            found = (matrix(part[f"{modality}_embedding"]).astype(np.float32) @ vector).astype(np.float64)
            keys = part["sample_id"].to_numpy()
            ids, cosines = best(np.concatenate([ids, keys]), np.concatenate([cosines, found]), n)
        return Nearest(ids, cosines, "exact")

    def of(self, ids: Ids, modality: Modality) -> Mapping[int, Vector]:
        """See Vectors."""
        found: dict[int, Vector] = {}
        for part in self._parts(np.unique(ids), modality):
            vectors = matrix(part[f"{modality}_embedding"]).astype(np.float32)
            found.update(zip(part["sample_id"].to_pylist(), vectors, strict=True))
        return found


class PublishedVectors(_Scanned):
    """Those of a pushed copy, which are parquet: all are read, some at a time."""

    def __init__(self, lake: Lake, key: str, pin: tuple[int, int]) -> None:
        self._lake, self._key, self._pin = lake, key, pin

    def _parts(self, chosen: Ids | None, modality: Modality) -> Iterator[pa.Table]:
        names = ["sample_id", f"{modality}_embedding"]
        for part in self._lake.read(self._key, [self._pin], names, ROWS_AT_ONCE).to_delayed():
            rows = pa.Table.from_pandas(part.compute(scheduler="synchronous"), preserve_index=False)
            yield rows if chosen is None else rows.filter(pa.array(among(rows["sample_id"], chosen)))

    def count(self, chosen: Ids) -> int:
        """See Vectors."""
        parts = self._lake.read(self._key, [self._pin], ["sample_id"]).to_delayed()
        frames = [part.compute(scheduler="synchronous") for part in parts]
        keys = [pa.chunked_array([pa.array(frame["sample_id"].to_numpy(np.int64))]) for frame in frames]
        return sum(int(among(some, chosen).sum()) for some in keys)


class LanceVectors(_Scanned):
    """Those of a lake, at one native version of its table."""

    def __init__(self, table: LanceFormat, pin: tuple[int, int]) -> None:
        self._uri = table.uri
        self._range = Range(*pin)
        self._spec = table.spec
        self._dataset: lance.LanceDataset = table.dataset()

    @property
    def is_newest(self) -> bool:
        """Whether the table is still at this version."""
        with storage_errors(self._uri):
            return bool(self._dataset.latest_version == self._dataset.version)

    @cached_property
    def _places(self) -> tuple[Ids, Ids]:
        """Sorted sample_ids and where their rows are: 16 bytes a row."""
        with storage_errors(self._uri):
            rows = placed(self._dataset, self._spec, [self._range]).read_all()
        ids, places = rows["sample_id"].to_numpy(), rows["place"].to_numpy()
        order = np.argsort(ids, kind="stable")
        return ids[order], places[order]

    def _placed(self, chosen: Ids) -> Ids:
        """Where the rows of `chosen` are, in the table's order."""
        ids, places = self._places
        return np.sort(places[among(pa.chunked_array([pa.array(ids)]), chosen)])

    def count(self, chosen: Ids) -> int:
        """See Vectors."""
        return len(self._placed(chosen))

    def nearest(self, modality: Modality, vector: Vector, n: int, chosen: Ids | None) -> Nearest:
        """See Vectors."""
        if chosen is not None:
            return super().nearest(modality, vector, n, chosen)
        column = f"{modality}_embedding"
        with storage_errors(self._uri):
            rows = self._dataset.scanner(
                columns=["sample_id", "_distance"],
                nearest={"column": column, "q": vector, "k": n, "metric": "dot"},
                filter=predicate([self._range]),
                prefilter=True,
            ).to_table()
        return Nearest(*best(rows["sample_id"].to_numpy(), 1.0 - rows["_distance"].to_numpy(), n), "exact")

    def _parts(self, chosen: Ids | None, modality: Modality) -> Iterator[pa.Table]:
        assert chosen is not None  # all of them are Lance's own to search
        places = self._placed(chosen)
        for start in range(0, len(places), ROWS_AT_ONCE):
            some = places[start : start + ROWS_AT_ONCE].tolist()
            with storage_errors(self._uri):
                yield self._dataset.take(some, columns=["sample_id", f"{modality}_embedding"])
