"""LAION's score files: rows of (hash, score), the hash being the sample_id of the pair that is meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import dask.dataframe as dd
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from dask.delayed import delayed

from transforms import columns, joins
from transforms.candidates.errors import UnreadableUnit
from transforms.files import READS, Reads, open_file
from transforms.scores.published import numbers
from transforms.scores.scorers import Scorer, scored

HASH = "hash"  # LAION's name for mmh3.hash64((URL + TEXT).encode())[0]
_ROWS = pa.schema([*columns.counted(columns.SCORES), ("position", pa.int64())])

NO_HASH, NO_CANDIDATE = "drop:no_hash", "drop:no_candidate"
DUPLICATE, KNOWN = "drop:duplicate", "drop:known"


@dataclass(frozen=True)
class Piece:
    """Rows [start, stop) of a score file, under the name `unit`."""

    unit: str
    path: str
    start: int
    stop: int


def score_files(
    pieces: Sequence[Piece],
    scorer: Scorer,
    candidates: dd.DataFrame,
    known: dd.DataFrame | None,
    reads: Reads = READS,
) -> dd.DataFrame:
    """`columns.SCORES` of the rows of `pieces` that are about `candidates` and not `known` yet.

    `candidates` and `known` have a column sample_id. Counted per unit: ``drop:no_hash``, of rows without
    one; ``drop:no_candidate``, of pairs that the lake does not have; ``drop:known``, where it has the score
    already; ``drop:duplicate``, of a hash that comes again (LAION's own joins dropped such too): the first
    stays. Values that are none are NULL and noted as `transforms.scores.published` does.
    """
    keys = dd.from_map(hashes, pieces, reads=reads, meta=columns.meta(pa.schema([columns.SAMPLE_ID])))
    have = joins.matches(keys, candidates, "sample_id")
    rows = dd.from_delayed(
        [delayed(of_piece)(piece, scorer, have, reads) for piece in pieces],
        meta=columns.meta(_ROWS),
        verify_meta=False,
    )
    if known is not None:
        rows = joins.without(rows, known, "sample_id", KNOWN)
    if len(pieces) > 1:
        rows = rows.shuffle("sample_id", npartitions=len(pieces))
    order = {piece.unit: place for place, piece in enumerate(pieces)}
    found: dd.DataFrame = rows.map_partitions(
        first_of_hash, order, meta=columns.meta(columns.counted(columns.SCORES)), enforce_metadata=False
    )
    return found


def hashes(piece: Piece, reads: Reads = READS) -> pd.DataFrame:
    """The hashes in a piece, as the column sample_id."""
    return columns.to_pandas(pa.table({"sample_id": _read(piece, HASH, reads).cast(pa.int64())}))


def of_piece(piece: Piece, scorer: Scorer, have: pa.Table, reads: Reads = READS) -> pd.DataFrame:
    """The scores in a piece that are about a sample_id in `have`, and where in it they stand."""
    keys = _read(piece, HASH, reads).cast(pa.int64())
    ours = pc.is_in(keys, value_set=have["sample_id"].combine_chunks())
    position = pa.chunked_array([np.arange(len(keys))]).filter(ours)
    units = pa.array([piece.unit] * len(position), pa.string())
    values, missing = _values(_read(piece, str(scorer.column), reads).filter(ours), scorer)
    table = pa.table({"sample_id": keys.filter(ours), "unit": units})
    made = columns.to_arrow(scored(table, scorer, values, missing), columns.counted(columns.SCORES))
    data = pc.is_null(made[columns.COUNT])
    notes = {row[columns.COUNT]: row[columns.N] for row in made.filter(pc.invert(data)).to_pylist()}
    strangers = len(keys) - keys.null_count - len(position)
    drops = {NO_HASH: keys.null_count, NO_CANDIDATE: strangers}
    counts = columns.count_rows(columns.SCORES, piece.unit, {**notes, **drops, "in": len(keys)})
    rows = made.filter(data).append_column("position", position)
    told = counts.append_column("position", pa.nulls(len(counts), pa.int64()))
    return columns.to_pandas(pa.concat_tables([rows, told]).cast(_ROWS))


def first_of_hash(part: pd.DataFrame, order: Mapping[str, int]) -> pd.DataFrame:
    """A partition of rows without those whose sample_id came before; `order`: the place of each unit."""
    data = part[columns.COUNT].isnull().to_numpy(bool)
    rows = part[data]
    rows = rows.assign(_place=rows["unit"].map(order)).sort_values(["_place", "position"], kind="stable")
    again = rows.duplicated("sample_id").to_numpy(bool)
    full = columns.counted(columns.SCORES)
    tables = [columns.to_arrow(rows[~again], full), columns.to_arrow(part[~data], full)]
    for unit, n in rows[again].groupby("unit", sort=True).size().items():
        tables.append(columns.count_rows(columns.SCORES, str(unit), {DUPLICATE: int(n)}))
    return columns.to_pandas(pa.concat_tables(tables))


def _values(raw: pa.ChunkedArray, scorer: Scorer) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    if pa.types.is_floating(raw.type):
        with np.errstate(over="ignore"):
            values = raw.to_numpy(zero_copy_only=False).astype(np.float32)
        return values, raw.is_null().to_numpy()
    return numbers(np.array([*raw.to_pylist(), None], object)[:-1], scorer)


def _read(piece: Piece, name: str, reads: Reads) -> pa.ChunkedArray:
    """One column of a piece. Raises UnreadableUnit where the file has fewer rows than it had."""
    with open_file(piece.path, reads) as file:
        chunks = list(_slices(pq.ParquetFile(file), piece, name))
        found = pa.chunked_array([chunk for column in chunks for chunk in column.chunks], chunks[0].type)
    if len(found) != piece.stop - piece.start:
        raise UnreadableUnit(f"{piece.path} ends before row {piece.stop}: put the same file back")
    return found


def _slices(file: pq.ParquetFile, piece: Piece, name: str) -> Iterator[pa.ChunkedArray]:
    """The column in each row group, as far as it lies in the piece."""
    first = 0
    for group in range(file.metadata.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        low, high = max(piece.start - first, 0), min(piece.stop - first, size)
        first += size
        if low < high:
            yield file.read_row_group(group, columns=[name])[name].slice(low, high - low)
        elif group == file.metadata.num_row_groups - 1 and first <= piece.start:
            yield file.schema_arrow.empty_table()[name]
