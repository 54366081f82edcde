"""What was removed from the lake is named by the exports that follow, and not exported again."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
from distributed import Client
from exports import exported

from lakehouse import open_lake, releases, removal, requests
from lakehouse.errors import UsageError
from lakehouse.lake import Lake
from lakehouse.tombstones import load
from tests import lakes, removal_lakes
from tests.removal_lakes import APPLE, FIG, RED


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return removal_lakes.orchard(tmp_path / "lake")


def remove(lake: Lake, *urls: str) -> None:
    removal.remove(lake, requests.request(lake.settings.candidates, {"url": urls}), "asked for")


def listed(folder: Path) -> list[str]:
    return (folder / "withdrawn.txt").read_text().splitlines()


def lines(*pairs: dict[str, object]) -> list[str]:
    return [f"sample_id:{key}" for key in sorted(int(str(of["sample_id"])) for of in pairs)]


@pytest.mark.parametrize("form", ["urls", "parquet"])
def test_a_deletion_list_names_what_left_the_exported_batches(
    lake: Lake, client: Client, tmp_path: Path, form: str
) -> None:
    releases.create(lake, "v1")
    lakes.append(lake, {"candidates": [nut := lakes.candidate("nut")]})
    exported(lake, client, form, tmp_path / "before", view="pairs")
    assert not (tmp_path / "before/withdrawn.txt").exists()
    remove(lake, APPLE["url"])
    remove(lake, FIG["url"], nut["url"])
    made = exported(lake, client, form, tmp_path / "after", view="pairs")
    assert listed(tmp_path / "after") == lines(APPLE, RED, FIG, nut)
    assert made["rows"] == 2
    (told,) = [file for file in made["files"] if file["path"] == "withdrawn.txt"]
    assert told["sha256"] == sha256((tmp_path / "after/withdrawn.txt").read_bytes()).hexdigest()
    seen = open_lake(lake.storage.root, release="v1")
    exported(seen, client, form, tmp_path / "v1", view="pairs", of="release v1")
    assert listed(tmp_path / "v1") == lines(APPLE, RED, FIG)


def test_it_is_a_list_that_remove_takes(lake: Lake, client: Client, tmp_path: Path) -> None:
    remove(lake, APPLE["url"])
    exported(lake, client, "urls", tmp_path / "out", view="pairs")
    other = removal_lakes.orchard(tmp_path / "other")
    asked = requests.request(other.settings.candidates, {}, [tmp_path / "out/withdrawn.txt"])
    assert removal.remove(other, asked, "as they did").pairs == 2
    assert removal_lakes.left(other)["candidates"] == removal_lakes.left(lake)["candidates"]
    assert load(other.settings).keys["sample_id"].tolist() == sorted([APPLE["sample_id"], RED["sample_id"]])


def test_an_export_from_before_is_refused_and_left_as_it_is(
    lake: Lake, client: Client, tmp_path: Path
) -> None:
    made = exported(lake, client, "urls", tmp_path / "out", view="pairs")
    lakes.append(lake, {"candidates": [nut := lakes.candidate("nut")]})
    remove(lake, nut["url"])
    assert exported(lake, client, "urls", tmp_path / "out", view="pairs") == made, "it never had that pair"
    remove(lake, APPLE["url"])
    with pytest.raises(UsageError, match=r"^2 pairs were removed from the lake since .*: delete it, then"):
        exported(lake, client, "urls", tmp_path / "out", view="pairs")
    assert json.loads((tmp_path / "out/manifest.json").read_text()) == made
