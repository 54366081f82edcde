"""`--at`: a table at a native version, the first included; all rows that it had then."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from lakehouse import UsageError, views
from lakehouse.lake import Lake, init
from tests import lakes


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Version 0 of candidates is the empty table; each batch makes one more."""
    made = init(str(tmp_path))
    for name in ("one", "two", "three"):
        lakes.append(made, {"candidates": [lakes.candidate(name)]})
    return made


def names(lake: Lake, version: int) -> list[str]:
    found = views.query(lake, "select text from candidates order by batch", versions={"candidates": version})
    return [text.removeprefix("a picture of ") for text in found["text"].to_pylist()]


def test_every_version_reads_as_it_was(lake: Lake) -> None:
    assert [names(lake, version) for version in range(4)] == [
        [],
        ["one"],
        ["one", "two"],
        ["one", "two", "three"],
    ]


def test_a_pin_and_its_version_give_the_same_rows(lake: Lake) -> None:
    sql = "from pairs order by all"
    pinned = views.query(lake, sql, pins={"candidates": (1, 2)})
    assert pinned.equals(views.query(lake, sql, versions={"candidates": 2}))
    assert len(pinned) == 2


def test_other_tables_stay_at_head(lake: Lake) -> None:
    row = lakes.candidate("one")
    lakes.append(lake, {f"scores/{lakes.SIMILARITY}": [lakes.score(row, 0.5)]})
    found = views.query(lake, "select similarity from pairs", versions={"candidates": 1})
    assert found["similarity"].to_pylist() == [0.5]


def test_a_version_outlives_compaction(lake: Lake) -> None:
    lake.table("candidates").compact()
    assert names(lake, 1) == ["one"]


def test_rows_of_an_unfinished_batch_are_in_the_version_and_not_at_head(lake: Lake) -> None:
    table = lake.table("candidates")
    row = lakes.candidate("left behind") | {"batch": 4}
    version = table.commit(table.writer().write(pa.Table.from_pylist([row], schema=table.spec.schema)), {})
    assert "left behind" in names(lake, version)
    assert len(views.query(lake, "from candidates")) == 3


@pytest.mark.parametrize(
    ("table", "version", "message"),
    [
        ("candidates", 4, "table candidates has no version 4: `lake history candidates` lists them"),
        ("candidates", -1, "has no version -1"),
        ("downloads", 0, "table downloads has no version 0"),
        ("images", 1, "no table 'images' that SQL can read"),
        ("pairs", 1, "no table 'pairs' that SQL can read at a version; there are candidates, downloads"),
    ],
)
def test_what_does_not_exist_is_refused(lake: Lake, table: str, version: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        views.query(lake, "select 1", versions={table: version})
