"""A lake opened at a release or at a time reads what there was then, everywhere, and takes no writes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from lakehouse import UsageError, care, open_lake, releases, sources, views
from lakehouse.lake import Lake
from tests import commands, lakes

WARC = Path(__file__).parent / "data/wat/archive-org-2008.warc.gz"
SCORES = f"scores/{lakes.SIMILARITY}"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return lakes.small(tmp_path)


def texts(lake: Lake) -> list[str]:
    found = views.query(lake, "select text from pairs order by text")["text"].to_pylist()
    return [text.removeprefix("a picture of ") for text in found]


def at(lake: Lake, time: datetime | str) -> Lake:
    return open_lake(lake.storage.root, at=time)


def test_every_batch_is_seen_from_the_moment_it_was_finished(lake: Lake) -> None:
    done = lake.ledger.done("candidates")
    first, second = (event["at"] for event in done)
    assert texts(at(lake, first)) == ["apple", "pear"]
    assert texts(at(lake, second - timedelta(microseconds=1))) == ["apple", "pear"]
    assert texts(at(lake, second)) == ["apple", "pear", "plum"]


def test_tables_are_as_they_were_together(lake: Lake) -> None:
    before = datetime.now(UTC)
    lakes.append(lake, {SCORES: [lakes.score(lakes.candidate("plum"), 0.9)]})
    lakes.append(lake, {"candidates": [lakes.candidate("later")]})
    seen = at(lake, before)
    assert seen.pins() == {"candidates": (1, 2), "downloads": (1, 2), "images": (1, 2), SCORES: (1, 1)}
    assert views.query(seen, "select count(*) as n from scores").to_pylist() == [{"n": 3}]
    assert {name for name, rows in views.audits(seen).items() if len(rows)} == set()


def test_a_generation_is_seen_from_the_moment_readers_changed_over(lake: Lake) -> None:
    lake.ledger.rebuild([SCORES])
    lakes.append(lake, {SCORES: [lakes.score(lakes.candidate("apple"), 0.9)]})
    before = datetime.now(UTC)
    lake.ledger.switch()
    sql = "select round(max(value)::double, 2) as v from scores"
    assert views.query(at(lake, before), sql).to_pylist() == [{"v": 0.31}]
    assert views.query(open_lake(lake.storage.root), sql).to_pylist() == [{"v": 0.9}]


def test_a_generation_that_a_cleanup_took_out_is_refused(lake: Lake) -> None:
    lake.ledger.rebuild([SCORES])
    lakes.append(lake, {SCORES: [lakes.score(lakes.candidate("apple"), 0.9)]})
    before = datetime.now(UTC)
    lake.ledger.switch()
    assert at(lake, before).pins()[SCORES] == (1, 1)
    lake.ledger.dropped(SCORES, 0, (1, 1))
    with pytest.raises(UsageError, match=f"the rows that {SCORES} had at .* were cleaned up after a rebuild"):
        at(lake, before)
    assert at(lake, datetime.now(UTC)).pins()[SCORES] == (2, 2)


def test_a_time_may_be_written_in_any_zone(lake: Lake) -> None:
    first = lake.ledger.done("candidates")[0]["at"]
    east = first.astimezone(timezone(timedelta(hours=9)))
    for text in (first.isoformat(), east.isoformat(), first.replace(tzinfo=None).isoformat()):
        assert texts(at(lake, text)) == ["apple", "pear"], text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("2001-01-01", "the lake had no rows at 2001-01-01T00:00:00Z: the first batch was finished at 20"),
        ("2999-01-01T00:00Z", "lies ahead"),
        ("yesterday", "--at yesterday: expected TABLE=VERSION"),
        ("candidates=two", "--at candidates=two: expected TABLE=VERSION"),
        (["2026-01-01", "2026-01-02"], "--at takes one time"),
    ],
)
def test_what_is_no_moment_is_refused(lake: Lake, given: str | list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_lake(lake.storage.root, at=given)


def test_a_time_and_a_version_of_one_table(lake: Lake) -> None:
    second = lake.ledger.done("candidates")[1]["at"]
    assert texts(open_lake(lake.storage.root, at=[second.isoformat(), "candidates=1"])) == ["apple", "pear"]


def test_a_release_and_a_time_contradict(lake: Lake) -> None:
    releases.create(lake, "v1")
    with pytest.raises(UsageError, match="a release reads what it pinned"):
        open_lake(lake.storage.root, release="v1", at="2026-01-01")


def test_a_lake_at_a_release_reads_its_pins_and_its_sql(lake: Lake) -> None:
    own = Path(lake.storage.root) / "sql" / "mine.sql"
    own.parent.mkdir()
    own.write_text("select text from laion2b_en")
    made = releases.create(lake, "v1")
    lakes.append(lake, {"candidates": [lakes.candidate("later")]})
    own.write_text("select 'changed' as text")
    seen = open_lake(lake.storage.root, release="v1")
    assert texts(seen) == ["apple", "pear", "plum"]
    assert seen.pins() == made.pins
    assert views.query(seen, "from mine")["text"].to_pylist() == ["a picture of apple"]
    assert views.definitions(seen) == made.views
    assert "release v1" in repr(seen)


WRITES: dict[str, Callable[[Lake], object]] = {
    "append": lambda lake: lakes.append(lake, {"candidates": [lakes.candidate("new")]}),
    "release": lambda lake: releases.create(lake, "v2"),
    "compact": lambda lake: care.compact(lake, "candidates"),
    "compact Lance": lambda lake: care.compact(lake, "images"),
    "delete": lambda lake: lake.table("candidates").delete("batch = 1"),
    "delete in Lance": lambda lake: lake.table("images").delete("batch = 1"),
    "rebuild": lambda lake: lake.ledger.rebuild(["candidates"]),
    "sources": lambda lake: sources.add(lake, "warc", [str(WARC)]),
    "a file": lambda lake: lake.storage.write("lake.toml", b""),
}


@pytest.mark.parametrize("what", WRITES)
def test_writing_is_refused_in_one_line_and_leaves_no_trace(lake: Lake, what: str) -> None:
    releases.create(lake, "v1")
    seen = open_lake(lake.storage.root, release="v1")
    before = sorted(Path(lake.storage.root).rglob("*"))
    with pytest.raises(UsageError, match="release v1 is read-only: to write, open the lake without"):
        WRITES[what](seen)
    assert sorted(Path(lake.storage.root).rglob("*")) == before


def test_commands_take_a_time_and_a_release(lake: Lake) -> None:
    root = lake.storage.root
    first = lake.ledger.done("candidates")[0]["at"].isoformat()
    releases.create(lake, "v1")
    lakes.append(lake, {"candidates": [lakes.candidate("later")]})
    sql = ("--root", root, "sql", "select count(*) as n from pairs", "--format", "csv")
    for options, n in (
        ((), 4),
        (("--at", first), 2),
        (("--release", "v1"), 3),
        (("--at", "candidates=1"), 2),
    ):
        assert commands.lake(*sql, *options).out == f'"n"\n{n}\n', options
    script = commands.lake("--root", root, "views", "--sql", "--at", first).out
    assert "candidates 1–1" in script.splitlines()[0]
