"""Reading ranges of batches: no row lost or doubled, however the rows are cut."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from things import FORMATS, SCHEMA, append, frames, ids, spec, things

from lakehouse.fingerprints import fingerprint
from lakehouse.schema import FIXED
from lakehouse.storage import Storage
from lakehouse.tables import Range, Table, open_table
from transforms import columns


@pytest.fixture(params=FORMATS)
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Table:
    return open_table(Storage(str(tmp_path)), spec(request.param))


def collected(parts: list[pd.DataFrame], schema: pa.Schema) -> pa.Table:
    return pa.concat_tables([columns.to_arrow(part, schema) for part in parts])


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=12, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=5),
    rows=st.integers(1, 80),
    span=st.tuples(st.integers(1, 5), st.integers(1, 5)),
)
def test_no_row_is_lost_or_doubled(form: str, sizes: list[int], rows: int, span: tuple[int, int]) -> None:
    with TemporaryDirectory() as folder:
        table = open_table(Storage(folder), spec(form))  # type: ignore[arg-type]
        batches = [things(range(1000 * n, 1000 * n + size), n) for n, size in enumerate(sizes, 1)]
        for batch in batches:
            append(table, batch)
        ranges = [Range(min(span), max(span))]
        wanted = pa.concat_tables([SCHEMA.empty_table(), *batches[min(span) - 1 : max(span)]])
        parts = frames(table, ranges, rows=rows)
        assert all(len(part) <= rows for part in parts)
        assert fingerprint(collected(parts, SCHEMA)) == fingerprint(wanted)
        assert fingerprint(table.arrow(ranges)) == fingerprint(wanted)
        assert fingerprint(collected(frames(table, ranges), SCHEMA)) == fingerprint(wanted)


def test_row_groups_are_crossed_without_loss(tmp_path: Path) -> None:
    """A parquet file of several row groups, cut at places that are no boundaries of theirs."""
    table = open_table(Storage(str(tmp_path)), spec("delta"))
    rows = things(range(40_000), 1)
    append(table, rows)
    parts = frames(table, [Range(1, 1)], columns=["id"], rows=7_001)
    assert [len(part) for part in parts] == [7_001] * 5 + [40_000 - 5 * 7_001]
    assert [i for part in parts for i in part["id"]] == list(range(40_000))


def test_payloads_come_back_as_they_were(table: Table) -> None:
    """NULL stays NULL and empty stays empty."""
    rows = things(range(30), 1)
    append(table, rows)
    back = table.arrow([Range(1, 1)]).sort_by("id")
    assert back["payload"].to_pylist() == rows["payload"].to_pylist()
    assert back["payload"].null_count == 10
    assert back.schema.equals(SCHEMA)


def test_columns_in_the_order_asked_for(table: Table) -> None:
    append(table, things(range(5), 1))
    (part,) = frames(table, [Range(1, 1)], columns=["text", "id"])
    assert list(part.columns) == ["text", "id"]
    assert sorted(part["id"]) == [0, 1, 2, 3, 4]
    assert table.arrow([Range(1, 1)], ["unit"]).column_names == ["unit"]


def test_several_ranges(table: Table) -> None:
    for number in range(1, 6):
        append(table, things([number], number))
    assert ids(table, [Range(1, 1), Range(4, 5)]) == [1, 4, 5]
    parts = frames(table, [Range(1, 1), Range(4, 5)], columns=["id"])
    assert sorted(i for part in parts for i in part["id"]) == [1, 4, 5]
    assert ids(table, []) == []
    assert ids(table, [Range(6, 9)]) == []


def test_overlapping_ranges_give_a_row_once(table: Table) -> None:
    append(table, things([1], 1), things([2], 1))
    assert ids(table, [Range(1, 3), Range(1, 1), Range(0, 9)]) == [1, 2]


def test_an_empty_range_has_one_empty_partition_with_the_right_types(table: Table) -> None:
    for parts in (frames(table, [Range(1, 1)]), frames(table, [])):
        assert [len(part) for part in parts] == [0]
    append(table, things(range(3), 1))
    (part,) = frames(table, [Range(7, 9)])
    assert len(part) == 0
    assert part["payload"].dtype == pd.ArrowDtype(pa.large_binary())


def test_skipped_files_are_not_opened(table: Table, tmp_path: Path) -> None:
    """The caller says that no row of theirs is wanted: they may even be damaged."""
    (old,) = append(table, things(range(5), 1))
    append(table, things(range(5, 8), 2))
    (tmp_path / old.path).write_bytes(b"damaged")
    parts = frames(table, [Range(2, 2)], columns=["id"], skip=frozenset({old.path}))
    assert [i for part in parts for i in part["id"]] == [5, 6, 7]


def scores(scorer: str, numbers: range, batch: int) -> pa.Table:
    schema = FIXED["scores"].schema
    count = len(numbers)
    return pa.table(
        [list(numbers), [scorer] * count, [float(n) for n in numbers], ["u"] * count, [batch] * count],
        names=schema.names,
    ).cast(schema)


def test_partitions_have_ranges_of_their_own(tmp_path: Path) -> None:
    table = open_table(Storage(str(tmp_path)), FIXED["scores"])
    for scorer, numbers, batch in [("a", range(3), 1), ("b", range(10, 14), 1), ("a", range(3, 5), 2)]:
        rows = scores(scorer, numbers, batch)
        table.commit(table.writer(scorer).write(rows), {"key": f"scores/{scorer}"})
    pins = [Range(1, 2, "a"), Range(1, 1, "b")]
    assert sorted(table.arrow(pins, ["sample_id"])["sample_id"].to_pylist()) == [
        0,
        1,
        2,
        3,
        4,
        10,
        11,
        12,
        13,
    ]
    assert sorted(table.arrow([Range(2, 2, "a")])["value"].to_pylist()) == [3.0, 4.0]
    assert len(table.arrow([Range(2, 2, "b")])) == 0
    assert len(table.arrow([Range(1, 9, "c")])) == 0
    parts = frames(table, [Range(1, 1, "a"), Range(1, 1, "b")], rows=2)
    assert all(len(part) <= 2 for part in parts)
    both = collected(parts, FIXED["scores"].schema)
    wanted = pa.concat_tables([scores("a", range(3), 1), scores("b", range(10, 14), 1)])
    assert fingerprint(both) == fingerprint(wanted)
    assert table.delete("batch = 1 and scorer = 'a'") == 3
    assert sorted(table.arrow(pins)["sample_id"].to_pylist()) == [3, 4, 10, 11, 12, 13]
    table.compact()
    assert sorted(table.arrow(pins)["sample_id"].to_pylist()) == [3, 4, 10, 11, 12, 13]
