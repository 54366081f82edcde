"""Shards are read by the webdataset package and by open_clip's own pipeline, every sample once."""

from __future__ import annotations

import io
import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import webdataset
from distributed import Client
from exports import VIEW, exported
from PIL import Image

from lakehouse import views
from lakehouse.lake import Lake

#: the webdataset package leaves its files to the garbage collector
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(scope="module")
def folder(demo: Lake, client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The view as shards."""
    to = tmp_path_factory.mktemp("webdataset") / "shards"
    exported(demo, client, "webdataset", to)
    return to


@pytest.fixture(scope="module")
def expected(demo: Lake) -> dict[int, dict[str, Any]]:
    """The view's rows as SQL gives them."""
    return {row["sample_id"]: row for row in views.query(demo, f"select * from {VIEW}").to_pylist()}


def test_the_webdataset_package_reads_every_sample_once(folder: Path, expected: dict[int, Any]) -> None:
    shards = sorted(map(str, folder.glob("*.tar")))
    assert len(shards) > 1
    read = list(webdataset.WebDataset(shards, shardshuffle=False))
    told = [json.loads(sample["json"]) for sample in read]
    assert sorted(one["sample_id"] for one in told) == sorted(expected)
    for sample, one in zip(read, told, strict=True):
        row = expected[one["sample_id"]]
        assert sample["__key__"] == one["key"]
        assert sample["txt"].decode() == one["caption"] == row["text"]
        assert Image.open(io.BytesIO(sample["jpg"])).size == (one["width"], one["height"])
        assert (one["url"], one["sha256"], one["original_width"]) == (row["url"], row["sha256"], row["width"])


def test_the_tables_beside_the_shards_say_the_same(folder: Path) -> None:
    for tar in folder.glob("*.tar"):
        told = [json.loads(sample["json"]) for sample in webdataset.WebDataset(str(tar), shardshuffle=False)]
        assert pq.read_table(tar.with_suffix(".parquet"))["key"].to_pylist() == [one["key"] for one in told]
        stats = json.loads((folder / f"{tar.stem}_stats.json").read_text())
        assert stats["successes"] == stats["count"] == len(told)


def test_open_clips_pipeline_reads_every_sample(folder: Path, expected: dict[int, Any]) -> None:
    data = pytest.importorskip("open_clip_train.data", reason="open_clip's training extra")
    args = Namespace(
        train_data="",
        train_data_upsampling_factors=None,
        val_data="::".join(sorted(map(str, folder.glob("*.tar")))),
        val_num_samples=len(expected),
        train_num_samples=None,
        dataset_resampled=False,
        seed=0,
        batch_size=4,
        workers=0,
        world_size=1,
        distributed=False,
    )
    info = data.get_wds_dataset(args, lambda image: image.size[0], False, tokenizer=lambda text: [text])
    captions = [text for _, texts in info.dataloader for text in texts]
    assert sorted(captions) == sorted(row["text"] for row in expected.values())
