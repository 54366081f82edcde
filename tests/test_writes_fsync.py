"""The disk has data files before the commit that names them, and the commit before anything else goes on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from drivers import claim, finish, new_ledger
from things import FORMATS, append, spec, things

from lakehouse import care, lake, open_lake, releases
from lakehouse.storage import Storage
from lakehouse.tables import open_table
from tests import lakes

LOGS = {"delta": ("_delta_log", ".json"), "lance": ("_versions", ".manifest")}


@pytest.fixture(autouse=True)
def as_users_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAKE_WRITES_FSYNC", raising=False)


class Waits(list[tuple[str, frozenset[str]]]):
    """What was waited for, in order: its path below `root`, and the files that were there at that moment."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        real = os.fsync

        def fsync(handle: int) -> None:
            real(handle)
            path = os.path.relpath(os.readlink(f"/proc/self/fd/{handle}"), root)
            self.append((path, frozenset(files(root))))

        monkeypatch.setattr(os, "fsync", fsync)

    def paths(self) -> list[str]:
        return [path for path, _ in self]


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("form", FORMATS)
def test_data_then_its_folders_then_the_commit_and_its_folder(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = open_table(Storage(str(tmp_path)), spec(form))  # type: ignore[arg-type]
    log, ending = f"things/{LOGS[form][0]}", LOGS[form][1]
    for batch in (1, 2):
        before = files(tmp_path)
        waits = Waits(tmp_path, monkeypatch)
        (file,) = append(table, things(range(3), batch))
        entries = sorted(p for p in files(tmp_path) - before if p.startswith(log) and p.endswith(ending))
        folder = str(Path(file.path).parent)
        order = waits.paths()
        assert order.index(file.path) < order.index(folder) < order.index(entries[0])
        for path, there in waits[: order.index(folder) + 1]:
            assert not there & set(entries), f"{path} was waited for after the commit"
        for entry in entries:
            assert log in order[order.index(entry) :]
        if batch == 1:  # folders are new once
            assert order.index(folder) <= order.index("things") < order.index(".")


def test_all_that_a_lake_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left that the disk may still lose."""
    root = tmp_path / "lake"
    root.mkdir()
    waits = Waits(root, monkeypatch)
    made = lakes.small(root)
    releases.create(made, "v1")
    for name in made.names():
        care.compact(made, name)
    missed = files(root) - set(waits.paths())
    assert missed == set()
    folders = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_dir()}
    assert {f for f in folders if any((root / f).iterdir())} <= set(waits.paths())


def test_the_ledgers_events_come_after_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = new_ledger(tmp_path)
    held = claim(ledger, "work")
    waits = Waits(tmp_path, monkeypatch)
    finish(ledger, held)
    kinds = [Path(path).suffix or path for path in waits.paths()]
    assert kinds == [".parquet", "ledger", ".json", "ledger/_delta_log"]


def test_the_setting_turns_it_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "lake"
    lake.init(str(root), "[lake]\nschema = 1\n[writes]\nfsync = false\n")
    waits = Waits(root, monkeypatch)
    lakes.append(open_lake(str(root)), {"candidates": [lakes.candidate("apple")]})
    assert waits == []
    monkeypatch.setenv("LAKE_WRITES_FSYNC", "true")
    lakes.append(open_lake(str(root)), {"candidates": [lakes.candidate("pear")]})
    assert waits != []
