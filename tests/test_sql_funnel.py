"""The funnel: every row that came in is dropped for a reason, without a value, or kept."""

from __future__ import annotations

from pathlib import Path

from lakehouse import views
from lakehouse.lake import Lake, init
from tests import lakes

DOWNLOADS = "downloads"


def funnel(lake: Lake) -> list[tuple[str, str, str | None, int]]:
    rows = views.query(lake, "from funnel").to_pylist()
    return [(row["stage"], row["outcome"], row["reason"], row["rows"]) for row in rows]


def test_a_small_lake_row_by_row(tmp_path: Path) -> None:
    # lakes.small: two links without alt text; plum's picture timed out; pear (German) scores 0.27 and
    # apple (English) 0.31, both at or over their splits' thresholds
    assert funnel(lakes.small(tmp_path)) == [
        ("candidates", "in", None, 5),
        ("candidates", "dropped", "no_alt", 2),
        ("candidates", "kept", None, 3),
        ("downloads", "in", None, 3),
        ("downloads", "dropped", "timeout", 1),
        ("downloads", "kept", None, 2),
        ("scores/similarity_b32", "in", None, 3),
        ("scores/similarity_b32", "no value", "no_embedding", 1),
        ("scores/similarity_b32", "kept", None, 2),
        ("subsets", "in", None, 3),
        ("subsets", "dropped", "no_similarity", 1),
        ("subsets", "kept", "laion2b_en", 1),
        ("subsets", "kept", "laion2b_multi", 1),
    ]


def test_each_stage_adds_up_and_shares_follow(tmp_path: Path) -> None:
    rows = views.query(lakes.small(tmp_path), "from funnel").to_pylist()
    for stage in {row["stage"] for row in rows}:
        here = [row for row in rows if row["stage"] == stage]
        (came_in,) = [row["rows"] for row in here if row["outcome"] == "in"]
        assert came_in == sum(row["rows"] for row in here if row["outcome"] != "in")
        assert all(row["share"] == round(row["rows"] / came_in, 4) for row in here)


def test_a_url_tried_again_counts_once_with_its_newest_status(tmp_path: Path) -> None:
    lake = init(str(tmp_path))
    rows = [lakes.candidate(name) for name in ("one", "two", "three")]
    lakes.append(lake, {"candidates": rows})
    first = [lakes.download(rows[0]), lakes.download(rows[1], "timeout"), lakes.download(rows[2], "timeout")]
    counts = {DOWNLOADS: {(lakes.UNIT, "in"): 5, (lakes.UNIT, "drop:same_url"): 2}}
    lakes.append(lake, {DOWNLOADS: first}, ["candidates:1"], counts)
    again = [lakes.download(rows[1], attempt=2), lakes.download(rows[2], "dns", attempt=2)]
    lakes.append(lake, {DOWNLOADS: again}, ["retry-timeout:2"])
    assert [row[1:] for row in funnel(lake) if row[0] == DOWNLOADS] == [
        ("in", None, 5),
        ("dropped", "same_url", 2),
        ("dropped", "dns", 1),
        ("kept", None, 2),
    ]


def test_subsets_agree_with_their_views(tmp_path: Path) -> None:
    lake = init(str(tmp_path))
    places = [(language, value) for language in ("en", "de", None) for value in (0.2, 0.26, 0.27, 0.28, 0.9)]
    rows = [lakes.candidate(f"{language} {value}", language) for language, value in places]
    lakes.append(lake, {"candidates": rows})
    scores = [lakes.score(row, value) for row, (_, value) in zip(rows, places, strict=True)]
    lakes.append(lake, {f"scores/{lakes.SIMILARITY}": scores})
    found = {reason: n for stage, _, reason, n in funnel(lake) if stage == "subsets" and reason}
    splits = ("laion2b_en", "laion2b_multi", "laion1b_nolang")
    counts = {
        split: views.query(lake, f"select count(*) as n from {split}")["n"][0].as_py() for split in splits
    }
    assert found == counts | {"below_threshold": 15 - sum(counts.values())}
    assert counts == {"laion2b_en": 2, "laion2b_multi": 4, "laion1b_nolang": 4}


def test_a_model_without_threshold_is_told_not_hidden(tmp_path: Path) -> None:
    lake = init(str(tmp_path), '[models.tiny]\narchitecture = "ViT-B-32"\npretrained = "openai"\n')
    row = lakes.candidate("one")
    lakes.append(lake, {"candidates": [row]})
    lakes.append(lake, {"scores/similarity_tiny": [lakes.score(row, 0.9, "similarity_tiny")]})
    assert ("subsets", "dropped", "no_threshold", 1) in funnel(lake)


def test_stages_come_in_the_order_of_the_datas_way(tmp_path: Path) -> None:
    stages = list(dict.fromkeys(row[0] for row in funnel(lakes.small(tmp_path))))
    assert stages == ["candidates", "downloads", "scores/similarity_b32", "subsets"]


def test_an_empty_lake_has_an_empty_funnel(tmp_path: Path) -> None:
    assert funnel(init(str(tmp_path))) == []
