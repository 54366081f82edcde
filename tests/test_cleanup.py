"""`lake cleanup` takes away what nothing needs, and never what a release or a driver does."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import commands
import pytest
from drivers import holder

from lakehouse import care, cleanup, open_lake, releases, soundness
from lakehouse.errors import ConflictError, UsageError
from lakehouse.lake import Lake, init
from lakehouse.stages import stages
from lakehouse.tables import Range
from tests import lakes

SCORES = f"scores/{lakes.SIMILARITY}"
NOW = timedelta(0)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return lakes.small(tmp_path / "lake")


def files(lake: Lake) -> set[str]:
    root = Path(lake.storage.root)
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def cleaned(lake: Lake, age: timedelta = NOW) -> cleanup.Plan:
    planned = cleanup.plan(lake, age)
    cleanup.clean(lake, planned)
    return planned


def orphan(lake: Lake, table: str) -> str:
    """Writes a data file that is never committed."""
    spec = lake.spec(table)
    rows = lake.table(table).dataset().to_table().slice(0, 1).select(spec.schema.names).cast(spec.schema)
    (file,) = lake.table(table).writer().write(rows)
    return file.path


def rebuilt(lake: Lake) -> Lake:
    """The scores once more, as a generation that readers see."""
    lake.ledger.rebuild([SCORES])
    rows = [lakes.score(lakes.candidate(n), 0.5) for n in ("apple", "plum")]
    rows.append(lakes.score(lakes.candidate("pear", "de"), 0.5))
    lakes.append(lake, {SCORES: rows})
    lake.ledger.switch()
    return open_lake(lake.storage.root)


def stored(lake: Lake) -> list[int]:
    """Batches of the scores in the table."""
    return sorted(set(lake.table(SCORES).arrow([Range(0, 99)], ["batch"])["batch"].to_pylist()))


def test_a_tidy_lake_stays_as_it_is(lake: Lake) -> None:
    before = files(lake)
    assert not cleaned(lake, cleanup.AGE)
    assert files(lake) == before


def test_a_spool_goes_when_nothing_is_left_to_download(tmp_path: Path) -> None:
    lake = init(str(tmp_path / "lake"))
    apple = lakes.candidate("apple")
    lakes.append(lake, {"candidates": [apple]})
    path = "spool/0-rules/works/00000/stream"
    lake.storage.write(path, b"a picture, so to speak")
    before = files(lake)
    assert soundness.inspect(lake, full=False) == []
    assert not cleaned(lake)
    (stage,) = [stage for stage in stages(lake) if stage.name == "downloads"]
    rows = {"downloads": [lakes.download(apple)], "images": [lakes.image(apple)]}
    lakes.append(lake, rows, ["candidates:1"], fingerprint=stage.fingerprint())
    assert not cleanup.plan(lake), "it is young"
    assert list(cleaned(lake).orphans) == [path]
    assert before - files(lake) == {path}


@pytest.mark.parametrize("table", ["candidates", "images"])
def test_orphans_go_once_they_are_old(lake: Lake, table: str) -> None:
    before = files(lake)
    path = orphan(lake, table)
    assert not cleanup.plan(lake)
    old = time.time() - cleanup.AGE.total_seconds() - 1
    os.utime(Path(lake.storage.root) / path, (old, old))
    assert list(cleanup.plan(lake).orphans) == [path]
    assert files(lake) == before | {path}, "a plan takes nothing away"
    cleaned(lake, cleanup.AGE)
    assert files(lake) == before


def test_nothing_while_a_driver_is_at_work(lake: Lake) -> None:
    orphan(lake, "candidates")
    with holder(lake.storage.root, keys=["downloads"]) as other:
        who = rf"downloads: batch 3 is being written by \S+:{other.pid}:"
        assert other.poll() is None
        with pytest.raises(ConflictError, match=who):
            cleanup.plan(lake, NOW)
    assert cleanup.plan(lake, NOW)


@pytest.mark.parametrize("pinned", [True, False])
def test_a_generation_that_nothing_pins_goes(lake: Lake, pinned: bool) -> None:
    if pinned:
        releases.create(lake, "v1")
    before = datetime.now(UTC)
    lake = rebuilt(lake)
    assert not cleanup.plan(lake).generations, "it is young"
    planned = cleaned(lake)
    assert [(old.key, old.number, old.rows) for old in planned.generations] == (
        [] if pinned else [(SCORES, 0, 3)]
    )
    assert stored(lake) == ([1, 2] if pinned else [2])
    lake = open_lake(lake.storage.root)
    assert soundness.inspect(lake) == []
    assert not cleaned(lake).generations, "once"
    if not pinned:
        with pytest.raises(UsageError, match=r"scores/similarity_b32 had .* were cleaned up"):
            open_lake(lake.storage.root, at=before)


def test_a_generation_that_is_being_built_stays(lake: Lake) -> None:
    lake.ledger.rebuild([SCORES])
    lakes.append(lake, {SCORES: [lakes.score(lakes.candidate("apple"), 0.5)]})
    assert not cleaned(lake).generations
    assert stored(lake) == [1, 2]


def test_one_that_was_given_up_goes(lake: Lake) -> None:
    lake.ledger.rebuild([SCORES])
    lakes.append(lake, {SCORES: [lakes.score(lakes.candidate("apple"), 0.5)]})
    lake.ledger.rebuild([SCORES], [SCORES])
    assert [old.number for old in cleaned(lake).generations] == [1]
    assert stored(lake) == [1]


def test_old_native_versions_go_and_the_newest_and_releases_stay(lake: Lake) -> None:
    releases.create(lake, "v1")
    for name in ("candidates", "images"):
        lakes_before = lake.table(name).version()
        care.compact(lake, name)
        assert lake.table(name).version() != lakes_before or name == "images"
    held = {path for name in ("candidates", "images") for path in lake.table(name).files()}
    assert not cleanup.plan(lake).versions
    planned = cleaned(lake)
    assert "candidates" in planned.versions
    there = {p for p in files(lake) if p.startswith(("candidates/part", "images/data"))}
    assert there == held
    assert soundness.inspect(lake) == []
    purged = {e["key"]: e["version"] for e in lake.ledger.events() if e["event"] == "purge"}
    assert purged["candidates"] == planned.versions["candidates"][0]


def test_the_command_is_a_dry_run_until_yes(lake: Lake) -> None:
    path = orphan(lake, "images")
    root = lake.storage.root
    size = lake.storage.size(path)
    assert commands.lake("--root", root, "cleanup").out == "nothing older than 7 days can go\n"
    said = commands.lake("--root", root, "cleanup", "--older-than", "0")
    assert said.out.splitlines()[0] == f"1 files that nothing needs ({size:,} bytes)"
    assert said.err == "dry run: `lake cleanup --yes` does it\n"
    assert path in files(lake)
    assert commands.lake("--root", root, "cleanup", "--older-than", "0", "--yes").code == 0
    assert path not in files(lake)
