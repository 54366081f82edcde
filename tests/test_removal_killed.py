"""SIGKILL at each named step of a removal: the next one, or the next run, completes it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse import releases, removal, repair, requests, run, soundness, verification, views
from lakehouse.errors import ConflictError, LakeError
from lakehouse.lake import Lake, open_lake
from tests import lakes, removal_lakes
from tests.removal_lakes import APPLE, RED, SCORES

KILLED = -9
NAMES = ("candidates", "downloads", "embeddings_b32", "images", "scores")
STEPS = [
    "removals:claimed",
    "removals:requested",
    "removals:withdrawn",
    *[f"removals:left:{name}" for name in NAMES],
    *[f"removals:purged:{name}" for name in NAMES],
    "removals:done",
]
ORDINARY = ["removals:requested", "removals:left:candidates"]
DRIVER = """
import sys
from lakehouse import removal, requests
from lakehouse.lake import open_lake
lake = open_lake(sys.argv[1])
removal.remove(lake, requests.request(lake.settings.candidates, {"url": [sys.argv[2]]}), "asked for")
"""


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = removal_lakes.orchard(tmp_path_factory.mktemp("orchard") / "lake")
    releases.create(lake, "v1")
    return Path(lake.storage.root)


def killed_at(step: str, released: Path, tmp_path: Path) -> Lake:
    shutil.copytree(released, tmp_path / "lake")
    driver = subprocess.run(
        [sys.executable, "-c", DRIVER, str(tmp_path / "lake"), APPLE["url"]],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "LAKE_CRASH_AT": step},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert driver.returncode == KILLED, driver.stderr
    return open_lake(str(tmp_path / "lake"))


def assert_readable(lake: Lake) -> None:
    """Views show the pair whole or not at all."""
    rows = views.query(lake, "select text, status, similarity from pairs", release="v1").to_pylist()
    assert len(rows) in (3, 5)
    assert all(row["status"] == "success" and row["similarity"] is not None for row in rows)


def assert_removed(lake: Lake) -> None:
    found = removal_lakes.left(lake)
    assert found["candidates"] == found[SCORES] == found["embeddings_b32"]
    assert not {APPLE["text"], RED["text"]} & found["candidates"]
    assert len(found["candidates"]) == 3
    assert found["images"] == found["downloads"] == {"pear", "plum", "fig"}
    assert releases.verify(lake, "v1") == []
    gone = verification.withdrawn_since(lake, releases.get(lake, "v1"))
    assert {key: total.rows for key, total in gone.items()} == {
        "candidates": 2, "downloads": 1, "embeddings_b32": 2, "images": 1, SCORES: 2,
    }  # fmt: skip
    assert {name: rows.to_pylist() for name, rows in views.audits(lake).items() if len(rows)} == {}
    for secret in (APPLE["url"].encode(), RED["text"].encode(), removal_lakes.picture(APPLE)):
        assert [
            p for p, content in removal_lakes.contents(Path(lake.storage.root)) if secret in content
        ] == []


def again(lake: Lake) -> None:
    """Asks once more, as somebody does who saw the first command die."""
    removal.remove(lake, requests.request(lake.settings.candidates, {"url": [APPLE["url"]]}), "asked for")


@pytest.mark.parametrize(
    "step", [pytest.param(s, marks=() if s in ORDINARY else pytest.mark.slow) for s in STEPS]
)
def test_asking_again_completes_it(step: str, released: Path, tmp_path: Path) -> None:
    lake = killed_at(step, released, tmp_path)
    assert_readable(lake)
    again(lake)
    assert_removed(lake)


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_killed_twice_at_the_same_step(step: str, released: Path, tmp_path: Path) -> None:
    lake = killed_at(step, released, tmp_path)
    shutil.copytree(tmp_path / "lake", tmp_path / "once" / "lake")
    if step != "removals:done":
        killed_at(step, tmp_path / "lake", tmp_path / "twice")
        lake = open_lake(str(tmp_path / "twice" / "lake"))
    again(lake)
    assert_removed(lake)


def test_an_interrupted_one_keeps_stages_from_writing_until_it_is_complete(
    released: Path, tmp_path: Path
) -> None:
    lake = killed_at("removals:left:candidates", released, tmp_path)
    with pytest.raises(ConflictError, match="removal 1 was interrupted: `lake remove --yes` completes it"):
        lakes.append(lake, {"candidates": [lakes.candidate("nut")]})
    (found,) = releases.verify(lake, "v1", full=False)
    assert "removal 1 is not complete" in found.problem
    assert {f.kind for f in soundness.inspect(lake)} == {verification.Kind.UNFINISHED}
    report = removal.complete(lake)
    assert report is not None
    assert report.pairs == 2
    assert_removed(lake)
    assert removal.complete(lake) is None
    assert lakes.append(lake, {"candidates": [lakes.candidate("nut")]}) == 3


@pytest.mark.slow
def test_repair_completes_it_and_brings_nothing_back(released: Path, tmp_path: Path) -> None:
    lake = killed_at("removals:left:images", released, tmp_path)
    for step in repair.steps(lake):
        assert step.act is not None, step.what
        step.act()
    assert_removed(lake)
    assert soundness.inspect(lake) == []


@pytest.mark.slow
def test_a_run_completes_it(released: Path, tmp_path: Path) -> None:
    lake = killed_at("removals:withdrawn", released, tmp_path)
    assert run.run(lake, None, []) == 0  # type: ignore[arg-type]  # no stage, so no cluster
    assert_removed(lake)


def test_what_stops_at_an_unreadable_file_goes_on_when_it_is_back(released: Path, tmp_path: Path) -> None:
    shutil.copytree(released, tmp_path / "lake")
    lake = open_lake(str(tmp_path / "lake"))
    damaged = next((tmp_path / "lake/scores").rglob("*.parquet"))
    content = damaged.read_bytes()
    damaged.write_bytes(content[:100])
    with pytest.raises(LakeError, match=damaged.name):
        again(lake)
    assert removal.pending(lake)
    damaged.write_bytes(content)
    again(lake)
    assert_removed(lake)
