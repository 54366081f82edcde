"""Pictures that the settings do not keep leave once they were seen; everything else of them stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import commands
import pytest

from lakehouse import cleanup, releases, removal, soundness, tombstones, verification, views
from lakehouse.errors import UsageError
from lakehouse.lake import Lake, open_lake
from tests import lakes, removal_lakes
from tests.removal_lakes import APPLE, FIG, PEAR, TABLES

DRIVER = """
import sys
from lakehouse import cleanup
from lakehouse.lake import open_lake
lake = open_lake(sys.argv[1])
cleanup.clean(lake, cleanup.plan(lake))
"""


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An orchard whose batches of downloads nobody has looked at yet, as far as the ledger says."""
    made = removal_lakes.orchard(tmp_path / "lake")
    releases.create(made, "v1")
    return made


def keeping(lake: Lake, pictures: str) -> Lake:
    told = f'[scores]\nscorers = ["similarity_b32"]\n[retention]\npictures = "{pictures}"\n'
    lake.storage.write("lake.toml", b"[lake]\nschema = 1\n" + told.encode())
    return open_lake(lake.storage.root)


def embedded(lake: Lake, selection: str = "all") -> None:
    works = [f"downloads:{number}" for number in (1, 2)]
    lakes.append(lake, {"embeddings_b32": []}, works, selection=selection)


def dropped(lake: Lake) -> cleanup.Plan:
    planned = cleanup.plan(lake)
    cleanup.clean(lake, planned)
    return planned


def test_all_stay_unless_told(lake: Lake) -> None:
    embedded(lake)
    assert not dropped(keeping(lake, "all"))
    assert removal_lakes.left(lake)["images"] == {"apple", "pear", "plum", "fig"}


def test_they_stay_until_they_were_seen(lake: Lake) -> None:
    lake = keeping(lake, "none")
    planned = dropped(lake)
    assert planned.waiting == ["embeddings_b32 (2 batches)"]
    assert not planned
    assert removal_lakes.left(lake)["images"] == {"apple", "pear", "plum", "fig"}
    said = commands.lake("--root", lake.storage.root, "cleanup", "--yes").out
    assert "they stay until these are done: embeddings_b32 (2 batches)" in said
    embedded(lake, "view:laion2b_en@1")  # a view's pairs alone: as LAION did
    assert len(dropped(lake).pictures) == 4
    assert removal_lakes.left(lake)["images"] == set()


def test_they_stay_while_a_rebuild_has_yet_to_see_them(lake: Lake) -> None:
    embedded(lake)
    lake = keeping(lake, "none")
    lake.ledger.rebuild(["embeddings_b32"])
    assert dropped(lake).waiting == ["embeddings_b32 (2 batches)"]
    embedded(lake)
    assert len(dropped(lake).pictures) == 4


def test_none_stays_and_all_else_does(lake: Lake) -> None:
    embedded(lake)
    lake = keeping(lake, "none")
    before = {key: lakes.stored(lake, key) for key in TABLES if key != "images"}
    dropped(lake)
    assert {key: lakes.stored(lake, key) for key in before} == before
    root = Path(lake.storage.root)
    for of in (APPLE, PEAR, FIG):
        assert [
            p for p, content in removal_lakes.contents(root) if removal_lakes.picture(of) in content
        ] == []
    assert soundness.inspect(lake) == []
    assert {name: rows.to_pylist() for name, rows in views.audits(lake).items() if len(rows)} == {}


def test_a_release_verifies_as_the_original_less_its_pictures(lake: Lake) -> None:
    embedded(lake)
    dropped(keeping(lake, "none"))
    assert releases.verify(lake, "v1") == []
    gone = verification.withdrawn_since(lake, releases.get(lake, "v1"))
    assert {key: total.rows for key, total in gone.items() if total.rows} == {"images": 4}
    assert views.query(lake, "select count(*) as n from pairs", release="v1")["n"].to_pylist() == [5]


def test_nothing_is_refused_from_then_on(lake: Lake) -> None:
    embedded(lake)
    dropped(keeping(lake, "none"))
    assert len(tombstones.load(lake.settings)) == 0
    assert views.query(lake, "select count(*) as n from withdrawn")["n"].to_pylist() == [0]


def test_those_of_a_view_stay(lake: Lake) -> None:
    embedded(lake)
    folder = Path(lake.storage.root) / "sql"
    folder.mkdir(exist_ok=True)
    (folder / "reds.sql").write_text("select * from pairs where text like '%red%'")
    dropped(keeping(lake, "reds"))
    assert removal_lakes.left(lake)["images"] == {"apple"}  # of both of its captions
    assert not dropped(keeping(lake, "reds"))


def test_a_view_that_there_is_not(lake: Lake) -> None:
    with pytest.raises(UsageError, match="redz"):
        cleanup.plan(keeping(lake, "redz"))


@pytest.mark.parametrize(
    "step", ["removals:requested", pytest.param("removals:left:images", marks=pytest.mark.slow)]
)
def test_killed_on_the_way_it_is_completed(lake: Lake, step: str) -> None:
    embedded(lake)
    lake = keeping(lake, "none")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "LAKE_CRASH_AT": step}
    driver = subprocess.run([sys.executable, "-c", DRIVER, lake.storage.root], env=env, check=False)
    assert driver.returncode == -9
    lake = open_lake(lake.storage.root)
    assert removal.complete(lake) is not None
    assert removal_lakes.left(lake)["images"] == set()
    assert releases.verify(lake, "v1") == []
    assert soundness.inspect(lake) == []
