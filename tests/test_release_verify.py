"""A release verifies for as long as its rows are there unchanged, and says what is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from deltalake import DeltaTable
from distributed import Client

from lakehouse import care, open_lake, releases
from lakehouse.lake import Lake
from tests import lakes

SCORES = f"scores/{lakes.SIMILARITY}"
TABLES = ("candidates", "downloads", "scores", "images")


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with two batches of everything, pictures included, and the release v1."""
    lake = lakes.small(tmp_path_factory.mktemp("released") / "lake")
    lime = lakes.candidate("lime")
    number = lakes.append(lake, {"candidates": [lime]})
    rows = {"downloads": [lakes.download(lime)], "images": [lakes.image(lime)]}
    lakes.append(lake, rows, [f"candidates:{number}"])
    lakes.append(lake, {SCORES: [lakes.score(lime, 0.5)]})
    releases.create(lake, "v1")
    return Path(lake.storage.root)


@pytest.fixture
def lake(released: Path, tmp_path: Path) -> Lake:
    """A copy to damage."""
    shutil.copytree(released, tmp_path / "lake")
    return open_lake(str(tmp_path / "lake"))


def more_rows(lake: Lake) -> None:
    fig = lakes.candidate("fig")
    lakes.append(lake, {"candidates": [fig]}, ["later"])
    lakes.append(lake, {"downloads": [lakes.download(fig)], "images": [lakes.image(fig)]}, ["candidates:4"])
    lakes.append(lake, {SCORES: [lakes.score(fig, 0.1)]})


def compaction(lake: Lake) -> None:
    for name in TABLES:
        care.compact(lake, name)


def rebuild(lake: Lake) -> None:
    lake.ledger.rebuild([SCORES])
    lakes.append(lake, {SCORES: [lakes.score(lakes.candidate("lime"), 0.7)]})
    lake.ledger.switch()


def ledger_compaction(lake: Lake) -> None:
    DeltaTable(lake.ledger.uri).optimize.compact()


EVENTS = {
    "nothing": [],
    "more rows": [more_rows],
    "compaction": [compaction],
    "more rows, then compaction": [more_rows, compaction],
    "a rebuild": [rebuild, compaction],
    "the ledger's compaction": [ledger_compaction],
}


@pytest.mark.parametrize("what", EVENTS)
def test_verifies_after(lake: Lake, what: str) -> None:
    for event in EVENTS[what]:
        event(lake)
    assert releases.verify(lake, "v1") == []
    assert releases.verify(lake, "v1", full=False) == []


def test_verifies_on_workers(lake: Lake, client: Client) -> None:
    assert releases.verify(lake, "v1", client) == []
    (path, *_) = data_files(lake, "images")
    damage(lake, path, 0)
    assert [finding.file for finding in releases.verify(lake, "v1", client)] == [path]


def data_files(lake: Lake, table: str) -> list[str]:
    """The data files that the ledger names."""
    return [
        file["path"]
        for event in lake.ledger.done()
        if event["key"].partition("/")[0] == table
        for file in event["files"]
    ]


def damage(lake: Lake, path: str, place: int) -> None:
    """Flips one bit of the byte at `place`."""
    file = Path(lake.storage.root) / path
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("table", TABLES)
def test_one_flipped_bit_in_any_data_file_is_found(lake: Lake, table: str) -> None:
    files = data_files(lake, table)
    assert len(files) >= 2
    for path in files:
        size = (Path(lake.storage.root) / path).stat().st_size
        for place in (0, size // 3, size // 2, size - 1):
            damage(lake, path, place)
            (found,) = releases.verify(lake, "v1")
            assert (found.key.partition("/")[0], found.file) == (table, path)
            assert "sha256" in found.problem
            damage(lake, path, place)
    assert releases.verify(lake, "v1") == []


@pytest.mark.parametrize("table", TABLES)
def test_one_flipped_bit_in_a_file_that_compaction_wrote_is_found(lake: Lake, table: str) -> None:
    compaction(lake)
    for path in lake.table(table).files():
        size = (Path(lake.storage.root) / path).stat().st_size
        for place in (0, size // 3, size // 2, size - 1):
            damage(lake, path, place)
            assert [finding.file for finding in releases.verify(lake, "v1")] == [path]
            damage(lake, path, place)
    assert releases.verify(lake, "v1") == []


@pytest.mark.parametrize("table", TABLES)
def test_a_missing_file_is_found(lake: Lake, table: str) -> None:
    path = data_files(lake, table)[-1]
    (Path(lake.storage.root) / path).unlink()
    (found,) = releases.verify(lake, "v1")
    assert found.file == path
    assert "is missing" in found.problem
    assert str(found).startswith(f"{found.key}: {path}: ")


@pytest.mark.parametrize("table", TABLES)
def test_a_truncated_file_is_found(lake: Lake, table: str) -> None:
    path = data_files(lake, table)[0]
    file = Path(lake.storage.root) / path
    file.write_bytes(file.read_bytes()[:-1])
    assert [finding.file for finding in releases.verify(lake, "v1")] == [path]


def test_an_unreadable_file_that_compaction_wrote_is_named(lake: Lake) -> None:
    compaction(lake)
    (file,) = DeltaTable(lake.storage.uri("candidates")).file_uris()
    Path(file).write_bytes(b"PAR1")
    (found,) = releases.verify(lake, "v1")
    assert found.key == "candidates"
    assert Path(found.file or "").name == Path(file).name


@pytest.mark.parametrize("table", ["candidates", "downloads", "scores"])
def test_a_changed_value_in_a_file_that_compaction_wrote_is_found(lake: Lake, table: str) -> None:
    compaction(lake)
    changes = {"candidates": {"license": "'x'"}, "downloads": {"width": "1"}, "scores": {"value": "0.25"}}
    DeltaTable(lake.storage.uri(table)).update(changes[table], predicate="batch = 1")
    (found,) = releases.verify(lake, "v1")
    assert found.key.partition("/")[0] == table
    assert found.problem.startswith("the table has other rows")


@pytest.mark.parametrize("table", TABLES)
def test_a_deleted_row_is_found(lake: Lake, table: str) -> None:
    lake.table(table).delete("batch = 1")
    assert {finding.key.partition("/")[0] for finding in releases.verify(lake, "v1")} == {table}


def test_a_table_that_is_gone_is_found(lake: Lake) -> None:
    shutil.rmtree(Path(lake.storage.root) / "images")
    (found,) = releases.verify(lake, "v1")
    assert str(found) == "images: the table has 0 rows, the release recorded 3"


def test_a_ledger_that_says_otherwise_is_found_without_reading_data(lake: Lake) -> None:
    where = "key = 'candidates' and batch = 2 and event = 'done'"
    DeltaTable(lake.ledger.uri).update({"rows": "rows + 1"}, predicate=where)
    (found,) = releases.verify(open_lake(lake.storage.root), "v1", full=False)
    assert str(found) == "candidates: the ledger has 5 rows, the release recorded 4"


def test_a_ledger_that_lost_a_batch_is_found(lake: Lake) -> None:
    DeltaTable(lake.ledger.uri).delete(f"key = '{SCORES}' and batch = 2 and event = 'done'")
    (found,) = releases.verify(open_lake(lake.storage.root), "v1", full=False)
    assert found.key == SCORES


def test_the_fast_part_reads_no_data(lake: Lake) -> None:
    for table in TABLES:
        shutil.rmtree(Path(lake.storage.root) / table)
    assert releases.verify(lake, "v1", full=False) == []
