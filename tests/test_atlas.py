"""The file that Embedding Atlas reads: rows of a view with their pictures and vectors."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lakehouse import atlas, views
from lakehouse.errors import LakeError, UsageError
from lakehouse.lake import Lake
from tests.demo_lake import read


def test_rows_with_picture_and_vector(demo: Lake, tmp_path: Path) -> None:
    path = tmp_path / "map.parquet"
    count = atlas.write(demo, "laion5b", path, sample=30)
    rows = pq.read_table(path)
    assert count == len(rows) == 30
    members = views.query(demo, "select sample_id, text from laion5b").to_pylist()
    texts = {row["sample_id"]: row["text"] for row in members}
    stored = read(demo, "embeddings_demo", ["sample_id", "image_embedding"])
    vectors = dict(zip(stored["sample_id"].to_pylist(), stored["image_embedding"].to_pylist(), strict=True))
    for row in rows.to_pylist():
        assert row["text"] == texts[row["sample_id"]]
        np.testing.assert_array_equal(row["vector"], vectors[row["sample_id"]])
        with Image.open(io.BytesIO(row["image"])) as picture:
            picture.load()
    again = tmp_path / "again.parquet"
    atlas.write(demo, "laion5b", again, sample=30)
    assert pq.read_table(again).equals(rows)


def test_what_cannot_be_shown(demo: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no view 'nothing'"):
        atlas.write(demo, "nothing", tmp_path / "map.parquet", 10)
    with pytest.raises(UsageError, match="no row of unsafe has vectors of demo"):
        atlas.write(demo, "unsafe", tmp_path / "map.parquet", 10)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(
        LakeError, match=r"Embedding Atlas is not installed: `pip install 'pairlake\[atlas\]'`"
    ):
        atlas.show(demo, "laion5b", 10, None, "127.0.0.1", 5055)
