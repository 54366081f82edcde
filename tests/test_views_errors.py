"""What DuckDB refuses is one clear line, whatever it prints itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakehouse import UsageError, views
from lakehouse.lake import Lake, init


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return init(str(tmp_path_factory.mktemp("errors")))


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("selec 1", 'SQL error: syntax error at or near "selec" near line 1: selec 1'),
        ("select url\nfrom pears", "SQL error: Table with name pears does not exist!"),
        ("select 1 +\n\nfoo(", "SQL error: syntax error at end of input"),
        ("select colour from pairs", 'SQL error: Referenced column "colour" not found in FROM clause!'),
        ("select 'a'::integer", "SQL error: Could not convert string 'a' to INT32"),
        ("select error('said so')", "SQL error: said so"),
        ("from read_parquet('nowhere.parquet')", "SQL error: No files found that match the pattern"),
    ],
)
def test_an_error_is_one_line(lake: Lake, sql: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        views.query(lake, sql)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sql", ["create table t (i integer)", "set threads = 1", ""])
def test_a_statement_without_rows_gives_an_empty_table(lake: Lake, sql: str) -> None:
    assert len(views.query(lake, sql)) == 0


def test_of_several_statements_the_last_gives_the_rows(lake: Lake) -> None:
    assert views.query(lake, "create table t as select 1 as i; from t").to_pylist() == [{"i": 1}]


def test_writing_to_the_lake_is_refused(lake: Lake) -> None:
    with pytest.raises(UsageError, match="SQL error"):
        views.query(lake, "insert into candidates select * from candidates")


def test_a_release_that_does_not_exist_is_one_line(tmp_path: Path) -> None:
    fresh = init(str(tmp_path))
    with pytest.raises(UsageError, match="no release 'v1'; there is none yet"):
        views.query(fresh, "select 1", release="v1")


def test_a_view_that_does_not_exist_is_answered_with_those_of_like_names(lake: Lake) -> None:
    with pytest.raises(UsageError) as caught:
        views.definition(lake, "laion2b_em")
    assert str(caught.value) == (
        "no view 'laion2b_em'; did you mean laion2b_en or laion2b_multi or laion5b? `lake views` lists all"
    )
