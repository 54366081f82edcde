"""What a stage over a view needs: the view's definition and its sample_ids."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakehouse import UsageError, open_lake, views
from lakehouse.lake import Lake
from tests import lakes

SCORES = f"scores/{lakes.SIMILARITY}"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return lakes.small(tmp_path)


def test_sample_ids_are_those_of_the_view(lake: Lake) -> None:
    found = views.sample_ids(lake.settings, "laion2b_en")
    assert found.tolist() == [lakes.candidate("apple")["sample_id"]]
    assert found.dtype == "int64"


def test_sample_ids_are_each_there_once(lake: Lake) -> None:
    folder = Path(lake.storage.root) / "sql"
    folder.mkdir()
    (folder / "twice.sql").write_text("select sample_id from pairs union all select sample_id from pairs")
    assert len(views.sample_ids(lake.settings, "twice")) == 3


def test_a_run_sees_the_generation_that_is_being_built(lake: Lake) -> None:
    lake.ledger.rebuild([SCORES])
    lakes.append(lake, {SCORES: []})
    assert len(views.sample_ids(lake.settings, "laion2b_en")) == 0


def test_a_definition_is_the_view_and_all_it_reads(lake: Lake) -> None:
    found = views.definition(lake, "laion2b_en")
    assert {"laion2b_en", "pairs", "thresholds", "scorers", "own_thresholds"} <= found.keys()
    assert not {"funnel", "batch_gaps", "laion2b_multi"} & found.keys()


def test_a_definition_changes_with_the_lakes_thresholds(lake: Lake) -> None:
    before = views.definition(lake, "laion2b_en")
    toml = Path(lake.storage.root) / "lake.toml"
    toml.write_text(toml.read_text() + "\n[thresholds]\nsimilarity_en = 0.5\n")
    changed = open_lake(lake.storage.root)
    assert views.definition(changed, "laion2b_en") != before
    assert views.definition(changed, "newest_downloads") == views.definition(lake, "newest_downloads")


@pytest.mark.parametrize(
    ("view", "message"), [("laion", "no view 'laion'; did you mean "), ("funnel", "sample_id")]
)
def test_a_view_that_cannot_choose_pairs_is_refused(lake: Lake, view: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        views.sample_ids(lake.settings, view)
