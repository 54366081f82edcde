"""Fingerprints that add up: one 128-bit hash per row, summed mod 2^128.

A relation's fingerprint is the sum over its rows, so it does not depend on order, partitioning,
compaction or file layout; a row that leaves is subtracted. It guards against accident, not forgery.

A row's hash is MurmurHash3 x64 128 (seed 0; its 16 bytes read as a little-endian integer, as
`mmh3.hash128` does) of its cells in schema order. A cell is an 8-byte
little-endian length and that many bytes; NULL is eight bytes of 0xFF. The bytes are:

- integers, booleans, timestamps (microseconds): int64, little-endian;
- floats: float64, little-endian, with -0.0 as 0.0 and one NaN (positive, quiet, no payload);
- strings: UTF-8; binary: as they are; large_binary (a payload): the sha256 of its bytes, 32 bytes;
- fixed-size lists of floats (a vector): the elements' own little-endian bytes, -0.0 as 0.0, one NaN;
- other lists: the cells of the elements, one after the other.

`docs/architecture.md` carries test vectors.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import mmh3
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MODULUS = 1 << 128
NULL_CELL = b"\xff" * 8
ROWS_AT_ONCE = 65_536  # keeps the joined cells of a slice far below Arrow's 2 GiB offsets


@dataclass(frozen=True)
class Fingerprint:
    """Sums of row hashes mod 2^128: over all columns, and over the content columns alone."""

    whole: int = 0
    content: int = 0

    @property
    def whole_hex(self) -> str:
        """`whole` as 32 hex digits."""
        return f"{self.whole:032x}"

    @property
    def content_hex(self) -> str:
        """`content` as 32 hex digits."""
        return f"{self.content:032x}"

    def __add__(self, other: Fingerprint) -> Fingerprint:
        return Fingerprint((self.whole + other.whole) % MODULUS, (self.content + other.content) % MODULUS)

    def __sub__(self, other: Fingerprint) -> Fingerprint:
        return Fingerprint((self.whole - other.whole) % MODULUS, (self.content - other.content) % MODULUS)


def fingerprint(table: pa.Table) -> Fingerprint:
    """The fingerprint of `table`; content columns are those whose field metadata says so."""
    content = [f.name for f in table.schema if (f.metadata or {}).get(b"kind") == b"content"]
    total = Fingerprint()
    for start in range(0, len(table), ROWS_AT_ONCE):
        part = table.slice(start, ROWS_AT_ONCE)
        cells = {name: _cells(part[name]) for name in part.schema.names}
        total += Fingerprint(_sum(list(cells.values())), _sum([cells[name] for name in content]))
    return total


def _sum(cells: list[pa.Array]) -> int:
    if not cells:
        return 0
    rows = pc.binary_join_element_wise(*cells, pa.scalar(b"", pa.binary()))
    digests = b"".join(map(mmh3.mmh3_x64_128_digest, rows.to_pylist()))
    words = np.frombuffer(digests, "<u4").reshape(-1, 4).sum(axis=0, dtype=np.uint64)
    return sum(int(word) << (32 * i) for i, word in enumerate(words)) % MODULUS


def _cells(column: pa.ChunkedArray) -> pa.Array:
    """The cells of a column as a binary array."""
    # One chunk would be copied, too, and pictures are large.
    array = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
    values = _values(array)
    lengths = pc.fill_null(pc.binary_length(values), 0).to_numpy().astype("<i8")
    heads = _fixed(lengths)
    joined = pc.binary_join_element_wise(heads, pc.fill_null(values, b""), pa.scalar(b"", pa.binary()))
    if array.null_count == 0:
        return joined
    return pc.if_else(array.is_null(), pa.scalar(NULL_CELL, pa.binary()), joined)


def _values(array: pa.Array) -> pa.Array:
    """The bytes of each value, without its length; NULL where the value is."""
    dtype = array.type
    if pa.types.is_string(dtype) or pa.types.is_binary(dtype):
        return array.cast(pa.binary())
    if pa.types.is_large_string(dtype):
        return array.cast(pa.string()).cast(pa.binary())
    if pa.types.is_large_binary(dtype):
        digests = [None if not v.is_valid else hashlib.sha256(v.as_buffer()).digest() for v in array]
        return pa.array(digests, pa.binary())
    if pa.types.is_fixed_size_list(dtype):
        return _vectors(array)
    if pa.types.is_list(dtype):
        return _lists(array)
    return _masked(_fixed(_numbers(array)), array)


def _numbers(array: pa.Array) -> np.ndarray:
    dtype = array.type
    if pa.types.is_floating(dtype):
        floats = pc.fill_null(array.cast(pa.float64()), 0.0).to_numpy(zero_copy_only=False)
        return _plain(floats).astype("<f8")
    if pa.types.is_timestamp(dtype):
        array = array.cast(pa.timestamp("us", tz=dtype.tz)).cast(pa.int64())
    elif not (pa.types.is_integer(dtype) or pa.types.is_boolean(dtype)):
        raise TypeError(f"no row hash is defined for columns of type {dtype}")
    numbers: np.ndarray = pc.fill_null(array.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    return numbers.astype("<i8")


def _plain(floats: np.ndarray) -> np.ndarray:
    """The same numbers with one zero and one NaN."""
    plain: np.ndarray = np.where(np.isnan(floats), floats.dtype.type(np.nan), floats + floats.dtype.type(0))
    return plain


def _vectors(array: pa.FixedSizeListArray) -> pa.Array:
    size = array.type.list_size
    elements = array.values.slice(array.offset * size, len(array) * size).to_numpy(zero_copy_only=False)
    return _masked(_fixed(_plain(elements).reshape(len(array), size)), array)


def _lists(array: pa.ListArray) -> pa.Array:
    values: list[bytes | None] = []
    for item in array:
        if not item.is_valid:
            values.append(None)
        elif len(item) == 0:
            values.append(b"")
        else:
            values.append(b"".join(_cells(pa.chunked_array([item.values])).to_pylist()))
    return pa.array(values, pa.binary())


def _fixed(numbers: np.ndarray) -> pa.Array:
    """Each element (or row) of a contiguous array as its bytes."""
    numbers = np.ascontiguousarray(numbers)
    width = numbers.dtype.itemsize * (numbers.shape[1] if numbers.ndim == 2 else 1)
    offsets = pa.py_buffer(np.arange(len(numbers) + 1, dtype=np.int32) * np.int32(width))
    return pa.Array.from_buffers(pa.binary(), len(numbers), [None, offsets, pa.py_buffer(numbers)])


def _masked(values: pa.Array, like: pa.Array) -> pa.Array:
    if like.null_count == 0:
        return values
    return pc.if_else(like.is_valid(), values, pa.scalar(None, pa.binary()))
