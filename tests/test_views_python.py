"""A view in Python: Arrow stream, Dask DataFrame, torch dataset; at head and at a release."""

from __future__ import annotations

import io
import pickle

import pandas as pd
import pyarrow as pa
import pytest
from distributed import Client
from PIL import Image
from torch.utils.data import DataLoader

from lakehouse import pictures, views
from lakehouse.errors import UsageError
from lakehouse.lake import Lake

VIEW = "laion2b_en"


def test_whatever_reads_an_arrow_stream_takes_a_view(demo: Lake) -> None:
    read = pa.table(demo.view(VIEW)).sort_by("sample_id")
    assert read == demo.arrow(VIEW).sort_by("sample_id")
    assert len(demo.view(VIEW)) == len(read) > 0


def test_a_notebook_shows_rows_and_escapes_what_the_web_wrote(demo: Lake) -> None:
    shown = demo.view("pairs")._repr_html_()
    assert shown.count("<tr>") == 11
    assert "sample_id" in shown
    assert "candidates" in demo._repr_html_()


def test_dask_reads_the_same_rows_on_the_workers(demo: Lake, client: Client) -> None:
    frame = demo.dask("pairs")
    low, high = demo.pins()["candidates"]
    assert frame.npartitions == high - low + 1
    assert all(isinstance(dtype, pd.ArrowDtype) for dtype in frame.dtypes)
    counted = frame.groupby("language", dropna=False)["sample_id"].count().compute()
    rows = views.query(demo, "select language, count(*) as n from pairs group by 1").to_pylist()
    found = {None if pd.isna(language) else language: n for language, n in counted.items()}
    assert found == {row["language"]: row["n"] for row in rows}


def test_dask_reads_a_view_without_batches_in_one_piece(demo: Lake, client: Client) -> None:
    assert len(demo.dask("funnel").compute()) == len(demo.arrow("funnel"))


def test_torch_gets_each_pair_with_its_own_picture(demo: Lake) -> None:
    dataset = pickle.loads(pickle.dumps(demo.torch(VIEW)))  # as a loader's worker gets it
    rows = {row["sample_id"]: row for row in demo.arrow(VIEW).to_pylist()}
    assert len(dataset) == len(rows)
    loader = DataLoader(dataset, batch_size=5, shuffle=True, collate_fn=list)
    items = [item for batch in loader for item in batch]
    assert {item["sample_id"] for item in items} == set(rows)
    for item in items:
        row = rows[item["sample_id"]]
        assert item["text"] == row["text"]
        stored = pictures.stored(demo, [row["url_id"]])[row["url_id"]]
        assert item["image"].tobytes() == Image.open(io.BytesIO(stored)).convert("RGB").tobytes()


def test_a_transform_is_applied(demo: Lake) -> None:
    dataset = demo.torch(VIEW, lambda image: image.size)
    assert (
        dataset[0]["image"]
        == Image.open(
            io.BytesIO(next(iter(pictures.stored(demo, demo.arrow(VIEW)["url_id"].to_pylist()).values())))
        ).size
    )


def test_views_that_are_none_are_named(demo: Lake) -> None:
    for ask in (demo.view, demo.dask, demo.torch):
        with pytest.raises(UsageError, match="no view 'laion9b'"):
            ask("laion9b")
