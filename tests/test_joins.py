"""`without` and `matches` give what pandas gives, whatever the partitions, and count what they drop."""

from __future__ import annotations

from collections import Counter

import dask
import dask.dataframe as dd
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms import columns, joins

SCHEMA = pa.schema([columns.URL_ID, columns.column("text", pa.string(), "content", "a text"), columns.UNIT])
FULL = columns.counted(SCHEMA)
TABLE = pa.schema([columns.URL_ID, columns.column("place", pa.int64(), "content", "a place")])

keys = st.integers(-5, 5) | st.sampled_from([2**63 - 1, -(2**63), 2**53, 2**53 + 1])
row = st.tuples(keys, st.none() | st.text(max_size=3), st.sampled_from(["u", "v"]))
count = st.tuples(st.sampled_from(["in", "drop:bad"]), st.sampled_from(["u", "v"]), st.integers(1, 9))


@pytest.fixture(autouse=True)
def _no_strings_of_its_own() -> object:
    with dask.config.set({"dataframe.convert-string": False}):
        yield


def left(
    rows: list[tuple[int, str | None, str]], counts: list[tuple[str, str, int]], parts: int
) -> dd.DataFrame:
    """Rows and bookkeeping rows, cut into partitions, some of them empty."""
    ids, texts, units = zip(*rows, strict=True) if rows else ((), (), ())
    data = pa.table(
        [pa.array(ids, pa.int64()), pa.array(texts, pa.string()), pa.array(units, pa.string())], schema=SCHEMA
    )
    tables = [columns.with_counts(data, "", {})]
    tables += [columns.count_rows(SCHEMA, unit, {name: n}) for name, unit, n in counts]
    return cut(pa.concat_tables(tables), FULL, parts)


def cut(table: pa.Table, schema: pa.Schema, parts: int) -> dd.DataFrame:
    size = -(-len(table) // parts) if len(table) else 1
    pieces = [columns.to_pandas(table.slice(i * size, size)) for i in range(parts)]
    return dd.from_map(lambda piece: piece, pieces, meta=columns.meta(schema))


def right(ids: list[int], parts: int) -> dd.DataFrame:
    table = pa.table([pa.array(ids, pa.int64()), pa.array(range(len(ids)), pa.int64())], schema=TABLE)
    return cut(table, TABLE, parts)


several = st.integers(1, 4)


@settings(max_examples=50, deadline=None)
@given(st.lists(row, max_size=15), st.lists(count, max_size=4), st.lists(keys, max_size=10), several, several)
def test_without(
    rows: list[tuple[int, str | None, str]],
    counts: list[tuple[str, str, int]],
    known: list[int],
    parts: int,
    others: int,
) -> None:
    kept = joins.without(left(rows, counts, parts), right(known, others), "url_id", "drop:known")
    result = kept.compute(scheduler="sync")
    assert columns.to_arrow(result, FULL).schema.equals(FULL)
    data = result[result[columns.COUNT].isnull()]
    assert list(
        zip(
            data["url_id"],
            pd.Series(data["text"]).astype(object).where(data["text"].notnull(), None),
            data["unit"],
            strict=True,
        )
    ) == [r for r in rows if r[0] not in set(known)]
    notes = result[result[columns.COUNT].notnull()]
    found: Counter[tuple[str, str]] = Counter()
    for name, unit, n in zip(notes[columns.COUNT], notes["unit"], notes[columns.N], strict=True):
        found[name, unit] += n
    wanted: Counter[tuple[str, str]] = Counter()
    for name, unit, n in counts:
        wanted[name, unit] += n
    for number, _, unit in rows:
        wanted["drop:known", unit] += number in set(known)
    assert found == +wanted


@settings(max_examples=50, deadline=None)
@given(st.lists(row, max_size=15), st.lists(keys, max_size=10), several, several)
def test_matches(rows: list[tuple[int, str | None, str]], known: list[int], parts: int, others: int) -> None:
    table = right(known, others)
    (found,) = dask.compute(joins.matches(left(rows, [], parts), table, "url_id"), scheduler="sync")
    frame = table.compute(scheduler="sync")
    wanted = frame[frame["url_id"].isin([r[0] for r in rows])]
    assert found.column_names == TABLE.names
    assert found.to_pydict() == {name: wanted[name].tolist() for name in TABLE.names}
