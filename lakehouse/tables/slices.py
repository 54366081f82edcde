"""Rows of parquet files, read in slices: what a Delta table and a pushed copy are read by."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lakehouse.schema import TableSpec
from lakehouse.storage import Storage, storage_errors
from lakehouse.tables.base import Range
from transforms import columns as frames


@dataclass(frozen=True)
class Slice:
    """Rows `start` to `stop` of one parquet file."""

    path: str
    start: int
    stop: int
    part: str | None
    wanted: bool = False  # all its rows are in one of the ranges, by the log: none has to be looked at


def cut(piece: Slice, rows: int) -> list[Slice]:
    """`piece` in slices of at most `rows` rows."""
    starts = range(piece.start, piece.stop, rows)
    return [dataclasses.replace(piece, start=s, stop=min(s + rows, piece.stop)) for s in starts]


def read_slices(
    slices: list[Slice], storage: Storage, spec: TableSpec, ranges: list[Range], schema: pa.Schema
) -> pd.DataFrame:
    """One Dask partition: `slices` of parquet files, filtered to `ranges`."""
    return frames.to_pandas(read(slices, storage, spec, ranges, schema))


def read(
    slices: list[Slice], storage: Storage, spec: TableSpec, ranges: list[Range], schema: pa.Schema
) -> pa.Table:
    """The rows of `slices` that are in one of `ranges`, with the columns of `schema`."""
    tables = [schema.empty_table()]
    filesystem = storage.filesystem()
    for piece in slices:
        path = f"{spec.name}/{piece.path}"
        stored = [name for name in schema.names if name != spec.partition_by]
        names = list(dict.fromkeys([*stored, *([] if piece.wanted and stored else ["batch"])]))
        with storage_errors(storage.uri(path)):
            rows = _read_rows(filesystem, path, piece, names)
        # Files that delta-rs wrote, in a delete or a compaction, come back with string_view columns
        rows = rows.select(names).cast(pa.schema([spec.schema.field(name) for name in names]))
        if not piece.wanted:
            rows = rows.filter(_within(rows["batch"], ranges, piece.part))
        if spec.partition_by is not None:
            rows = rows.append_column(spec.partition_by, pa.array([piece.part] * len(rows), pa.string()))
        tables.append(rows.select(schema.names).cast(schema))
    return pa.concat_tables(tables)


def _within(batch: pa.ChunkedArray, ranges: list[Range], part: str | None) -> pa.Array:
    """Which rows of a file of `part` are in one of `ranges`, by their batches."""
    mask = pa.array([False] * len(batch), pa.bool_())
    for r in ranges:
        if r.part in (None, part):
            mask = pc.or_(mask, pc.and_(pc.greater_equal(batch, r.low), pc.less_equal(batch, r.high)))
    return mask


def _read_rows(filesystem: Any, path: str, piece: Slice, names: list[str]) -> pa.Table:
    """The slice's rows, reading only the row groups that hold them."""
    with filesystem.open_input_file(path) as source:
        file = pq.ParquetFile(source, page_checksum_verification=True)
        groups: list[int] = []
        first = seen = 0
        for index in range(file.num_row_groups):
            count = file.metadata.row_group(index).num_rows
            if seen < piece.stop and seen + count > piece.start:
                if not groups:
                    first = seen
                groups.append(index)
            seen += count
        rows = file.read_row_groups(groups, columns=names)
        return rows.slice(piece.start - first, piece.stop - piece.start)
