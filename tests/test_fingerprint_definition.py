"""The row hash is what the docstring of `lakehouse.fingerprints` defines.

The definition is written down a second time here, cell by cell in plain Python with mmh3 and the
standard library; the two must agree on any table.
"""

from __future__ import annotations

import hashlib
import math
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import mmh3
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.fingerprints import MODULUS, Fingerprint, fingerprint

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def value_bytes(value: Any, dtype: pa.DataType) -> bytes:
    """The bytes of one value that is not NULL."""
    if pa.types.is_fixed_size_list(dtype):
        form = {pa.float16(): "<e", pa.float32(): "<f", pa.float64(): "<d"}[dtype.value_type]
        return b"".join(struct.pack(form, plain_float(element)) for element in value)
    if pa.types.is_list(dtype):
        return b"".join(cell(element, dtype.value_type) for element in value)
    if pa.types.is_large_binary(dtype):
        return hashlib.sha256(value).digest()
    if pa.types.is_timestamp(dtype):
        return struct.pack("<q", (value - EPOCH) // timedelta(microseconds=1))
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    if isinstance(value, float):
        return struct.pack("<d", plain_float(value))
    return struct.pack("<q", int(value))


def plain_float(value: float) -> float:
    return math.nan if math.isnan(value) else 0.0 if value == 0 else value


def cell(value: Any, dtype: pa.DataType) -> bytes:
    if value is None:
        return b"\xff" * 8
    data = value_bytes(value, dtype)
    return struct.pack("<q", len(data)) + data


def expected(table: pa.Table) -> Fingerprint:
    whole = content = 0
    for row in table.to_pylist():
        cells = {field.name: cell(row[field.name], field.type) for field in table.schema}
        chosen = [c for name, c in cells.items() if kind(table, name) == b"content"]
        whole += int.from_bytes(mmh3.mmh3_x64_128_digest(b"".join(cells.values())), "little")
        if chosen:
            content += int.from_bytes(mmh3.mmh3_x64_128_digest(b"".join(chosen)), "little")
    return Fingerprint(whole % MODULUS, content % MODULUS)


def kind(table: pa.Table, name: str) -> bytes | None:
    return (table.schema.field(name).metadata or {}).get(b"kind")


moments = st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
half = st.integers(0, 2**16 - 1).map(lambda bits: struct.unpack("<e", struct.pack("<H", bits))[0])
SCALARS: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int8(): st.integers(-(2**7), 2**7 - 1),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint32(): st.integers(0, 2**32 - 1),
    pa.bool_(): st.booleans(),
    pa.float16(): half,
    pa.float32(): st.floats(width=32),
    pa.float64(): st.floats(),
    pa.string(): st.text(),
    pa.large_string(): st.text(),
    pa.binary(): st.binary(),
    pa.large_binary(): st.binary(),
    pa.timestamp("us", tz="UTC"): moments,
}
TYPES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    **SCALARS,
    pa.list_(pa.string()): st.lists(st.none() | st.text(), max_size=3),
    pa.list_(pa.float32()): st.lists(st.none() | st.floats(width=32), max_size=3),
    pa.list_(pa.list_(pa.int64())): st.lists(st.none() | st.lists(st.integers(0, 9), max_size=2), max_size=3),
    pa.list_(pa.float16(), 3): st.lists(half, min_size=3, max_size=3),
    pa.list_(pa.float32(), 2): st.lists(st.floats(width=32), min_size=2, max_size=2),
}


def column(values: list[Any], dtype: pa.DataType) -> pa.Array:
    if pa.types.is_fixed_size_list(dtype) or dtype == pa.float16():
        return halves(values, dtype)
    return pa.array(values, dtype)


def halves(values: list[Any], dtype: pa.DataType) -> pa.Array:
    """float16 goes into Arrow by way of NumPy."""
    if dtype == pa.float16():
        return pa.array([None if v is None else np.float16(v) for v in values], dtype)
    size = dtype.list_size
    flat = np.array([v for row in values for v in (row or [0] * size)], dtype.value_type.to_pandas_dtype())
    mask = pa.array([row is None for row in values], pa.bool_())
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), size, mask=mask)


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Up to 12 rows of any types, NULLs included, in one or more chunks, often with an offset."""
    count = draw(st.integers(0, 12))
    fields, chunks = [], []
    for number, dtype in enumerate(draw(st.lists(st.sampled_from(list(TYPES)), min_size=1, max_size=6))):
        values = draw(st.lists(st.none() | TYPES[dtype], min_size=count, max_size=count))
        labels = {"kind": draw(st.sampled_from(["content", "numeric", "observation"]))}
        fields.append(pa.field(f"c{number}", dtype, metadata=labels))
        cut = draw(st.integers(0, count))
        whole = column(values, dtype)
        chunks.append(pa.chunked_array([whole[:cut], whole[cut:]], dtype))
    table = pa.table(chunks, schema=pa.schema(fields))
    start = draw(st.integers(0, count))
    return table.slice(start, draw(st.integers(0, count - start)))


@settings(max_examples=150, deadline=None)
@given(tables())
def test_agrees_with_the_definition(table: pa.Table) -> None:
    assert fingerprint(table) == expected(table)


@settings(max_examples=20, deadline=None)
@given(st.data())
@pytest.mark.parametrize("dtype", list(TYPES), ids=str)
def test_nulls_within_a_slice(dtype: pa.DataType, data: st.DataObject) -> None:
    values = data.draw(st.lists(TYPES[dtype], min_size=4, max_size=4))
    sliced = column([values[0], None, *values[1:], None], dtype)[1:5]
    table = pa.table({"c": sliced})
    assert fingerprint(table) == expected(table)


def test_no_row_is_zero() -> None:
    empty = pa.table({"a": pa.array([], pa.int64()), "b": pa.array([], pa.list_(pa.float16(), 2))})
    assert fingerprint(empty) == Fingerprint(0, 0)


def test_a_type_without_a_definition_is_refused() -> None:
    with pytest.raises(TypeError, match="date32"):
        fingerprint(pa.table({"day": pa.array([1], pa.date32())}))
