"""Each audit is silent on a sound lake and speaks where the fault that it looks for is planted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lakehouse import lineage, sqlfiles, views
from lakehouse.lake import Lake, init
from tests import lakes

PLUM = lakes.candidate("plum")
LIME = lakes.candidate("lime")
SCORES = f"scores/{lakes.SIMILARITY}"


def duplicate_sample_ids(lake: Lake) -> None:
    lakes.append(lake, {"candidates": [lakes.candidate("apple")]})


def duplicate_attempts(lake: Lake) -> None:
    lakes.append(lake, {"downloads": [lakes.download(lakes.candidate("apple"))]})


def duplicate_scores(lake: Lake) -> None:
    lakes.append(lake, {SCORES: [lakes.score(lakes.candidate("apple"), 0.3)]})


def scores_out_of_range(lake: Lake) -> None:
    lakes.append(lake, {"scores/punsafe_b32": [lakes.score(lakes.candidate("apple"), 1.5, "punsafe_b32")]})


def scores_without_candidate(lake: Lake) -> None:
    lakes.append(lake, {SCORES: [lakes.score(PLUM | {"sample_id": 1}, 0.3)]})


def candidates_without_download(lake: Lake) -> None:
    number = lakes.append(lake, {"candidates": [LIME]})
    lakes.append(lake, {"downloads": []}, [f"candidates:{number}"])


def rows_not_accounted_for(lake: Lake) -> None:
    lakes.append(lake, {"candidates": [LIME]}, counts={"candidates": {(lakes.UNIT, "in"): 2}})


def batches_differ_from_ledger(lake: Lake) -> None:
    lake.table("candidates").delete(f"sample_id = {lakes.candidate('pear')['sample_id']}")


def batch_gaps(lake: Lake) -> None:
    """The ledger loses what it said of the first batch of candidates."""
    from deltalake import DeltaTable

    DeltaTable(lake.ledger.uri).delete("key = 'candidates' and batch = 1 and event = 'done'")


def grouping(of: dict[str, Any], kept: bool, method: str = "sha256") -> dict[str, Any]:
    same = {"sample_id": of["sample_id"], "unit": of["unit"]}
    return same | {"method": method, "group_id": 1, "kept": kept}


def duplicate_groupings(lake: Lake) -> None:
    apple, pear = lakes.candidate("apple"), lakes.candidate("pear")
    lakes.append(lake, {"duplicates/sha256": [grouping(apple, True), grouping(pear, True)]})


def duplicates_without_candidate(lake: Lake) -> None:
    lakes.append(lake, {"duplicates/sha256": [grouping(LIME, True)]})


def candidates_out_of_range(lake: Lake) -> None:
    lakes.append(lake, {"candidates": [LIME | {"language_probability": 1.5}]})


def downloads_out_of_range(lake: Lake) -> None:
    lakes.append(lake, {"downloads": [lakes.download(PLUM, attempt=3, width=None)]}, ["retry-timeout:3"])


def stored_pairs_differ(lake: Lake) -> None:
    """A batch of stored rows, as up to date as the ledger can say, that lacks one and has another twice."""
    state, pins = lake.ledger.state(), lake.pins()
    texts = views.definitions(lake)
    works = list(lineage.works(state, pins, views.active_scorers(texts)))
    found = views.query(lake, "select * exclude (batch), batch as candidates_batch from joined_pairs")
    rows = found.to_pylist()
    fingerprint = lineage.fingerprint(views.pairs_rules(texts))
    lakes.append(lake, {lineage.TABLE: [rows[0], rows[1], rows[1]]}, works, fingerprint=fingerprint)


# What a planted fault makes other audits say besides its own: the same rows seen from another side.
FAULTS: dict[Callable[[Lake], None], set[str]] = {
    duplicate_sample_ids: set(),
    duplicate_attempts: set(),
    duplicate_scores: set(),
    scores_out_of_range: set(),
    scores_without_candidate: set(),
    candidates_without_download: set(),
    rows_not_accounted_for: set(),
    stored_pairs_differ: set(),
    duplicate_groupings: set(),
    duplicates_without_candidate: set(),
    candidates_out_of_range: set(),
    downloads_out_of_range: set(),
    batches_differ_from_ledger: {"rows_not_accounted_for", "scores_without_candidate"},
}


def speaking(lake: Lake, **how: object) -> set[str]:
    return {name for name, rows in views.audits(lake).items() if len(rows)}


def test_all_are_silent_on_a_sound_lake(tmp_path: Path) -> None:
    assert set(views.audits(lakes.small(tmp_path))) == set(sqlfiles.audits())
    assert speaking(lakes.small(tmp_path / "again")) == set()


def test_all_are_silent_on_an_empty_lake(tmp_path: Path) -> None:
    assert speaking(init(str(tmp_path))) == set()


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_speaks_of_its_fault(tmp_path: Path, plant: Callable[[Lake], None]) -> None:
    lake = lakes.small(tmp_path)
    plant(lake)
    assert speaking(lake) == {plant.__name__} | FAULTS[plant]


def test_a_gap_in_the_batches_is_told(tmp_path: Path) -> None:
    lake = lakes.small(tmp_path)
    pins = lake.pins()
    batch_gaps(lake)
    with views.connect(lake, pins) as connection:
        found = connection.sql("from batch_gaps").to_arrow_table().to_pylist()
    assert [(row["key"], row["batch"], row["times"]) for row in found] == [("candidates", 1, 0)]


def test_every_audit_has_a_fault_here() -> None:
    assert {plant.__name__ for plant in FAULTS} | {batch_gaps.__name__} == set(sqlfiles.audits())


@pytest.mark.parametrize(
    ("scorer", "value", "speaks"),
    [
        ("similarity_b32", -1.0, False),
        ("similarity_b32", 1.0, False),
        ("similarity_b32", 1.001, True),
        ("similarity_old", -1.001, True),
        ("punsafe_b32", 0.0, False),
        ("punsafe_b32", -0.001, True),
        ("toxicity_profanity_check", 1.001, True),
        ("aesthetic_v1_b32", 11.3, False),
        ("aesthetic_v1_b32", float("inf"), True),
        ("aesthetic_v1_b32", float("nan"), True),
        ("similarity_b32", float("nan"), True),
    ],
)
@pytest.mark.parametrize("access", ["extension", pytest.param("arrow", marks=pytest.mark.slow)])
def test_ranges_of_scores(
    tmp_path: Path, scorer: str, value: float, speaks: bool, access: views.Access
) -> None:
    lake = init(str(tmp_path))
    lakes.append(lake, {"candidates": [PLUM]})
    lakes.append(lake, {f"scores/{scorer}": [lakes.score(PLUM, value, scorer)]})
    with views.connect(lake, access=access) as connection:
        assert bool(connection.sql("from scores_out_of_range").to_arrow_table().num_rows) == speaks


def test_pictures_are_accounted_for_by_the_ledgers_rows(tmp_path: Path) -> None:
    lake = lakes.small(tmp_path)
    counts = {"images": {(lakes.UNIT, "in"): 3, (lakes.UNIT, "drop:not_fetched"): 1}}
    lakes.append(
        lake, {"downloads": [lakes.download(LIME)], "images": [lakes.image(LIME)]}, ["retry:3"], counts
    )
    (found,) = views.query(lake, "from rows_not_accounted_for").to_pylist()
    assert found == {"key": "images", "batch": 3, "unit": None, "rows_in": 3, "dropped": 1, "rows_out": 1}


def test_downloads_over_a_view_need_not_ask_for_every_url(tmp_path: Path) -> None:
    lake = lakes.small(tmp_path)
    number = lakes.append(lake, {"candidates": [LIME]})
    lakes.append(lake, {"downloads": []}, [f"candidates:{number}"], selection="view:x@0")
    assert speaking(lake) == set()


def test_a_url_asked_for_by_an_earlier_batch_counts(tmp_path: Path) -> None:
    lake = lakes.small(tmp_path)
    again = lakes.candidate("apple", text="the apple again", sample_id=5)
    number = lakes.append(lake, {"candidates": [again]})
    lakes.append(lake, {"downloads": []}, [f"candidates:{number}"])
    assert speaking(lake) == set()
