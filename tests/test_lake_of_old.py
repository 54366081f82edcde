"""A lake that an earlier Pairlake wrote reads as it did then, and can be worked on."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import commands
import pytest

from lakehouse import care, open_lake, releases, soundness, views
from lakehouse.lake import Lake
from lakehouse.schema import SCHEMA_VERSION
from tests import lakes

FOLDER = Path(__file__).parent / "data" / "lakes"


@pytest.fixture
def old(tmp_path: Path) -> Lake:
    with tarfile.open(FOLDER / f"schema-{SCHEMA_VERSION}.tar.gz") as tar:
        tar.extractall(tmp_path, filter="data")
    return open_lake(str(tmp_path / "lake"))


def told() -> dict[str, dict[str, list[int]]]:
    """What the script that made it found in it."""
    found: dict[str, dict[str, list[int]]] = json.loads(
        (FOLDER / f"schema-{SCHEMA_VERSION}.json").read_text()
    )
    return found


def test_it_reads_as_it_was_written(old: Lake) -> None:
    assert {key: list(lakes.stored(old, key)) for key in old.pins()} == told()["head"]
    seen = open_lake(old.storage.root, release="v1")
    for key, sums in told()["v1"].items():
        assert list(lakes.stored(seen, key)) == sums
    assert soundness.inspect(old) == []
    assert releases.verify(old, "v1") == []


def test_it_can_be_asked(old: Lake) -> None:
    (row,) = views.query(old, "select count(*) as n, count(similarity) as scored from pairs").to_pylist()
    assert row == {"n": 4, "scored": 4}
    (row,) = views.query(old, "select count(*) as n from pairs", release="v1").to_pylist()
    assert row == {"n": 3}


def test_it_can_be_worked_on(old: Lake) -> None:
    lime = lakes.candidate("lime")
    number = lakes.append(old, {"candidates": [lime]}, ["crawl-4"])
    lakes.append(old, {"downloads": [lakes.download(lime, "dns")]}, [f"candidates:{number}"])
    for name in old.names():
        care.compact(old, name)
    releases.create(old, "v2")
    assert soundness.inspect(old) == []
    assert commands.lake("--root", old.storage.root, "repair").out == "nothing to repair\n"


@pytest.mark.parametrize(
    ("schema", "what"),
    [(SCHEMA_VERSION + 1, "install a newer one"), (0, "read it with the version that made it")],
)
def test_another_schema_is_refused_in_one_line(old: Lake, schema: int, what: str) -> None:
    file = Path(old.storage.root) / "lake.toml"
    file.write_text(file.read_text().replace(f"schema = {SCHEMA_VERSION}", f"schema = {schema}"))
    for command in ("status", "repair", "verify"):
        said = commands.complaint(commands.lake("--root", old.storage.root, command), 2)
        assert said == f"the lake has schema {schema}, this Pairlake reads schema {SCHEMA_VERSION}: {what}"


def test_the_fixture_is_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 300_000
