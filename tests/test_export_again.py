"""An export goes on where it stopped, and the same rows give the same bytes."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
from demo_lake import Crawl
from distributed import Client
from exports import exported

from lakehouse.errors import UsageError
from lakehouse.lake import Lake


def files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def test_an_interrupted_export_goes_on_and_gives_the_same_bytes(
    demo: Lake, client: Client, tmp_path: Path
) -> None:
    whole = exported(demo, client, "webdataset", tmp_path / "whole")
    assert whole["shards"] > 2

    def stop(done: int, total: int, rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exported(demo, client, "webdataset", tmp_path / "again", report=stop)
    assert not (tmp_path / "again" / "manifest.json").exists()
    kept = {f: f.stat().st_mtime_ns for f in (tmp_path / "again").glob("*_stats.json")}
    again = exported(demo, client, "webdataset", tmp_path / "again")
    assert again == whole
    assert files(tmp_path / "again") == files(tmp_path / "whole")
    finished = [f for f, at in kept.items() if f.stat().st_mtime_ns == at]
    assert finished  # what was done was not done again


def test_the_manifest_tells_the_files_checksums(demo: Lake, client: Client, tmp_path: Path) -> None:
    exported(demo, client, "webdataset", tmp_path / "out")
    there = files(tmp_path / "out")
    told = {f["path"]: f["sha256"] for f in json.loads(there.pop("manifest.json"))["files"]}
    assert told == {name: sha256(data).hexdigest() for name, data in there.items()}


def test_the_seed_orders_the_rows(demo: Lake, client: Client, tmp_path: Path) -> None:
    one = exported(demo, client, "urls", tmp_path / "one")
    two = exported(demo, client, "urls", tmp_path / "two", seed=1)
    assert one["fingerprint"] == two["fingerprint"]
    assert one["files"] != two["files"]


def test_a_complete_export_is_left_alone_and_another_is_refused(
    demo: Lake, client: Client, tmp_path: Path
) -> None:
    made = exported(demo, client, "urls", tmp_path / "out")
    before = files(tmp_path / "out")
    assert exported(demo, client, "urls", tmp_path / "out") == made
    assert files(tmp_path / "out") == before
    with pytest.raises(UsageError, match="holds another export"):
        exported(demo, client, "urls", tmp_path / "out", seed=7)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        exported(demo, client, "urls", tmp_path / "full")


def test_pairs_without_a_picture_are_counted(demo: Lake, client: Client, tmp_path: Path) -> None:
    every = exported(demo, client, "urls", tmp_path / "urls", view="pairs")
    pictures = exported(demo, client, "webdataset", tmp_path / "pictures", view="pairs")
    assert pictures["left_out"]["no_picture"] > 0
    assert pictures["rows"] + pictures["left_out"]["no_picture"] == every["rows"]


def test_an_empty_view_is_an_empty_export(few_crawl: Crawl, client: Client, tmp_path: Path) -> None:
    young = few_crawl.lake(tmp_path / "lake")
    made = exported(young, client, "webdataset", tmp_path / "out")
    assert (made["rows"], made["shards"]) == (0, 0)


def test_views_that_are_none_are_named(demo: Lake, client: Client, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no view 'laion9b'"):
        exported(demo, client, "urls", tmp_path / "out", view="laion9b")
