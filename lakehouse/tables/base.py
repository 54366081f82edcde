"""What a versioned table can do, whatever its format.

Tables are append-only and every row carries the `batch` that wrote it. Readers never ask for "the
table": they ask for ranges of batches, and the ledger says which exist. Writing has two phases:
workers write data files that nobody can see, and the driver makes one native commit of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import dask.dataframe as dd
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakehouse.schema import TableSpec


@dataclass(frozen=True)
class Range:
    """Rows of batches `low` to `high`, both included; of one partition, or of all where `part` is None."""

    low: int
    high: int
    part: str | None = None


@dataclass(frozen=True)
class DataFile:
    """A data file that a worker wrote: all that the driver needs in order to commit it."""

    path: str  # relative to the lake's root
    rows: int
    bytes: int
    sha256: str
    native: str  # what the format's commit takes, as JSON


@dataclass(frozen=True)
class Replacement:
    """What takes the place of a piece of a table once rows have left it; nothing is committed yet."""

    piece: str
    files: tuple[DataFile, ...]  # with the rows that stay, if any do


@dataclass(frozen=True)
class Version:
    """One native version of a table."""

    version: int
    timestamp: str
    operation: str
    lineage: Mapping[str, Any] = field(default_factory=dict)


class Writer(Protocol):
    """Writes data files from a worker; picklable."""

    def write(self, rows: pa.Table) -> list[DataFile]:
        """Stores `rows` (the table's schema, `batch` included) where no reader sees them yet."""


class Table(Protocol):
    """One versioned table."""

    spec: TableSpec

    def writer(self, part: str | None = None) -> Writer:
        """What workers write with; `part` is the partition's value in a partitioned table."""

    def commit(
        self,
        files: Sequence[DataFile],
        lineage: Mapping[str, Any],
        confirm: Callable[[], None] = lambda: None,
    ) -> int:
        """Makes `files` part of the table in one native commit and returns its version.

        `confirm` is called between looking at the table and committing, and raises where the commit may not
        be made any more. If a `fence` for the same key (`lineage["key"]`) comes after that look, the commit
        is refused by the engine, however long this process was stopped in between.
        """

    def fence(self, key: str) -> None:
        """Makes a version without changes, so that commits for `key` that are under way elsewhere fail."""

    def read(
        self,
        ranges: Sequence[Range],
        columns: Sequence[str] | None = None,
        rows: int | None = None,
        skip: frozenset[str] = frozenset(),
    ) -> dd.DataFrame:
        """The rows of `ranges` as a Dask DataFrame with Arrow dtypes, about `rows` rows a partition.

        Files named in `skip` are not opened: the caller knows that none of their rows are wanted.
        """

    def arrow(self, ranges: Sequence[Range], columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of `ranges` in the memory of this process."""

    def dataset(self, version: int | None = None) -> Any:
        """What DuckDB and Arrow can scan: the table at its newest or another native version."""

    def files(self) -> dict[str, int]:
        """Data files of the newest version with their sizes in bytes; paths relative to the lake's root."""

    def delete(self, predicate: str) -> int:
        """Takes the rows out that satisfy the SQL `predicate`; returns the number of rows."""

    def pieces(self) -> list[str]:
        """What the newest version is stored in: one description each, for `split`."""

    def split(
        self, piece: str, key: str, gone: npt.NDArray[np.int64], write: bool
    ) -> tuple[pa.Table, Replacement | None]:
        """The rows of `piece` whose `key` is in `gone` (sorted), and what stays of it if those leave.

        Runs on a worker; only keys are read of a piece that has none of them. Without `write`, or where no
        row is found, nothing is written and the second is None.
        """

    def replace(self, replacements: Sequence[Replacement], lineage: Mapping[str, Any]) -> int:
        """Puts all `replacements` in place in one native commit; returns the version."""

    def purge(self) -> int:
        """Deletes every file that the newest version does not need; returns the oldest that can be read now.

        Nobody else may be writing.
        """

    def compact(self) -> int:
        """Rewrites small files into larger ones; returns the version."""

    def prune(self, before: datetime, dry_run: bool) -> tuple[int, int]:
        """Deletes what only versions from before that moment need; the newest version stays whole.

        Returns the oldest version that can be read then, and the number of files or versions that go.
        """

    def version(self) -> int | None:
        """The newest native version, or None where the table has never been written."""

    def history(self) -> list[Version]:
        """Native versions, newest first, with the lineage that each commit carries."""


def predicate(ranges: Sequence[Range], partition_by: str | None = None) -> str:
    """The SQL condition that selects `ranges`."""
    terms = []
    for r in ranges:
        term = f"batch >= {r.low} and batch <= {r.high}"
        if r.part is not None:
            quoted = r.part.replace("'", "''")
            term += f" and {partition_by} = '{quoted}'"
        terms.append(f"({term})")
    return " or ".join(terms) or "false"


def grouped(sizes: Sequence[int], most: int) -> list[list[int]]:
    """Indices of `sizes` in order, in groups whose sizes add up to at most `most` (or of one)."""
    groups: list[list[int]] = []
    total = most + 1
    for index, size in enumerate(sizes):
        if total + size > most:
            groups.append([])
            total = 0
        groups[-1].append(index)
        total += size
    return groups


def among(keys: pa.ChunkedArray, gone: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which of `keys` (int64) are in `gone`, which is sorted: bool[n]."""
    values = keys.to_numpy()
    if len(gone) == 0:
        return np.zeros(len(values), bool)
    places = np.minimum(np.searchsorted(gone, values), len(gone) - 1)
    mask: npt.NDArray[np.bool_] = gone[places] == values
    return mask
