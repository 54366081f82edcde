"""What was removed does not come in again: from new sources, under another URL, or on a rebuild."""

from __future__ import annotations

from pathlib import Path

import demo_lake
import pyarrow as pa
import pyarrow.parquet as pq
from demo_lake import Crawl
from distributed import Client

from lakehouse import removal, requests, run, sources, views
from lakehouse.lake import Lake

LONELY = """
    select url, sha256
    from downloads
    where status = 'success'
    qualify count(*) over (partition by sha256) = 1
    order by url
    limit 2
"""


def ask(lake: Lake, sql: str) -> list[dict[str, object]]:
    return views.query(lake, sql).to_pylist()


def remove(lake: Lake, **given: object) -> removal.Report:
    asked = {kind: [str(value)] for kind, value in given.items()}
    return removal.remove(lake, requests.request(lake.settings.candidates, asked), "asked for")


def test_it_does_not_come_back(few_crawl: Crawl, client: Client, tmp_path: Path) -> None:
    lake = few_crawl.lake(tmp_path / "lake", units=1, scorers=("toxicity_profanity_check",), files=1)
    demo_lake.built(lake, client, ["candidates", "downloads"])
    first, second = ask(lake, LONELY)
    assert remove(lake, url=first["url"]).pairs > 0
    assert remove(lake, sha256=second["sha256"]).pairs > 0
    left = demo_lake.content(lake)

    # A list names both URLs, with another text, and the second picture under a URL that is new to the lake
    again = str(second["url"]).replace(".test/", ".test:80/", 1)
    rows = pa.table({"url": [first["url"], second["url"], again], "text": ["one more text"] * 3})
    pq.write_table(rows, tmp_path / "more.parquet")
    sources.add(lake, "urls", [str(tmp_path / "more.parquet")])
    demo_lake.built(lake, client, ["candidates", "downloads"])
    assert demo_lake.counts(lake, "candidates")["drop:withdrawn"] == 2
    assert ask(lake, "select url, status, sha256, error from downloads where url like '%:80/%'") == [
        {"url": again, "status": "listed", "sha256": None, "error": "withdrawn: sha256"}
    ]
    assert demo_lake.content(lake)["images"] == left["images"]

    # A rebuild reads the crawl file itself
    run.rebuild(lake, client, ["candidates"])
    rebuilt = demo_lake.content(lake)
    assert rebuilt["images"] == left["images"]
    assert rebuilt["candidates"].rows == left["candidates"].rows + 1  # the new URL's
    assert demo_lake.counts(lake, "candidates")["drop:withdrawn"] > 2
    demo_lake.assert_sound(lake)
