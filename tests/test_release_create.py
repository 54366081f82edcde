"""Making, listing and finding releases."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse import LakeError, UsageError, open_lake, releases
from lakehouse.lake import Lake, init
from tests import lakes


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return lakes.small(tmp_path)


def test_a_release_records_pins_rows_and_sums(lake: Lake) -> None:
    made = releases.create(lake, "v1.0_rc-1", "for the paper")
    found = releases.get(open_lake(lake.storage.root), "v1.0_rc-1")
    assert found == made
    assert found.pins == lake.pins()
    assert found.counts == {"candidates": 3, "downloads": 3, "images": 2, "scores/similarity_b32": 3}
    assert found.note == "for the paper"
    events = lake.ledger.done("candidates")
    whole = sum(int(event["whole"], 16) for event in events) % (1 << 128)
    assert found.fingerprints["candidates"].whole == whole
    assert len(events) == 2


def test_releases_are_listed_oldest_first(lake: Lake) -> None:
    assert releases.list_releases(lake) == []
    for name in ("b", "a", "c"):
        releases.create(lake, name)
    assert [release.name for release in releases.list_releases(lake)] == ["b", "a", "c"]


def test_a_name_is_taken_once(lake: Lake) -> None:
    first = releases.create(lake, "v1")
    lakes.append(lake, {"candidates": [lakes.candidate("later")]})
    with pytest.raises(UsageError, match="there is a release v1 already"):
        releases.create(lake, "v1")
    assert releases.get(lake, "v1") == first


@pytest.mark.parametrize("names", [("v1", "v1"), ("v1", "v2")])
def test_of_two_creators_one_gets_the_name(lake: Lake, names: tuple[str, str]) -> None:
    barrier = threading.Barrier(2)
    outcomes: list[str] = []

    def make(name: str) -> None:
        mine = open_lake(lake.storage.root)
        barrier.wait()
        try:
            outcomes.append(releases.create(mine, name).name)
        except UsageError as error:
            outcomes.append(str(error).partition(":")[0])

    threads = [threading.Thread(target=make, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wanted = ["v1", "v2"] if len(set(names)) == 2 else ["there is a release v1 already", "v1"]
    assert sorted(outcomes) == wanted
    assert sorted(release.name for release in releases.list_releases(lake)) == sorted(set(names))


def test_a_creator_who_saw_an_older_state_looks_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another creator comes between this one's look at the names and its commit."""
    seen = releases._rows
    between = iter([True])

    def rows(table: object) -> list[dict[str, object]]:
        found = seen(table)  # type: ignore[arg-type]
        if next(between, False):
            releases.create(open_lake(lake.storage.root), "v1")
        return found

    releases.create(lake, "v0")
    monkeypatch.setattr(releases, "_rows", rows)
    with pytest.raises(UsageError, match="there is a release v1 already"):
        releases.create(lake, "v1")
    assert [release.name for release in releases.list_releases(lake)] == ["v0", "v1"]


@given(st.text(min_size=0, max_size=12))
def test_a_name_is_letters_digits_and_three_signs(name: str) -> None:
    plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
    assert (releases.NAME.fullmatch(name) is not None) == (name != "" and set(name) <= set(plain))


@pytest.mark.parametrize("name", ["", "a b", "a/b", "v1\n", "é", "'"])
def test_another_name_is_refused(lake: Lake, name: str) -> None:
    with pytest.raises(UsageError, match="a release's name has letters"):
        releases.create(lake, name)


def test_an_empty_lake_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the lake is empty"):
        releases.create(init(str(tmp_path)), "v1")


def test_views_that_cannot_be_read_are_refused(lake: Lake) -> None:
    folder = Path(lake.storage.root) / "sql"
    folder.mkdir()
    (folder / "mine.sql").write_text("select colour from pairs")
    with pytest.raises(UsageError, match="view mine: SQL error"):
        releases.create(lake, "v1")
    assert releases.list_releases(lake) == []


def test_an_unknown_release_is_told_with_those_there_are(lake: Lake) -> None:
    with pytest.raises(UsageError, match="no release 'v2'; there is none yet"):
        releases.get(lake, "v2")
    releases.create(lake, "v1")
    with pytest.raises(UsageError, match="no release 'v2'; there are v1"):
        releases.verify(lake, "v2")


def test_a_damaged_table_of_releases_is_an_error_not_an_empty_list(lake: Lake) -> None:
    releases.create(lake, "v1")
    (file,) = (Path(lake.storage.root) / "releases").glob("*.parquet")
    file.unlink()
    with pytest.raises(LakeError, match="releases"):
        releases.list_releases(lake)
