"""LAION's splits: by language, at the threshold and on both sides of it, under the active scorer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lakehouse import UsageError, open_lake, views
from lakehouse.lake import Lake, init
from tests import lakes
from transforms import scores

# LAION-5B's published thresholds: 0.28 for English, 0.26 for the others.
PUBLISHED = {"laion2b_en": 0.28, "laion2b_multi": 0.26, "laion1b_nolang": 0.26}
LANGUAGES = {"laion2b_en": "en", "laion2b_multi": "fr", "laion1b_nolang": None}
OWN_MODEL = '[models.tiny]\narchitecture = "ViT-B-32"\npretrained = "openai"\n'


def around(value: float) -> dict[str, float | None]:
    """Scores as they are stored, float32: just under `value`, equal to it, just over it; and none."""
    middle = np.float32(value)
    return {
        "under": float(np.nextafter(middle, np.float32(0))),
        "equal": float(middle),
        "over": float(np.nextafter(middle, np.float32(1))),
        "unscored": None,
    }


def build(root: Path, values: Mapping[str, float], toml: str = "", scorer: str = lakes.SIMILARITY) -> Lake:
    """A lake with four pairs around each split's threshold, and one pair without any score."""
    lake = init(str(root), toml or None)
    rows, scores = [lakes.candidate("never scored")], []
    for split, value in values.items():
        for place, score in around(value).items():
            rows.append(lakes.candidate(f"{split} {place}", LANGUAGES[split]))
            scores.append(lakes.score(rows[-1], score, scorer))
    lakes.append(lake, {"candidates": rows})
    lakes.append(lake, {f"scores/{scorer}": scores})
    return lake


def texts(lake: Lake, sql: str, **how: Any) -> list[str]:
    return sorted(row["text"] for row in views.query(lake, sql, **how).to_pylist())


def kept(split: str, *places: str) -> list[str]:
    return sorted(f"a picture of {split} {place}" for place in places)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return build(tmp_path_factory.mktemp("subsets"), PUBLISHED)


@pytest.mark.parametrize("split", PUBLISHED)
def test_a_split_begins_exactly_at_the_published_threshold(lake: Lake, split: str) -> None:
    assert texts(lake, f"from {split}") == kept(split, "equal", "over")


def test_a_split_has_the_columns_of_pairs(lake: Lake) -> None:
    pairs = views.query(lake, "from pairs limit 0").schema
    assert views.query(lake, "from laion2b_en limit 0").schema == pairs


def test_set_changes_one_rule_of_the_active_scorer(lake: Lake) -> None:
    sql = "from laion2b_en union all by name from laion2b_multi"
    found = texts(lake, sql, thresholds={"similarity_en": 0.2})
    english = kept("laion2b_en", "under", "equal", "over")
    assert found == sorted(english + kept("laion2b_multi", "equal", "over"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_threshold_must_be_a_number(lake: Lake, value: float) -> None:
    with pytest.raises(UsageError, match="expected a number"):
        views.query(lake, "from laion2b_en", thresholds={"similarity_en": value})


def test_an_unknown_rule_is_refused_with_those_there_are(lake: Lake) -> None:
    with pytest.raises(UsageError, match=r"no threshold 'similarity_fr'; there are .*similarity_en"):
        views.query(lake, "select 1", thresholds={"similarity_fr": 0.3})


def test_another_model_has_no_threshold_until_somebody_says_one(tmp_path: Path) -> None:
    lake = build(tmp_path, PUBLISHED, OWN_MODEL, "similarity_tiny")
    with pytest.raises(UsageError, match="no threshold similarity_en is known for similarity_tiny"):
        views.query(lake, "from laion2b_en")
    assert texts(lake, "from laion2b_en", thresholds={"similarity_en": 0.28}) == kept(
        "laion2b_en", "equal", "over"
    )


def test_lake_toml_says_thresholds_for_the_lakes_own_model(tmp_path: Path) -> None:
    build(tmp_path, PUBLISHED, OWN_MODEL, "similarity_tiny")
    (tmp_path / "lake.toml").write_text(OWN_MODEL + "[thresholds]\nsimilarity_en = 0.28\n")
    lake = open_lake(str(tmp_path))
    assert texts(lake, "from laion2b_en") == kept("laion2b_en", "equal", "over")
    source = "select source from active_thresholds where rule = 'similarity_en'"
    assert views.query(lake, source)["source"].to_pylist() == ["lake.toml"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("similarity_xx = 0.3", "no threshold 'similarity_xx'"),
        ('similarity_en = "high"', "expected a number"),
    ],
)
def test_a_wrong_threshold_in_lake_toml_is_told(tmp_path: Path, line: str, message: str) -> None:
    init(str(tmp_path), f"[thresholds]\n{line}\n")
    with pytest.raises(UsageError, match=message):
        views.query(open_lake(str(tmp_path)), "select 1")


def test_the_demos_model_has_thresholds_of_its_own(tmp_path: Path) -> None:
    lake = init(str(tmp_path), "[models.demo]\n")
    sql = "select rule from active_thresholds where scorer = 'similarity_demo' and value > 0 order by rule"
    rules = ["similarity_en", "similarity_multi", "similarity_nolang"]
    assert views.query(lake, sql)["rule"].to_pylist() == rules


def test_each_threshold_stands_once_and_names_its_source(lake: Lake) -> None:
    rows = views.query(lake, "from thresholds").to_pylist()
    assert len({(row["rule"], row["scorer"]) for row in rows}) == len(rows)
    assert all(row["source"] for row in rows)
    roles = {*views.query(lake, "from scorers")["role"].to_pylist(), *[s.role for s in scores.PUBLISHED]}
    assert {row["rule"].partition("_")[0] for row in rows if row["scorer"]} <= roles
