"""clip-retrieval's embeddings, image and text, for candidates that the lake has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from transforms import columns
from transforms.candidates.errors import UnreadableUnit
from transforms.candidates.extract import SCHEMA
from transforms.files import READS, Reads, open_file

NO_CANDIDATE = "drop:no_candidate"
NOT_FINITE = "drop:not_finite"
NORM_TOLERANCE = 0.01  # of a vector's length from 1, beyond which it is normalised: float16 brings 0.0005

Vectors = npt.NDArray[Any]  # [n, D]


@dataclass(frozen=True)
class Place:
    """Rows [start, stop) of clip-retrieval's two files of vectors."""

    image: str
    text: str
    start: int
    stop: int


def vectors(
    frame: pd.DataFrame, have: pa.Table, places: Mapping[str, Place], dimension: int, reads: Reads = READS
) -> pd.DataFrame:
    """A partition of `extract.SCHEMA` as one of `columns.embeddings_schema(dimension)`, with its counts.

    `have` has the sample_ids of candidates: other rows are counted as ``drop:no_candidate``. The vectors of a
    row are those at its position in the files of its unit, in `places`; with a NaN, an infinity or no length
    it is counted as ``drop:not_finite``. Raises UnreadableUnit where the files are no such vectors.
    """
    table = columns.to_arrow(frame, SCHEMA)
    counted = pc.is_valid(table[columns.COUNT])
    schema = columns.embeddings_schema(dimension)
    tables = [_bookkeeping(table.filter(counted), schema)]
    rows = table.filter(pc.invert(counted))
    for unit in pc.unique(rows["unit"]).to_pylist():
        tables += _of_unit(rows.filter(pc.equal(rows["unit"], unit)), have, places[unit], schema, reads)
    return columns.to_pandas(pa.concat_tables(tables))


def _of_unit(rows: pa.Table, have: pa.Table, place: Place, schema: pa.Schema, reads: Reads) -> list[pa.Table]:
    unit = rows["unit"][0].as_py()
    known = pc.is_in(rows["sample_id"], value_set=have["sample_id"].combine_chunks())
    ours = rows.filter(known)
    positions = ours["position"].to_numpy()
    image, text = (
        _normalised(npy_rows(path, place.start, place.stop, reads)[positions])
        for path in (place.image, place.text)
    )
    good = np.isfinite(image).all(1) & np.isfinite(text).all(1)
    made = pa.table(
        [
            ours["sample_id"].filter(pa.array(good)),
            *[_lists(some[good], schema.field("image_embedding").type) for some in (image, text)],
            ours["unit"].filter(pa.array(good)),
        ],
        schema=pa.schema([field.with_nullable(True) for field in schema]),
    )
    dropped = {NO_CANDIDATE: len(rows) - len(ours), NOT_FINITE: int((~good).sum())}
    return [columns.with_counts(made, unit, dropped)]


def _bookkeeping(table: pa.Table, schema: pa.Schema) -> pa.Table:
    full = columns.counted(schema)
    names = ("unit", columns.COUNT, columns.N)
    arrays = [table[f.name] if f.name in names else pa.nulls(len(table), f.type) for f in full]
    return pa.table(arrays, schema=full)


def _normalised(found: Vectors) -> Vectors:
    """float16[n, D] of length 1; vectors that have it keep their bits, those of length 0 become NaN."""
    wide = found.astype(np.float32)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        norms = np.linalg.norm(wide, axis=1, keepdims=True)
        scaled = (wide / norms).astype(np.float16)
        kept: Vectors = np.where(np.abs(norms - 1) <= NORM_TOLERANCE, found.astype(np.float16), scaled)
    return kept


def _lists(found: Vectors, dtype: pa.DataType) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(found.ravel(), pa.float16()), type=dtype)


def npy_shape(path: str, reads: Reads = READS) -> tuple[int, int]:
    """Rows and dimension of the vectors in the .npy file at `path`.

    Raises UnreadableUnit where it holds no two-dimensional array of float16 or float32 in C order.
    """
    with open_file(path, reads) as file:
        shape, _, _ = _header(file, path)
    return shape


def npy_rows(path: str, start: int, stop: int, reads: Reads = READS) -> Vectors:
    """Rows [start, stop) of the .npy file at `path`; no other bytes of it are read. Raises as `npy_shape`."""
    with open_file(path, reads) as file:
        (rows, dimension), dtype, begin = _header(file, path)
        if stop > rows:
            raise UnreadableUnit(f"{path} has {rows} vectors, fewer than {stop}: put the same file back")
        file.seek(begin + start * dimension * dtype.itemsize)
        data = file.read((stop - start) * dimension * dtype.itemsize)
    if len(data) != (stop - start) * dimension * dtype.itemsize:
        raise UnreadableUnit(f"{path} is cut short: fetch it again")
    return np.frombuffer(data, dtype).reshape(stop - start, dimension)


def _header(file: Any, path: str) -> tuple[tuple[int, int], np.dtype[Any], int]:
    try:
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read(file)
    except ValueError as error:
        raise UnreadableUnit(f"{path} is no .npy file: {error}") from error
    if len(shape) != 2 or fortran or dtype not in (np.dtype("f2"), np.dtype("f4")):
        raise UnreadableUnit(f"{path} holds no rows of float16 or float32: {dtype}{list(shape)}")
    return (shape[0], shape[1]), dtype, file.tell()
