"""`lake run embeddings --view V`: only the view's rows are embedded; when it grows, those missing."""

from __future__ import annotations

from pathlib import Path

import demo_lake
import pytest
from demo_lake import Crawl
from distributed import Client

from lakehouse import lake as lakes
from lakehouse import run, views
from lakehouse.errors import UsageError
from lakehouse.lake import Lake
from lakehouse.stages import Options, chosen

VIEW = "select * from pairs where text like '%{0}%' and status = 'success'"


def wanted(lake: Lake) -> set[int]:
    return set(views.query(lake, "select sample_id from chosen_pairs")["sample_id"].to_pylist())


def embedded(lake: Lake) -> list[int]:
    found: list[int] = demo_lake.read(lake, "embeddings_demo", ["sample_id"])["sample_id"].to_pylist()
    return found


def test_only_the_views_rows(few_crawl: Crawl, client: Client, tmp_path: Path) -> None:
    lake = few_crawl.lake(tmp_path / "lake", units=1, scorers=("similarity_demo",))
    demo_lake.built(lake, client, ["candidates", "downloads"])
    embeddings = chosen(lake, ["embeddings"])
    options = Options(view="chosen_pairs")
    with pytest.raises(UsageError, match="no view 'chosen_pairs'"):
        run.run(lake, client, embeddings, options)
    own = Path(lake.storage.root) / "sql" / "chosen_pairs.sql"
    own.parent.mkdir()

    own.write_text(VIEW.format("a"))
    run.run(lake, client, embeddings, options)
    first = embedded(lake)
    assert 0 < len(first) < demo_lake.content(lake)["images"].rows
    assert sorted(first) == sorted(wanted(lake))
    assert run.run(lake, client, embeddings, options) == 0, "nothing is new"

    own.write_text(VIEW.format(""))
    batches = run.run(lake, client, embeddings, options)
    second = embedded(lake)
    assert batches == 2
    assert len(second) == len(set(second))
    assert set(second) == wanted(lake) > set(first)
    low, high = lake.pins()["embeddings_demo"]
    assert (low, high) == (1, 4)
    new = sum(e["rows"] for e in lake.ledger.done("embeddings_demo") if e["batch"] > 2)
    assert new == len(second) - len(first)
    demo_lake.assert_sound(lakes.open_lake(lake.storage.root))


@pytest.mark.slow
def test_all_after_a_view_embeds_the_rest(few_crawl: Crawl, client: Client, tmp_path: Path) -> None:
    lake = few_crawl.lake(tmp_path / "lake", scorers=("similarity_demo",))
    demo_lake.built(lake, client, ["candidates", "downloads"])
    own = Path(lake.storage.root) / "sql" / "chosen_pairs.sql"
    own.parent.mkdir()
    own.write_text(VIEW.format("a"))
    run.run(lake, client, chosen(lake, ["embeddings"]), Options(view="chosen_pairs"))
    before = len(embedded(lake))
    demo_lake.built(lake, client)
    after = embedded(lake)
    assert len(after) == len(set(after)) > before
    demo_lake.assert_sound(lake)
