"""Users' own *.sql in the lake's folder sql/ are views like the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakehouse import UsageError, views
from lakehouse.lake import Lake
from tests import lakes


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    (tmp_path / "sql").mkdir(parents=True)
    return lakes.small(tmp_path)


def write(lake: Lake, name: str, text: str) -> None:
    (Path(lake.storage.root) / "sql" / f"{name}.sql").write_text(text)


def test_one_reads_ours_and_other_own_ones_whatever_the_order(lake: Lake) -> None:
    write(lake, "a_first", "-- mine; with a comment\nselect count(*) as n from z_last;\n-- the end")
    write(lake, "z_last", "select * from laion2b_en")
    write(lake, "with-dash and 'quote'", 'select * from "z_last"')
    assert views.query(lake, "from a_first").to_pylist() == [{"n": 1}]
    assert len(views.query(lake, """from "with-dash and 'quote'" """)) == 1
    assert {"a_first", "z_last"} <= set(views.names(lake))


@pytest.mark.parametrize("name", ["pairs", "PAIRS", "candidates", "ledger", "scorers", "funnel"])
def test_ours_cannot_be_hidden(lake: Lake, name: str) -> None:
    write(lake, name, "select 1 as one")
    with pytest.raises(UsageError, match=f"{name} is one of Pairlake's own relations"):
        views.query(lake, "select 1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("selec 1", r"mine\.sql: SQL error: syntax error"),
        ("select 1; select 2", r"mine\.sql: SQL error: expected one SELECT, found 2"),
        ("drop table candidates", r"mine\.sql: SQL error"),
        ("from nowhere", r"view mine: SQL error: Table with name nowhere does not exist!"),
        ("from other", "circle"),
    ],
)
def test_a_bad_one_is_named(lake: Lake, text: str, message: str) -> None:
    write(lake, "mine", text)
    write(lake, "other", "from mine")
    with pytest.raises(UsageError, match=message) as caught:
        views.query(lake, "from mine")
    assert "\n" not in str(caught.value)


def test_a_query_that_does_not_read_a_bad_one_has_its_answer(lake: Lake) -> None:
    write(lake, "mine", "from nowhere")
    assert len(views.query(lake, "from pairs")) == 3
    with pytest.raises(UsageError, match="view mine"):
        views.connect(lake)


def test_a_file_that_is_no_text_is_named(lake: Lake) -> None:
    (Path(lake.storage.root) / "sql" / "bytes.sql").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"bytes\.sql"):
        views.query(lake, "select 1")
