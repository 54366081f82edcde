"""The files of sql/: one SELECT each, with its grain and source, and no threshold outside thresholds.sql."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import duckdb
import pytest

from lakehouse import UsageError, sqlfiles

FILES = sorted(sqlfiles.folder().rglob("*.sql"))


def body(path: Path) -> str:
    """The file without its comments."""
    return "\n".join(line.partition("--")[0] for line in path.read_text().splitlines())


def test_file_names_are_different() -> None:
    assert len({path.stem for path in FILES}) == len(FILES) > 15


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
class TestFile:
    def test_begins_with_its_name_grain_and_source(self, path: Path) -> None:
        lines = path.read_text().splitlines()
        head = "\n".join(itertools.takewhile(lambda line: line.startswith("--"), lines))
        assert head.startswith(f"-- {path.stem}: ")
        assert "-- Grain: " in head
        assert "-- Source: " in head

    def test_is_one_select(self, path: Path) -> None:
        assert sqlfiles.references(path.read_text()) is not None

    def test_keywords_are_lower_case(self, path: Path) -> None:
        words = {word for _, word in _keywords(body(path))}
        assert words == {word.lower() for word in words}

    def test_holds_no_threshold_of_its_own(self, path: Path) -> None:
        if path.stem != "thresholds":
            assert not re.findall(r"\d\.\d", re.sub(r"'[a-z][^']*'", "", body(path)))

    def test_has_no_window_over_all_rows(self, path: Path) -> None:
        """DuckDB 1.5.5 sometimes fails at `over ()` over a few rows (its issue 25713)."""
        assert not re.search(r"\bover\s*\(\s*\)", body(path))


def _keywords(sql: str) -> list[tuple[int, str]]:
    tokens = duckdb.tokenize(sql)
    ends = [start for start, _ in tokens[1:]] + [len(sql)]
    return [
        (start, sql[start:end].strip())
        for (start, kind), end in zip(tokens, ends, strict=True)
        if kind == duckdb.token_type.keyword
    ]


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("from pairs", {"pairs"}),
        ("select * from a join b using (x) where y in (select z from c)", {"a", "b", "c"}),
        ('with w as (from "Odd Name") from w', {"odd name", "w"}),
        ("select 'from quoted' -- from comment", set()),
    ],
)
def test_references_are_the_relations_read(sql: str, names: set[str]) -> None:
    assert sqlfiles.references(sql) == names


@pytest.mark.parametrize("sql", ["", "selec 1", "select 1; select 2", "drop table x", "-- nothing"])
def test_anything_but_one_select_is_refused(sql: str) -> None:
    with pytest.raises(UsageError, match="SQL error"):
        sqlfiles.references(sql)


def test_views_come_after_what_they_read() -> None:
    views = {
        "top": "from middle join base using (x)",
        "middle": "from base",
        "base": "select 1 as x",
        "other": "from x",
    }
    assert list(sqlfiles.needed(views, ["TOP"])) == ["base", "middle", "top"]


def test_views_in_a_circle_are_refused() -> None:
    with pytest.raises(UsageError, match="circle"):
        sqlfiles.needed({"a": "from b", "b": "from c", "c": "from a"}, ["a"])
