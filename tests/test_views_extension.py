"""The packaged Delta extension is loaded without a check of its signature, and nothing else can be."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakehouse import UsageError, views
from lakehouse.lake import Lake
from tests import lakes


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return lakes.small(tmp_path_factory.mktemp("extension") / "lake")


def test_the_extension_is_there(lake: Lake) -> None:
    sql = "select extension_name from duckdb_extensions() where loaded and extension_name = 'delta'"
    assert len(views.query(lake, sql)) == 1


def test_a_query_cannot_load_another_unsigned_extension(lake: Lake, tmp_path: Path) -> None:
    extension = views._extension()
    assert extension is not None
    forged = bytearray(extension.read_bytes())
    forged[len(forged) // 2] ^= 1  # the signature, at the end, is of other bytes now
    file = tmp_path / "another.duckdb_extension"
    file.write_bytes(forged)
    for sql, message in (
        (f"load '{file}'", "signature"),
        ("set allow_unsigned_extensions = true", "Cannot change"),
    ):
        with pytest.raises(UsageError, match=message):
            views.query(lake, sql)


def test_a_query_makes_what_it_reads_and_no_more(tmp_path: Path) -> None:
    """Tables that a query does not read are not even opened: one of them may be damaged."""
    lake = lakes.small(tmp_path)
    for table in ("downloads", "scores"):
        (Path(lake.storage.root) / table / "_delta_log" / f"{0:020}.json").write_text("damaged")
    assert len(views.query(lake, "select text from candidates")) == 3
    assert views.query(lake, "with c as (from candidates) select count(*) as n from c").to_pylist() == [
        {"n": 3}
    ]
