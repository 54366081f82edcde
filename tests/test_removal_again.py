"""What was removed does not come in again: from new crawl files, under another URL, or on a rebuild."""

from __future__ import annotations

from pathlib import Path

import demo_lake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from demo_lake import Crawl
from distributed import Client

from lakehouse import removal, requests, run, sources, views
from lakehouse.lake import Lake

SCORERS = ("similarity_demo",)


@pytest.fixture(scope="module")
def lake(few_crawl: Crawl, client: Client, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The first of two crawl files, built; then a URL that both have is removed, and a picture."""
    made = few_crawl.lake(tmp_path_factory.mktemp("again") / "lake", units=1, scorers=SCORERS, files=1)
    demo_lake.built(made, client)
    return made


def ask(lake: Lake, sql: str) -> list[dict[str, object]]:
    return views.query(lake, sql).to_pylist()


def remove(lake: Lake, client: Client, **given: str) -> removal.Report:
    asked = requests.request(lake.settings.candidates, {kind: [value] for kind, value in given.items()})
    return removal.remove(lake, asked, "asked for", client)


def test_it_does_not_come_back(lake: Lake, few_crawl: Crawl, client: Client, tmp_path: Path) -> None:
    once = "status = 'success' and sha256 in (select sha256 from pairs group by 1 having count(distinct url_id) = 1)"
    url, other = [
        row["url"] for row in ask(lake, f"select url from pairs where {once} group by 1 order by 1 limit 2")
    ]
    (picture,) = ask(lake, f"select distinct sha256 from pairs where url = '{other}'")
    before = demo_lake.content(lake)
    assert remove(lake, client, url=url).pairs > 0
    assert remove(lake, client, sha256=str(picture["sha256"])).pairs > 0
    left = demo_lake.content(lake)
    assert all(left[key].rows < before[key].rows for key in before)

    # The same crawl file once more, and the picture under a URL that nobody has named before
    again = f"{other}?again"
    pq.write_table(
        pa.table({"url": [url, other, again], "text": ["one more text"] * 3}), tmp_path / "more.parquet"
    )
    sources.add(lake, "urls", [str(tmp_path / "more.parquet")])
    demo_lake.built(lake, client)
    assert demo_lake.counts(lake, "candidates")["drop:withdrawn"] == 2
    assert ask(lake, "select url, status, sha256, error from downloads where url like '%:80/%'") == [
        {"url": again, "status": "withdrawn", "sha256": None, "error": "removals: sha256"}
    ]
    assert demo_lake.content(lake)["images"] == left["images"]

    # A rebuild reads the crawl file itself
    run.rebuild(lake, client, ["candidates"])
    rebuilt = demo_lake.content(lake)
    assert rebuilt["images"] == left["images"]
    assert rebuilt["embeddings_demo"].keys == left["embeddings_demo"].keys + 1  # the new URL's caption
    assert not ask(lake, f"select 1 from candidates where url in ('{url}', '{other}')")
    found = ask(lake, "select sum(n) as n from counts where key = 'candidates' and name = 'drop:withdrawn'")
    assert found[0]["n"] > 2
    assert {name: rows.to_pylist() for name, rows in views.audits(lake).items() if len(rows)} == {}
