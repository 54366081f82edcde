"""A release is read with its own pins and its own SQL: thresholds, scorers and users' views included."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakehouse import UsageError, open_lake, releases, sqlfiles, views
from lakehouse.lake import Lake
from tests import lakes


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with one release, and all that could change after it changed."""
    made = lakes.small(tmp_path)
    own = tmp_path / "sql" / "mine.sql"
    own.parent.mkdir()
    own.write_text("select text from laion2b_en")
    releases.create(made, "v1")
    lakes.append(made, {"candidates": [lakes.candidate("later")]})
    lakes.append(made, {f"scores/{lakes.SIMILARITY}": [lakes.score(lakes.candidate("later"), 0.9)]})
    own.write_text("select 'another view' as text")
    toml = tmp_path / "lake.toml"
    changed = '[scores]\nscorers = ["punsafe_b32", "similarity_b32"]\n[thresholds]\nsimilarity_en = 0.1\n'
    toml.write_text(f"{toml.read_text()}\n{changed}")
    return open_lake(str(tmp_path))


def test_rows_are_those_of_the_release(lake: Lake) -> None:
    sql = "select text from pairs order by text"
    assert len(views.query(lake, sql)) == 4
    found = views.query(lake, sql, release="v1")["text"].to_pylist()
    assert found == ["a picture of apple", "a picture of pear", "a picture of plum"]


def test_own_views_are_those_of_the_release(lake: Lake) -> None:
    assert views.query(lake, "from mine")["text"].to_pylist() == ["another view"]
    assert views.query(lake, "from mine", release="v1")["text"].to_pylist() == ["a picture of apple"]


def test_thresholds_and_scorers_are_those_of_the_release(lake: Lake) -> None:
    sql = "select round(value::double, 2) as v from active_thresholds where rule = 'similarity_en'"
    assert views.query(lake, sql)["v"].to_pylist() == [0.1]
    assert views.query(lake, sql, release="v1")["v"].to_pylist() == [0.28]
    assert len(views.query(lake, "select distinct scorer from scorers", release="v1")) == 4


def test_our_own_sql_may_change_after_the_release(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = {**sqlfiles.house(), "laion2b_en": "from pairs where false", "new_view": "select 1 as one"}
    monkeypatch.setattr(sqlfiles, "house", lambda: changed)
    assert len(views.query(lake, "from laion2b_en")) == 0
    assert len(views.query(lake, "from laion2b_en", release="v1")) == 1
    with pytest.raises(UsageError, match="new_view does not exist"):
        views.query(lake, "from new_view", release="v1")


def test_a_threshold_can_be_tried_on_a_release(lake: Lake) -> None:
    found = views.query(lake, "from laion2b_en", release="v1", thresholds={"similarity_en": 0.5})
    assert len(found) == 0


def test_counts_and_batches_are_those_of_the_release(lake: Lake) -> None:
    sql = "select sum(rows)::bigint as n from batches where key = 'candidates'"
    assert views.query(lake, sql)["n"].to_pylist() == [4]
    assert views.query(lake, sql, release="v1")["n"].to_pylist() == [3]


def test_audits_run_on_a_release(lake: Lake) -> None:
    assert {name for name, rows in views.audits(lake, "v1").items() if len(rows)} == set()


def test_compaction_changes_nothing(lake: Lake) -> None:
    sql = "from pairs order by sample_id"
    before = views.query(lake, sql, release="v1")
    for table in views.TABLES:
        lake.table(table).compact()
    assert views.query(lake, sql, release="v1").equals(before)


def test_a_release_and_a_version_contradict(lake: Lake) -> None:
    with pytest.raises(UsageError, match="a release reads what it pinned"):
        views.query(lake, "from pairs", release="v1", versions={"candidates": 1})
