"""pairs: one row per candidate, with its URL's newest attempt and the active scorers' values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lakehouse import views
from lakehouse.lake import Lake, init
from tests import lakes

COLUMNS = [
    "sample_id",
    "url",
    "text",
    "url_id",
    "host",
    "page_url",
    "license",
    "language",
    "language_probability",
    "status",
    "http_status",
    "width",
    "height",
    "bytes",
    "sha256",
    "md5",
    "phash",
    "attempt",
    "similarity",
    "punsafe",
    "aesthetic",
    "aesthetic_v1",
    "aesthetic_v2",
    "toxicity",
    "pwatermark",
    "unit",
    "batch",
]
TWO_MODELS = "[models.l14]\n[models.b32]\n"

TWICE = lakes.candidate("tried twice")
SHARED = lakes.candidate("tried twice", text="the same picture, other words", sample_id=7)
NEVER = lakes.candidate("never tried", None)
UNSCORED = lakes.candidate("gone")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    made = init(str(tmp_path_factory.mktemp("pairs")), TWO_MODELS)
    lakes.append(made, {"candidates": [TWICE, SHARED, NEVER, UNSCORED]})
    lakes.append(
        made,
        {
            "downloads": [
                lakes.download(TWICE, "timeout"),
                lakes.download(UNSCORED, "http_error", http_status=404),
            ]
        },
    )
    lakes.append(made, {"downloads": [lakes.download(TWICE, attempt=2, width=99)]})
    for scorer, value in {
        "similarity_b32": 0.1,
        "similarity_l14": 0.2,
        "punsafe_l14": 0.3,
        "aesthetic_v2_l14": 5.5,
        "aesthetic_v1_l14": 6.5,
        "toxicity_profanity_check": 0.4,
    }.items():
        lakes.append(
            made, {f"scores/{scorer}": [lakes.score(TWICE, value, scorer), lakes.score(SHARED, None, scorer)]}
        )
    return made


def row(lake: Lake, candidate: dict[str, Any]) -> dict[str, Any]:
    (found,) = views.query(lake, f"from pairs where sample_id = {candidate['sample_id']}").to_pylist()
    return found


def test_every_candidate_is_there_once(lake: Lake) -> None:
    found = views.query(lake, "from pairs")
    assert found.schema.names == COLUMNS
    wanted = sorted(c["sample_id"] for c in (TWICE, SHARED, NEVER, UNSCORED))
    assert sorted(found["sample_id"].to_pylist()) == wanted


def test_the_newest_attempt_counts_for_every_caption_of_the_picture(lake: Lake) -> None:
    for candidate in (TWICE, SHARED):
        found = row(lake, candidate)
        assert (found["status"], found["attempt"], found["width"]) == ("success", 2, 99)
        assert found["text"] == candidate["text"]


def test_a_url_never_tried_has_no_status(lake: Lake) -> None:
    found = row(lake, NEVER)
    assert {found[name] for name in ("status", "attempt", "http_status", "sha256", "similarity")} == {None}


def test_a_failure_keeps_its_facts(lake: Lake) -> None:
    found = row(lake, UNSCORED)
    assert (found["status"], found["http_status"], found["similarity"]) == ("http_error", 404, None)


def test_the_first_scorer_of_a_role_in_the_settings_gives_its_column(lake: Lake) -> None:
    found = row(lake, TWICE)
    values = [found[name] for name in ("similarity", "punsafe", "aesthetic", "toxicity")]
    assert values == pytest.approx([0.2, 0.3, 6.5, 0.4])
    assert found["pwatermark"] is None
    active = views.query(lake, "select role, scorer from scorers where active order by role").to_pylist()
    assert {row["role"]: row["scorer"] for row in active} == {
        "aesthetic": "aesthetic_v1_l14",
        "aesthetic_v1": "aesthetic_v1_l14",
        "aesthetic_v2": "aesthetic_v2_l14",
        "punsafe": "punsafe_l14",
        "similarity": "similarity_l14",
        "toxicity": "toxicity_profanity_check",
    }


def test_both_of_laions_aesthetic_predictors_have_a_column(lake: Lake) -> None:
    found = row(lake, TWICE)
    assert (found["aesthetic_v1"], found["aesthetic_v2"]) == pytest.approx((6.5, 5.5))


def test_the_settings_order_decides_which_scorer_is_first(lake: Lake, tmp_path: Path) -> None:
    toml = '[models.l14]\n[scores]\nscorers = ["aesthetic_v2_l14", "aesthetic_v1_l14"]\n'
    other = init(str(tmp_path), toml)
    lakes.append(other, {"candidates": [TWICE]})
    for scorer, value in {"aesthetic_v1_l14": 6.5, "aesthetic_v2_l14": 5.5, "similarity_l14": 0.2}.items():
        lakes.append(other, {f"scores/{scorer}": [lakes.score(TWICE, value, scorer)]})
    found = row(other, TWICE)
    assert found["aesthetic"] == 5.5
    assert found["similarity"] is None  # scored once, but by none of the scorers that the settings choose


def test_a_value_that_could_not_be_computed_is_null(lake: Lake) -> None:
    assert row(lake, SHARED)["similarity"] is None


def test_scores_of_every_scorer_stay_within_reach(lake: Lake) -> None:
    found = views.query(lake, f"from scores where sample_id = {TWICE['sample_id']}")
    assert len(found) == 6
