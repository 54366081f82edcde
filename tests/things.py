"""A small table for tests, the same in both formats: a key, a unit, a text and a payload per row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import pandas as pd
import pyarrow as pa

from lakehouse.schema import BATCH, TableSpec
from lakehouse.tables import DataFile, Range, Table
from transforms import columns

FORMATS: tuple[Literal["delta", "lance"], ...] = ("delta", "lance")

SCHEMA = pa.schema(
    [
        columns.column("id", pa.int64(), "content", "a key", nullable=False),
        columns.column("text", pa.string(), "content", "a text"),
        columns.column("payload", pa.large_binary(), "content", "a picture, so to speak"),
        columns.column("seen", pa.timestamp("us", tz="UTC"), "observation", "a moment"),
        columns.UNIT,
        BATCH,
    ]
)


def spec(form: Literal["delta", "lance"]) -> TableSpec:
    """The table `things` in one of the formats."""
    return TableSpec("things", form, ("id",), SCHEMA)


def things(ids: Iterable[int], batch: int) -> pa.Table:
    """A row per id. Every third payload is NULL, every third is empty."""
    numbers = list(ids)
    payloads = [None if i % 3 == 0 else b"" if i % 3 == 1 else f"payload {i}".encode() * 9 for i in numbers]
    return pa.table(
        [
            pa.array(numbers, pa.int64()),
            pa.array([None if i % 7 == 0 else f"secret text {i}" for i in numbers], pa.string()),
            pa.array(payloads, pa.large_binary()),
            pa.array([i * 1000 for i in numbers], pa.timestamp("us", tz="UTC")),
            pa.array([f"unit-{i % 2}" for i in numbers], pa.string()),
            pa.array([batch] * len(numbers), pa.int64()),
        ],
        schema=SCHEMA,
    )


def append(table: Table, *parts: pa.Table, **lineage: object) -> list[DataFile]:
    """Writes each part as a worker would and commits all of them at once."""
    files = [file for part in parts for file in table.writer().write(part)]
    table.commit(files, lineage)
    return files


def ids(table: Table, ranges: Sequence[Range] = (Range(0, 1 << 40),)) -> list[int]:
    """The keys of the rows in `ranges`, sorted; doubled where a row is there twice."""
    return sorted(table.arrow(ranges, ["id"])["id"].to_pylist())


def frames(table: Table, ranges: Sequence[Range], **how: object) -> list[pd.DataFrame]:
    """The partitions that reading with Dask gives."""
    frame = table.read(ranges, **how)  # type: ignore[arg-type]
    parts = [part.compute(scheduler="sync") for part in frame.to_delayed()]
    for part in parts:
        assert list(part.columns) == list(frame.columns)
        assert part.dtypes.equals(frame.dtypes)
    return parts
