"""`lake verify` finds whatever is not as it was written, and tells it from what a crash left behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import commands
import pytest
from deltalake import DeltaTable

from lakehouse import open_lake, releases, soundness
from lakehouse.lake import Lake
from lakehouse.verification import Kind
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


def kinds(lake: Lake, full: bool = True) -> set[tuple[str, str]]:
    """Table and kind of all findings."""
    found = soundness.inspect(open_lake(lake.storage.root), full=full)
    return {(finding.key.partition("/")[0], str(finding.kind)) for finding in found}


def file_of(lake: Lake, table: str) -> Path:
    """A data file of the table's newest version."""
    return Path(lake.storage.root) / min(lake.table(table).files())


def test_a_sound_lake(lake: Lake) -> None:
    assert soundness.inspect(lake) == []
    assert soundness.inspect(lake, full=False) == []


@pytest.mark.parametrize("table", TABLES)
def test_a_missing_file(lake: Lake, table: str) -> None:
    file_of(lake, table).unlink()
    for full in (True, False):
        assert (table, Kind.MISSING) in kinds(lake, full)


@pytest.mark.parametrize("table", TABLES)
def test_a_truncated_file(lake: Lake, table: str) -> None:
    file = file_of(lake, table)
    file.write_bytes(file.read_bytes()[:-1])
    for full in (True, False):
        assert (table, Kind.TRUNCATED) in kinds(lake, full)


@pytest.mark.parametrize("table", TABLES)
def test_an_altered_file(lake: Lake, table: str) -> None:
    file = file_of(lake, table)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert (table, Kind.ALTERED) in kinds(lake)
    assert kinds(lake, full=False) == set(), "no data is read"


@pytest.mark.parametrize("table", ["candidates", "downloads", "scores", "ledger", "releases"])
@pytest.mark.parametrize("damage", [b"", b'{"add":{"pa', b"\x00" * 700])
def test_a_damaged_commit_file(lake: Lake, table: str, damage: bytes) -> None:
    newest = max((Path(lake.storage.root) / table / "_delta_log").glob("*.json"))
    newest.write_bytes(damage)
    for full in (True, False):
        assert kinds(lake, full) >= {(table, Kind.DAMAGED)}


def test_a_missing_commit_file(lake: Lake) -> None:
    (Path(lake.storage.root) / "candidates/_delta_log/00000000000000000001.json").unlink()
    assert ("candidates", Kind.DAMAGED) in kinds(lake, full=False)


def test_an_empty_manifest(lake: Lake) -> None:
    newest = min((Path(lake.storage.root) / "images/_versions").glob("*.manifest"))
    newest.write_bytes(b"")
    assert ("images", Kind.DAMAGED) in kinds(lake, full=False)


@pytest.mark.parametrize("damage", ["checkpoint", "pointer"])
def test_a_damaged_checkpoint(lake: Lake, damage: str) -> None:
    DeltaTable(lake.storage.uri("candidates")).create_checkpoint()
    assert kinds(lake) == set()
    log = Path(lake.storage.root) / "candidates/_delta_log"
    (file,) = log.glob("*.checkpoint.parquet" if damage == "checkpoint" else "_last_checkpoint")
    file.write_bytes(file.read_bytes()[:-9])
    assert ("candidates", Kind.DAMAGED) in kinds(lake, full=False)


@pytest.mark.parametrize("table", TABLES)
def test_files_that_no_version_names_are_left_over(lake: Lake, table: str) -> None:
    part = lakes.SIMILARITY if table == "scores" else None
    spec = lake.spec(table)
    rows = lake.table(table).dataset().to_table().slice(0, 1).select(spec.schema.names).cast(spec.schema)
    lake.table(table).writer(part).write(rows)
    assert kinds(lake) == {(table, Kind.ORPHANED)}


def test_an_unfinished_batch_is_left_over(lake: Lake) -> None:
    from drivers import holder

    with holder(lake.storage.root, keys=["candidates"]):
        assert kinds(lake) == set(), "its driver lives"
    assert kinds(lake) == {("candidates", Kind.UNFINISHED)}


def changed(lake: Lake) -> None:
    DeltaTable(lake.storage.uri("candidates")).update({"license": "'x'"}, predicate="batch = 1")


def removed(lake: Lake) -> None:
    lake.table("images").delete("batch = 1")


def counted(lake: Lake) -> None:
    where = "key = 'downloads' and batch = 2 and event = 'done'"
    DeltaTable(lake.ledger.uri).update({"rows": "rows + 1"}, predicate=where)


@pytest.mark.parametrize(
    ("act", "table", "full"),
    [(changed, "candidates", True), (removed, "images", True), (counted, "downloads", False)],
)
def test_rows_or_sums_that_differ(lake: Lake, act: Callable[[Lake], None], table: str, full: bool) -> None:
    act(lake)
    assert (table, Kind.DIFFERS) in kinds(lake, full)


def test_an_audit_that_returns_rows(lake: Lake) -> None:
    lakes.append(lake, {"candidates": [lakes.candidate("apple")]}, ["again"])
    assert kinds(lake) == {("duplicate_sample_ids", Kind.AUDIT)}
    assert kinds(lake, full=False) == set()


def test_the_command(lake: Lake) -> None:
    root = lake.storage.root
    assert (
        commands.lake("--root", root, "verify", "--fast").out == "the lake verifies (logs, sizes and sums)\n"
    )
    file_of(lake, "images").unlink()
    said = commands.lake("--root", root, "verify", "--fast")
    assert said.code == 1
    assert said.out.startswith("missing: images: images/data/")
    assert said.err == "Error: the lake does not verify: 1 findings; `lake repair` says what can be done\n"
    told = commands.lake("--root", root, "verify", "--fast", "--json")
    (finding,) = json.loads(told.out)
    assert (finding["key"], finding["kind"]) == ("images", "missing")
    assert told.code == 1


@pytest.mark.slow  # test_release_verify.py has workers in the ordinary run
def test_the_command_reads_data_on_a_cluster(lake: Lake) -> None:
    said = commands.process("--root", lake.storage.root, "verify", "--workers", "1", cwd=Path.cwd())
    assert (said.code, said.out) == (0, "the lake verifies\n"), said.err
