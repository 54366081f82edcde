"""`lake repair` settles what a crash or a damaged file left, and refuses what it cannot prove."""

from __future__ import annotations

import shutil
from pathlib import Path

import commands
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from drivers import holder

from lakehouse import open_lake, releases, repair, soundness
from lakehouse.lake import Lake
from tests import lakes

TABLES = ("candidates", "downloads", "scores", "images")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with a release."""
    lake = lakes.small(tmp_path_factory.mktemp("sound") / "lake")
    releases.create(lake, "v1")
    return Path(lake.storage.root)


@pytest.fixture
def lake(sound: Path, tmp_path: Path) -> Lake:
    """A copy to damage."""
    shutil.copytree(sound, tmp_path / "lake")
    return open_lake(str(tmp_path / "lake"))


def log(lake: Lake, table: str) -> Path:
    return Path(lake.storage.root) / table / "_delta_log"


def repaired(lake: Lake) -> list[str]:
    """Repairs; what could not be."""
    refused = []
    for step in repair.steps(lake):
        if step.act is None:
            refused.append(step.what)
        else:
            step.act()
    return refused


def sums(lake: Lake) -> dict[str, object]:
    """Per key, what is stored of the batches at head."""
    return {key: lakes.stored(lake, key) for key in lake.pins()}


def test_nothing_to_repair(lake: Lake) -> None:
    assert list(repair.steps(lake)) == []
    assert commands.lake("--root", lake.storage.root, "repair").out == "nothing to repair\n"


@pytest.mark.parametrize(
    "table", ["candidates", *[pytest.param(name, marks=pytest.mark.slow) for name in ("downloads", "scores")]]
)
@pytest.mark.parametrize("damage", [b"", pytest.param(b'{"add":{"pa', marks=pytest.mark.slow)])
def test_rows_of_a_damaged_commit_come_back(lake: Lake, table: str, damage: bytes) -> None:
    """delta-rs reads an empty commit file as a version without rows; their data file is still there."""
    before = sums(lake)
    max(log(lake, table).glob("*.json")).write_bytes(damage)
    assert repaired(open_lake(lake.storage.root)) == []
    lake = open_lake(lake.storage.root)
    assert soundness.inspect(lake) == []
    assert sums(lake) == before


def test_a_damaged_commit_that_others_build_on(lake: Lake) -> None:
    before = sums(lake)
    (log(lake, "candidates") / "00000000000000000001.json").write_bytes(b"")
    assert repaired(open_lake(lake.storage.root)) == []
    assert sums(open_lake(lake.storage.root)) == before
    assert soundness.inspect(open_lake(lake.storage.root)) == []


def test_the_newest_commit_of_the_ledger(lake: Lake) -> None:
    """The batch it finished is unfinished again, so that the next run repeats it."""
    lakes.append(lake, {"candidates": [lakes.candidate("fig")]}, ["crawl-3"])
    max(log(lake, "ledger").glob("*.json")).write_bytes(b"")
    lake = open_lake(lake.storage.root)
    assert repaired(lake) == []
    lake = open_lake(lake.storage.root)
    assert lake.pins()["candidates"] == (1, 2)
    assert {f.kind for f in soundness.inspect(lake)} == {"orphaned"}
    assert lakes.append(lake, {"candidates": [lakes.candidate("fig")]}, ["crawl-3"]) == 3
    lakes.append(lake, {"downloads": [lakes.download(lakes.candidate("fig"), "dns")]}, ["candidates:3"])
    assert len(lake.table("candidates").dataset().to_table()) == 4


def test_an_older_commit_of_the_ledger_is_refused(lake: Lake) -> None:
    (log(lake, "ledger") / "00000000000000000002.json").write_bytes(b"")
    (refused,) = repaired(open_lake(lake.storage.root))
    assert "bring the file back from a copy" in refused
    said = commands.lake("--root", lake.storage.root, "repair", "--yes")
    assert said.code == 1
    assert said.out.startswith("cannot be repaired: ledger: ledger/_delta_log/00000000000000000002.json")


@pytest.mark.parametrize("what", ["checkpoint", "pointer"])
def test_a_damaged_checkpoint(lake: Lake, what: str) -> None:
    before = sums(lake)
    DeltaTable(lake.storage.uri("candidates")).create_checkpoint()
    pattern = "*.checkpoint.parquet" if what == "checkpoint" else "_last_checkpoint"
    (file,) = log(lake, "candidates").glob(pattern)
    file.write_bytes(file.read_bytes()[:-9])
    assert repaired(lake) == []
    lake = open_lake(lake.storage.root)
    assert soundness.inspect(lake) == []
    assert sums(lake) == before


def test_a_damaged_manifest(lake: Lake) -> None:
    before = sums(lake)
    min((Path(lake.storage.root) / "images/_versions").glob("*.manifest")).write_bytes(b"")
    assert repaired(lake) == []
    lake = open_lake(lake.storage.root)
    assert soundness.inspect(lake) == []
    assert sums(lake) == before


def test_a_damaged_release(lake: Lake) -> None:
    max(log(lake, "releases").glob("*.json")).write_bytes(b"")
    assert repaired(lake) == []
    lake = open_lake(lake.storage.root)
    assert {f.kind for f in soundness.inspect(lake)} <= {"orphaned"}
    releases.create(lake, "v1")


def test_an_unfinished_batch(lake: Lake) -> None:
    with holder(lake.storage.root, keys=["downloads", "images"]) as driver:
        table = lake.table("downloads")
        row = {**lakes.download(lakes.candidate("fig")), "batch": 3}
        table.commit(table.writer().write(pa.Table.from_pylist([row], schema=table.spec.schema)), {})
        assert list(repair.steps(lake)) == [], "its driver lives"
        driver.kill()
        driver.wait()
    assert repaired(lake) == []
    assert soundness.inspect(open_lake(lake.storage.root)) == []
    assert lake.ledger.state().unfinished("downloads") is None
    assert len(lake.table("downloads").dataset().to_table()) == 3


@pytest.mark.parametrize("table", TABLES)
def test_a_damaged_data_file_is_refused_with_what_restores_it(lake: Lake, table: str) -> None:
    path = min(lake.table(table).files())
    file = Path(lake.storage.root) / path
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    refused = repaired(lake)
    stage = "downloads" if table == "images" else table
    assert any(path in what and f"`lake rebuild {stage}`" in what for what in refused)
    assert file.read_bytes() == bytes(data), "nothing is made worse"


def test_the_command_is_a_dry_run_until_yes(lake: Lake) -> None:
    newest = max(log(lake, "candidates").glob("*.json"))
    newest.write_bytes(b"")
    root = lake.storage.root
    said = commands.lake("--root", root, "repair")
    assert said.code == 0
    assert said.out.startswith(f"candidates: candidates/_delta_log/{newest.name}: an empty commit file")
    assert newest.exists()
    assert commands.lake("--root", root, "repair", "--yes").code == 0
    assert commands.lake("--root", root, "verify", "--fast").code == 0
