"""One row out per row in, the counts of each unit, on any scheduler and beside any event loop."""

from __future__ import annotations

import asyncio
import dataclasses
import json

import dask.dataframe as dd
import pandas as pd
import pyarrow as pa
import pytest
from distributed import Client, LocalCluster
from downloads_fixtures import JPEG, PATIENT, counts, data_rows, fetched, frame, network
from webserver import Page, answer, serving

from transforms import columns
from transforms.downloads import FETCHED, DownloadStatus, downloads, fetch_partition

PAGES: dict[str | tuple[str, str], Page] = {"/ok.jpg": answer(JPEG), "/small.jpg": answer(JPEG[:100])}
URLS = [f"http://h{i}.test/{name}.jpg" for i in range(4) for name in ("ok", "small", "gone")]
UNITS = ["one", "two"] * 6
OBSERVED = ("fetched_at",)


def content(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    kept = [{name: value for name, value in row.items() if name not in OBSERVED} for row in rows]
    return sorted(kept, key=lambda row: str(row["url"]))


def test_rows_in_their_order_and_counts_per_unit() -> None:
    with serving(PAGES) as server:
        out = fetch_partition(frame(URLS, UNITS, attempt=3), PATIENT, network(server))
    rows = data_rows(out)
    assert [(row["url"], row["unit"], row["attempt"]) for row in rows] == list(
        zip(URLS, UNITS, [3] * 12, strict=True)
    )
    assert [row["status"] for row in rows] == ["success", "too_small", "http_error"] * 4
    files = {unit: sum(row["bytes"] or 0 for row in rows if row["unit"] == unit) for unit in UNITS}
    assert counts(out) == {
        (unit, name): n
        for unit in ("one", "two")
        for name, n in {
            "in": 6,
            "note:success": 2,
            "note:too_small": 2,
            "note:http_error": 2,
            "note:bytes": files[unit],
        }.items()
    }
    assert pa.Schema.from_pandas(out).remove_metadata().names == columns.counted(FETCHED).names
    assert [dtype.pyarrow_dtype for dtype in out.dtypes] == columns.counted(FETCHED).types


def test_nothing_in_nothing_out() -> None:
    with serving({}) as server:
        out = fetch_partition(frame([]), PATIENT, network(server))
    assert len(out) == 0
    pd.testing.assert_frame_equal(out, columns.meta(columns.counted(FETCHED)))


def test_same_on_every_scheduler_and_partitioning() -> None:
    whole = frame(URLS, UNITS)
    with serving(PAGES) as server:
        reference = content(data_rows(fetch_partition(whole, PATIENT, network(server))))
        for npartitions in (1, 3):
            lazy = downloads(dd.from_pandas(whole, npartitions=npartitions), PATIENT, network(server))
            pd.testing.assert_frame_equal(lazy._meta, columns.meta(columns.counted(FETCHED)))
            for scheduler in ("sync", "threads"):
                assert content(data_rows(lazy.compute(scheduler=scheduler))) == reference
        with (
            LocalCluster(
                n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
            ) as cluster,
            Client(cluster),
        ):
            lazy = downloads(dd.from_pandas(whole, npartitions=3), PATIENT, network(server))
            assert content(data_rows(lazy.compute())) == reference


def test_inside_a_running_event_loop() -> None:
    async def main() -> list[dict[str, object]]:
        return fetched(["http://a.test/ok.jpg"], server)

    with serving(PAGES) as server:
        [row] = asyncio.run(main())
    assert row["status"] == "success"


def test_rules_are_json_for_the_fingerprint() -> None:
    values = json.loads(json.dumps(dataclasses.asdict(PATIENT)))
    assert values["min_bytes"] == 5_000
    assert values["max_pixels"] == 89_478_484


@pytest.mark.parametrize("status", DownloadStatus)
def test_a_status_is_its_name_in_lower_case(status: DownloadStatus) -> None:
    assert status == status.name.lower()
