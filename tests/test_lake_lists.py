"""A lake held against lists: what must not be stored, and what must come."""

from __future__ import annotations

from pathlib import Path

import demo_lake
import pyarrow as pa
import pyarrow.parquet as pq
from demo_lake import Crawl
from distributed import Client

from lakehouse import run, views
from lakehouse.lake import Lake, open_lake
from lakehouse.stages import chosen

FETCHED = "select url, url_id, sha256 from downloads where status = 'success' order by url"


def with_lists(lake: Lake) -> Lake:
    told = '[refused]\nfiles = ["bad.txt"]\nexpected = ["expected.parquet"]\n'
    lake.storage.write("lake.toml", lake.storage.read("lake.toml") + told.encode())
    return open_lake(lake.storage.root)


def test_lists_hold_for_what_is_fetched_from_now_on(few_crawl: Crawl, client: Client, tmp_path: Path) -> None:
    lake = few_crawl.lake(tmp_path / "lake", units=1, scorers=("toxicity_profanity_check",), files=1)
    demo_lake.built(lake, client, ["candidates", "downloads"])
    before = views.query(lake, FETCHED).to_pylist()
    bad, changed = before[0], next(row for row in before if row["sha256"] != before[0]["sha256"])
    (tmp_path / "lake" / "bad.txt").write_text(f"{bad['sha256']}\n")
    expected = pa.table({"url": [changed["url"]], "sha256": ["ab" * 32]})
    pq.write_table(expected, tmp_path / "lake" / "expected.parquet")

    lake = with_lists(lake)
    assert run.plan(lake, chosen(lake, ["downloads"])[0]).fresh  # a list makes no row stale

    run.rebuild(lake, client, ["downloads"])
    found = {row["url"]: row for row in views.query(lake, "select * from downloads").to_pylist()}
    out = {row["url"] for row in before if row["sha256"] == bad["sha256"]}
    assert {url for url in found if found[url]["status"] == "listed"} == out
    assert found[bad["url"]]["error"] == "bad.txt: sha256"
    assert found[bad["url"]]["sha256"] is None
    assert found[changed["url"]]["status"] == "unexpected"
    assert found[changed["url"]]["sha256"] == changed["sha256"]
    low, high = lake.pins()["images"]
    stored = client.compute(lake.read("images", [(low, high)], ["url_id"])).result()["url_id"]
    kept = {row["url_id"] for row in before if row["url"] not in {*out, changed["url"]}}
    assert sorted(stored) == sorted(kept)
    assert {name: rows.to_pylist() for name, rows in views.audits(lake).items() if len(rows)} == {}
