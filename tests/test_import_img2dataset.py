"""`lake import img2dataset`: shards become candidates, downloads and pictures without a request."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import commands
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from demo_lake import assert_sound
from distributed import Client

from lakehouse import lake as lakes
from lakehouse import run, sources, views
from lakehouse.errors import UsageError
from lakehouse.imports.account import account
from lakehouse.imports.img2dataset import find, take
from lakehouse.lake import Lake
from lakehouse.stages import chosen
from lakehouse.tables import Range

IMPORTS = Path(__file__).parent / "data" / "imports"
TOML = "[batches]\nunits = 1\n"
NAMED = '[network]\nuser_agent = "PairlakeTest/0.1 (+https://pictures.test/contact)"\n'
EXPECTED = {
    # 15 rows: one has no caption, one is too short, one is there twice (a second batch: known)
    "candidates": {"in": 15, "out": 12, "known": 1, "no_alt": 1, "short_text": 1},
    # URL 0 has two captions; the last shard's failures are rows of their own
    "downloads": {"in": 12, "out": 11, "same_url": 1, "http_error": 1, "bad_image": 1, "opt_out": 1},
    "images": {"in": 11, "out": 8, "not_fetched": 3},
}


@pytest.fixture(scope="module")
def built(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = lakes.init(str(tmp_path_factory.mktemp("imported") / "lake"), TOML)
    take(lake, client, find(lake, str(IMPORTS / "webdataset")))
    return lake


def units(lake: Lake) -> list[str]:
    return [source.unit for source in lake.ledger.sources()]


def test_every_row_is_there_or_counted(built: Lake) -> None:
    assert account(built, units(built)) == EXPECTED
    assert_sound(built)
    statuses = views.query(
        built, "select status, count(*)::int as n from downloads group by all order by all"
    )
    assert statuses.to_pylist() == [
        {"status": "bad_image", "n": 1},
        {"status": "http_error", "n": 1},
        {"status": "opt_out", "n": 1},
        {"status": "success", "n": 8},
    ]
    low, high = built.pins()["images"]
    assert len(built.table("images").arrow([Range(low, high)])) == 8


def test_pictures_are_found_by_place_whatever_becomes_of_the_url(client: Client, tmp_path: Path) -> None:
    """URLs are made clean as everywhere, so that those of the lake are not those of the shard."""
    table = pq.read_table(IMPORTS / "parquet" / "00000.parquet")
    urls = [f" {url.replace('http://pictures', 'HTTP://pictures')}\n" for url in table["url"].to_pylist()]
    place = table.schema.get_field_index("url")
    pq.write_table(table.set_column(place, "url", pa.array(urls)), tmp_path / "00000.parquet")
    lake = lakes.init(str(tmp_path / "lake"), TOML)
    take(lake, client, find(lake, str(tmp_path)))
    rows = views.query(lake, "select url, status, sha256 from pairs order by sha256, url").to_pylist()
    assert len(rows) == 8
    assert {row["status"] for row in rows} == {"success"}
    assert not any(row["url"] != row["url"].strip() for row in rows)
    hashes = {row["key"]: row["sha256"] for row in table.to_pylist()}
    assert {row["sha256"] for row in rows} == set(hashes.values())


def test_the_lineage_names_tool_file_and_hash(built: Lake) -> None:
    tar = IMPORTS / "webdataset" / "00000.tar"
    expected = {
        "tool": "img2dataset",
        "file": str(tar),
        "bytes": tar.stat().st_size,
        "sha256": hashlib.sha256(tar.read_bytes()).hexdigest(),
    }
    for key in ("candidates", "downloads"):
        first = built.ledger.done(key)[0]
        assert json.loads(first["details"])["imported"] == [expected]
    assert expected in [
        told for v in built.table("downloads").history() for told in v.lineage.get("imported", ())
    ]


def test_again_is_nothing_to_do(built: Lake, client: Client) -> None:
    before = len(built.ledger.done())
    take(built, client, find(built, str(IMPORTS / "webdataset")))
    assert len(built.ledger.done()) == before


@pytest.mark.parametrize("layout", ["files", "parquet"])
def test_the_other_layouts_give_the_same_lake(
    layout: str, built: Lake, client: Client, tmp_path: Path
) -> None:
    lake = lakes.init(str(tmp_path / "lake"), TOML)
    take(lake, client, find(lake, str(IMPORTS / layout)))
    assert account(lake, units(lake)) == EXPECTED
    query = "select * exclude (unit, batch) from pairs order by sample_id"
    assert views.query(lake, query).equals(views.query(built, query))


def test_other_sources_of_the_lake_are_left_alone(client: Client, tmp_path: Path) -> None:
    lake = lakes.init(str(tmp_path / "lake"), NAMED)
    listed = tmp_path / "list.csv"
    listed.write_text("url,text\nhttps://never.test/a.jpg,A picture that nobody asks for\n")
    sources.add(lake, "urls", [str(listed)])
    take(lake, client, find(lake, str(IMPORTS / "files")))
    assert (
        views.query(lake, "select count(*)::int as n from downloads where host = 'never.test'")["n"][
            0
        ].as_py()
        == 0
    )
    assert run.plan(lake, chosen(lake, ["candidates"])[0]).works == ("list.csv#0",)
    # what comes from both is one row, and the shard's picture stands for it
    listed.write_text("url,text\nhttp://pictures.test/1.jpg,Another caption of the picture number 1\n")
    run.run(lake, client, chosen(lake, ["candidates", "downloads"]))
    rows = views.query(lake, "select status from pairs where text like 'Another%'").to_pylist()
    assert rows == [{"status": "success"}]


def test_the_command_tells_what_became_of_the_rows(tmp_path: Path, client: Client) -> None:
    root = tmp_path / "lake"
    commands.lake("init", root)
    shutil.copytree(IMPORTS / "webdataset", tmp_path / "shards")
    (tmp_path / "shards" / "00001_stats.json").unlink()
    answer = commands.lake(
        "--root", root, "import", "img2dataset", tmp_path / "shards", "--scheduler", client.scheduler.address
    )
    assert answer.code == 0, answer
    assert answer.out.splitlines() == [
        "candidates: 8 of 8 rows",
        "downloads: 7 of 8 rows; 1 same_url",
        "images: 7 of 7 rows",
    ]
    stem = tmp_path / "shards" / "00001"
    assert f"left out {stem}: it has no _stats.json, so img2dataset did not finish it" in answer.err


def test_what_is_no_output_of_img2dataset_is_refused(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no shards of img2dataset in"):
        find(lake, str(tmp_path))
    with pytest.raises(UsageError, match="no folder"):
        find(lake, str(tmp_path / "nowhere"))
    shutil.copy(IMPORTS / "webdataset" / "00000.parquet", tmp_path)
    with pytest.raises(UsageError, match="holds no pictures, and there is neither"):
        find(lake, str(tmp_path))
