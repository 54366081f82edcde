"""What other tools read of an export: LAION's columns, DataComp's uids, Hugging Face's folder."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from distributed import Client
from exports import VIEW, exported

from lakehouse import views
from lakehouse.lake import Lake

#: as the published parts have them (dataset card of Rexhaif/laion-2b-en-very-unsafe)
PUBLISHED = [
    ("URL", pa.string()),
    ("TEXT", pa.string()),
    ("WIDTH", pa.int32()),
    ("HEIGHT", pa.int32()),
    ("similarity", pa.float64()),
    ("hash", pa.int64()),
    ("punsafe", pa.float32()),
    ("pwatermark", pa.float32()),
]


def test_parquet_has_laions_columns(demo: Lake, client: Client, tmp_path: Path) -> None:
    exported(demo, client, "parquet", tmp_path / "out", view="pairs")
    read = pa.concat_tables(pq.read_table(file) for file in sorted((tmp_path / "out").glob("*.parquet")))
    assert [(f.name, f.type) for f in read.schema][: len(PUBLISHED)] == PUBLISHED
    rows = views.query(demo, "select sample_id, url, text, width from pairs order by sample_id").to_pylist()
    mine = read.sort_by("hash").to_pylist()
    assert [(r["hash"], r["URL"], r["TEXT"], r["WIDTH"]) for r in mine] == [tuple(r.values()) for r in rows]


def test_datacomps_resharder_finds_its_uids(demo: Lake, client: Client, tmp_path: Path) -> None:
    exported(demo, client, "datacomp", tmp_path / "out", view="pairs")
    read = np.load(tmp_path / "out" / "subset.npy", mmap_mode="r")
    assert read.dtype == np.dtype("u8,u8")
    # as resharder.py makes an entry of its table from a sample's uid: int(uid[:16], 16), int(uid[16:32], 16)
    ids = views.query(demo, "select sample_id from pairs")["sample_id"].to_pylist()
    uids = sorted(f"{number & 0xFFFF_FFFF_FFFF_FFFF:032x}" for number in ids)
    assert [tuple(map(int, row)) for row in read] == [(int(u[:16], 16), int(u[16:], 16)) for u in uids]


def test_a_hugging_face_folder_loads_offline(
    demo: Lake, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported(demo, client, "huggingface", tmp_path / "out")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"), split="train")
    rows = {r["sample_id"]: r for r in views.query(demo, f"select * from {VIEW}").to_pylist()}
    assert sorted(loaded["sample_id"]) == sorted(rows)
    first = loaded[0]
    assert first["text"] == rows[first["sample_id"]]["text"]
    assert max(first["image"].size) <= 256  # a decoded picture


def test_a_url_list_has_what_img2dataset_verifies(demo: Lake, client: Client, tmp_path: Path) -> None:
    exported(demo, client, "urls", tmp_path / "out")
    with io.BytesIO(next((tmp_path / "out").glob("urls-*.parquet")).read_bytes()) as file:
        assert {"url", "caption", "sha256"} <= set(pq.read_table(file).column_names)
