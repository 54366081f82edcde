"""`lake release diff`: which rows two versions of a view differ by, and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lakehouse import UsageError, open_lake, releases, removal, requests
from lakehouse.diff import Diff, Reason, diff
from lakehouse.lake import Lake
from tests import commands, lakes

SCORES = f"scores/{lakes.SIMILARITY}"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Apple (en, 0.31), pear (de, 0.27) and plum (no language, no picture, not scored); released as v1."""
    made = lakes.small(tmp_path / "lake")
    releases.create(made, "v1")
    return made


def compare(lake: Lake, view: str = "pairs", to: Path | None = None, **how: Any) -> Diff:
    """v1 and head."""
    root = lake.storage.root
    return diff(open_lake(root, release="v1"), open_lake(root), view, to, **how)


def counts(found: Diff) -> set[tuple[str, str, int]]:
    return {(count.change, count.reason, count.rows) for count in found.counts}


def setting(lake: Lake, text: str) -> None:
    toml = Path(lake.storage.root) / "lake.toml"
    toml.write_text(toml.read_text() + text)


def own(lake: Lake, text: str) -> None:
    file = Path(lake.storage.root) / "sql" / "mine.sql"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)


def crawled(lake: Lake) -> None:
    lime = lakes.candidate("lime", unit="crawl-3")
    lakes.append(lake, {"candidates": [lime]}, ["crawl-3"])
    lakes.append(lake, {SCORES: [lakes.score(lime, 0.5)]})


def scored(lake: Lake) -> None:
    """The score of a pair without one comes later."""
    lakes.append(lake, {SCORES: [lakes.score(lakes.candidate("plum", None), 0.9)]})


def fetched(lake: Lake) -> None:
    plum = lakes.candidate("plum", None)
    lakes.append(lake, {"downloads": [lakes.download(plum, attempt=2)], "images": [lakes.image(plum)]})


def rescored(lake: Lake) -> None:
    rows = [lakes.score(lakes.candidate("apple"), 0.31), lakes.score(lakes.candidate("pear", "de"), 0.2)]
    lake.ledger.rebuild([SCORES])
    lakes.append(lake, {SCORES: rows})
    lake.ledger.switch()


def extracted_again(lake: Lake) -> None:
    """Plum is no more, pear has another language, apple is the same."""
    lake.ledger.rebuild(["candidates"])
    lakes.append(
        lake, {"candidates": [lakes.candidate("apple"), lakes.candidate("pear", "fr")]}, [lakes.UNIT]
    )
    lakes.append(lake, {"candidates": [lakes.candidate("fig", unit="crawl-9")]}, ["crawl-9"])
    lake.ledger.switch()


def nothing(lake: Lake) -> None:
    for table in ("candidates", "scores"):
        lake.table(table).compact()


CHANGES: list[tuple[Callable[[Lake], None], str, set[tuple[str, str, int]]]] = [
    (nothing, "pairs", set()),
    (crawled, "pairs", {("added", "new_crawl", 1)}),
    (crawled, "laion2b_en", {("added", "new_crawl", 1)}),
    (crawled, "laion2b_multi", set()),
    (scored, "pairs", {("changed", "changed_score", 1)}),
    (scored, "laion1b_nolang", {("added", "changed_score", 1)}),
    (fetched, "pairs", {("changed", "changed_download", 1)}),
    (rescored, "pairs", {("changed", "rebuilt", 1)}),
    (rescored, "laion2b_multi", {("removed", "rebuilt", 1)}),
    (
        extracted_again,
        "pairs",
        {("removed", "rebuilt", 1), ("changed", "rebuilt", 1), ("added", "new_crawl", 1)},
    ),
    (lambda lake: setting(lake, "\n[thresholds]\nsimilarity_en = 0.4\n"), "pairs", set()),
    (
        lambda lake: setting(lake, "\n[thresholds]\nsimilarity_en = 0.4\n"),
        "laion2b_en",
        {("removed", "changed_threshold", 1)},
    ),
    (
        lambda lake: setting(lake, "\n[thresholds]\nsimilarity_multi = 0.1\n"),
        "laion2b_en",
        set(),
    ),
]


@pytest.mark.parametrize(("change", "view", "wanted"), CHANGES)
def test_rows_are_counted_by_reason(
    lake: Lake, change: Callable[[Lake], None], view: str, wanted: set[tuple[str, str, int]]
) -> None:
    change(lake)
    assert counts(compare(open_lake(lake.storage.root), view)) == wanted


def test_the_other_way_round_added_is_removed(lake: Lake) -> None:
    crawled(lake)
    releases.create(lake, "v2")
    root = lake.storage.root
    back = diff(open_lake(root, release="v2"), open_lake(root, release="v1"))
    assert counts(back) == {("removed", "new_crawl", 1)}
    assert (back.before, back.after) == (4, 3)


def test_a_views_own_sql_is_a_threshold_too(lake: Lake) -> None:
    own(lake, "select * from pairs where similarity > 0.3")
    releases.create(lake, "mine")
    own(lake, "select * from pairs where similarity > 0.25")
    root = lake.storage.root
    found = diff(open_lake(root, release="mine"), open_lake(root), "mine")
    assert counts(found) == {("added", "changed_threshold", 1)}


def test_a_row_that_leaves_by_another_table_has_another_reason(lake: Lake) -> None:
    own(lake, "select * from pairs where (select count(*) from scores) < 4")
    releases.create(lake, "mine")
    lakes.append(lake, {"scores/punsafe_l14": [lakes.score(lakes.candidate("no pair"), 0.1, "punsafe_l14")]})
    root = lake.storage.root
    found = diff(open_lake(root, release="mine"), open_lake(root), "mine")
    assert counts(found) == {("removed", Reason.OTHER, 3)}


def test_the_rows_themselves_are_written(lake: Lake, tmp_path: Path) -> None:
    crawled(lake)
    scored(lake)
    compare(lake, "pairs", tmp_path / "it's rows.parquet")
    rows = {row["text"]: row for row in pq.read_table(tmp_path / "it's rows.parquet").to_pylist()}
    lime, plum = rows["a picture of lime"], rows["a picture of plum"]
    assert (lime["change"], lime["reason"], lime["changed"]) == ("added", "new_crawl", None)
    assert (plum["change"], plum["reason"], plum["changed"]) == ("changed", "changed_score", ["similarity"])
    assert plum["similarity"] == pytest.approx(0.9)  # as it is now
    assert len(rows) == 2


def test_a_publishable_file_has_keys_in_their_order_and_no_reasons(lake: Lake, tmp_path: Path) -> None:
    own(lake, "select * from pairs")
    releases.create(lake, "all")
    own(lake, "select * from pairs where similarity > 0.3")
    root, file = lake.storage.root, tmp_path / "gone.parquet"
    diff(open_lake(root, release="all"), open_lake(root), "mine", file, publishable=True)
    rows = pq.read_table(file)
    gone = [lakes.candidate("pear", "de"), lakes.candidate("plum", None)]
    assert rows.to_pylist() == [
        {"sample_id": row["sample_id"], "url_id": row["url_id"]}
        for row in sorted(gone, key=lambda row: row["sample_id"])
    ]


def remove(lake: Lake, name: str) -> None:
    asked = requests.request(lake.settings.candidates, {"url": [lakes.candidate(name)["url"]]})
    removal.remove(lake, asked, "asked for")


def test_what_was_withdrawn_between_is_told_by_its_keys(lake: Lake, tmp_path: Path) -> None:
    remove(lake, "pear")
    found = compare(lake, "pairs", tmp_path / "rows.parquet")
    assert counts(found) == {("removed", "withdrawn", 1)}
    assert (found.before, found.after) == (2, 2)  # it is gone from the release too
    (row,) = pq.read_table(tmp_path / "rows.parquet").to_pylist()
    assert row["sample_id"] == lakes.candidate("pear")["sample_id"]
    assert {name for name, value in row.items() if value is not None} == {"change", "reason", "sample_id"}


def test_what_was_withdrawn_before_or_after_both_is_no_difference(lake: Lake) -> None:
    root = lake.storage.root
    remove(lake, "pear")
    for name in ("v2", "v3"):
        releases.create(lake, name)
    remove(lake, "plum")
    v1, v2, v3 = (open_lake(root, release=name) for name in ("v1", "v2", "v3"))
    assert counts(diff(v1, v2)) == {("removed", "withdrawn", 1)}
    assert counts(diff(v2, v3)) == set()
    assert counts(diff(v2, open_lake(root))) == {("removed", "withdrawn", 1)}
    assert counts(diff(v2, v1)) == set()


def test_withdrawn_rows_stand_among_neutral_ones_or_are_not_published(lake: Lake, tmp_path: Path) -> None:
    remove(lake, "pear")
    with pytest.raises(UsageError, match="every row that is no more was withdrawn"):
        compare(lake, "laion2b_multi", tmp_path / "x.parquet", publishable=True)
    assert not (tmp_path / "x.parquet").exists()
    setting(lake, "\n[thresholds]\nsimilarity_en = 0.4\n")  # drops apple
    lake = open_lake(lake.storage.root)
    compare(lake, "laion2b_en", tmp_path / "gone.parquet", publishable=True)
    gone = [lakes.candidate("pear"), lakes.candidate("apple")]
    assert pq.read_table(tmp_path / "gone.parquet").to_pylist() == [
        {"sample_id": row["sample_id"], "url_id": row["url_id"]}
        for row in sorted(gone, key=lambda row: row["sample_id"])
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("select url from pairs", "view mine has no column sample_id"),
        ("select * from pairs union all select * from pairs", "has sample_id -?[0-9]+ more than once"),
    ],
)
def test_a_view_without_a_key_is_refused(lake: Lake, text: str, message: str) -> None:
    own(lake, text)
    releases.create(lake, "mine")
    root = lake.storage.root
    with pytest.raises(UsageError, match=message):
        diff(open_lake(root, release="mine"), open_lake(root), "mine")


def test_the_command_tells_people_and_programs(lake: Lake, tmp_path: Path) -> None:
    crawled(lake)
    root = lake.storage.root
    told = commands.lake("--root", root, "release", "diff", "v1", "head", "--json")
    assert json.loads(told.out) == {
        "view": "pairs",
        "before": {"name": "v1", "rows": 3},
        "after": {"name": "head", "rows": 4},
        "differences": [{"change": "added", "reason": "new_crawl", "rows": 1}],
    }
    drawn = commands.lake("--root", root, "release", "diff", "v1", "head", "--view", "laion2b_en")
    assert "laion2b_en: 1 rows in v1, 2 in head" in drawn.out
    same = commands.lake("--root", root, "release", "diff", "v1", "v1")
    assert same.out == "pairs: 3 rows in v1, 3 in v1: no difference\n"


def test_wrong_use_is_one_line(lake: Lake) -> None:
    def said(*arguments: str) -> str:
        return commands.complaint(commands.lake("--root", lake.storage.root, "release", *arguments), 2)

    assert said("diff", "v1", "v9").startswith("no release 'v9'; there are v1")
    assert said("diff", "v1", "head", "--view", "nosuch").startswith(
        "no view 'nosuch': `lake views` lists all"
    )
    assert said("diff", "v1", "head", "--publishable").startswith("--publishable writes a file")
    assert said("diff", "v1", "head", "--to", "/no/such/folder/x.parquet").startswith(
        "there is no folder /no"
    )
    assert "and is not head" in said("create", "head")


def test_a_release_is_shown_as_json(lake: Lake) -> None:
    told = json.loads(commands.lake("--root", lake.storage.root, "release", "show", "v1", "--json").out)
    made = releases.get(lake, "v1")
    assert told["pins"] == {key: list(pin) for key, pin in made.pins.items()}
    assert told["views"] == made.views
    assert told["fingerprints"]["candidates"]["content"] == made.fingerprints["candidates"].content_hex
