"""One run of the batch protocol in which nothing goes wrong."""

from __future__ import annotations

from pathlib import Path

import synthetic
from distributed import Client

from lakehouse import run
from lakehouse.tables import Range


def test_all_rows_are_there_and_every_one_is_accounted_for(tmp_path: Path, client: Client) -> None:
    lake = synthetic.new(tmp_path / "lake")
    assert synthetic.fill(lake, client) == synthetic.UNITS
    assert synthetic.content(lake) == synthetic.expected()
    synthetic.assert_ledger_agrees(lake)
    assert lake.pins() == {"downloads": (1, 2), "images": (1, 2)}


def test_a_second_run_has_nothing_to_do(tmp_path: Path, client: Client) -> None:
    lake = synthetic.new(tmp_path / "lake")
    synthetic.fill(lake, client)
    assert run.plan(lake, synthetic.stage()).fresh
    events = lake.ledger.events()
    assert synthetic.fill(lake, client) == 0
    assert lake.ledger.events() == events


def test_more_units_are_more_batches_and_old_ones_stay(tmp_path: Path, client: Client) -> None:
    lake = synthetic.new(tmp_path / "lake", units=1)
    synthetic.fill(lake, client)
    files = {f["path"] for e in lake.ledger.done() for f in e["files"]}
    synthetic.with_sources(lake, 3)
    assert synthetic.fill(lake, client) == 2
    assert synthetic.content(lake) == synthetic.expected(units=3)
    assert files <= {f["path"] for e in lake.ledger.done() for f in e["files"]}


def test_lineage_is_in_the_native_history(tmp_path: Path, client: Client) -> None:
    lake = synthetic.new(tmp_path / "lake")
    synthetic.fill(lake, client)
    for key in ("downloads", "images"):
        (event,) = [e for e in lake.ledger.done(key) if e["batch"] == 2]
        (version,) = [v for v in lake.table(key).history() if v.lineage.get("batch") == 2]
        assert version.version == event["version"]
        assert version.lineage["works"] == ["unit-1"]
        assert version.lineage["claim"] == event["token"]


def test_pin_and_native_version_give_the_same_rows(tmp_path: Path, client: Client) -> None:
    lake = synthetic.new(tmp_path / "lake")
    synthetic.fill(lake, client)
    for key in ("downloads", "images"):
        first = next(e for e in lake.ledger.done(key) if e["batch"] == 1)
        pinned = lake.table(key).arrow([Range(1, 1)], ["url_id"])["url_id"].to_pylist()
        dataset = lake.table(key).dataset(first["version"])
        native = dataset.to_table(columns=["url_id"])["url_id"].to_pylist()
        assert sorted(pinned) == sorted(native)
        assert len(native) == len(set(native)) > 0
