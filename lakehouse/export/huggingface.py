"""A folder that the `datasets` library and the Hugging Face hub read: parquet with pictures, and a card."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from lakehouse.export.base import Shard, Written, store, store_parquet
from lakehouse.export.pictures import described
from lakehouse.storage import Storage

GROUP = 100  # rows with pictures per row group: what the hub's viewer wants to read at a time

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_COLUMNS = (
    ("sample_id", pa.int64()),
    ("url", pa.string()),
    ("text", pa.string()),
    ("language", pa.string()),
    ("license", pa.string()),
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("sha256", pa.string()),
    ("similarity", pa.float32()),
    ("punsafe", pa.float32()),
    ("pwatermark", pa.float32()),
    ("aesthetic", pa.float32()),
)


class HuggingFace:
    """data/train-00000-of-00010.parquet … and README.md."""

    pictures = True
    order = "md5(sample_id || ':' || $seed), sample_id"
    rows = 10_000

    def write(
        self, target: Storage, shard: Shard, rows: pa.Table, pictures: Iterator[bytes]
    ) -> list[Written]:
        """One parquet file, with the features as `datasets` stores them in its metadata."""
        schema = pa.schema([("image", _IMAGE), *_COLUMNS])
        images = []
        for number, data in zip(rows["sample_id"].to_pylist(), pictures, strict=True):
            images.append({"bytes": data, "path": f"{number}.{described(data)[0]}"})
        table = pa.table(
            [pa.array(images, _IMAGE), *[rows[name].cast(dtype) for name, dtype in _COLUMNS]], schema=schema
        ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": _features()}})})
        path = f"data/train-{shard.number:05d}-of-{shard.of:05d}.parquet"
        return [store_parquet(target, path, table, GROUP)]

    def finish(self, target: Storage, manifest: Mapping[str, Any]) -> list[Written]:
        """README.md: the header that the hub reads, and what the manifest knows."""
        return [store(target, "README.md", _card(manifest).encode())]


def _features() -> dict[str, Any]:
    values = {name: {"dtype": _dtype(dtype), "_type": "Value"} for name, dtype in _COLUMNS}
    return {"image": {"_type": "Image"}, **values}


def _dtype(dtype: pa.DataType) -> str:
    return {pa.float32(): "float32"}.get(dtype, str(dtype))


def _card(manifest: Mapping[str, Any]) -> str:
    features = "\n".join(
        f"  - name: {name}\n    dtype: {dtype}"
        for name, dtype in [("image", "image"), *[(name, _dtype(dtype)) for name, dtype in _COLUMNS]]
    )
    size = sum(file["bytes"] for file in manifest["files"])
    pins = "\n".join(f"- {key}: batches {low} to {high}" for key, (low, high) in manifest["pins"].items())
    return f"""\
---
dataset_info:
  features:
{features}
  splits:
  - name: train
    num_bytes: {size}
    num_examples: {manifest["rows"]}
  download_size: {size}
  dataset_size: {size}
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
task_categories:
- text-to-image
- image-to-text
---
# {manifest["view"]}

{manifest["rows"]:,} image-text pairs of the view `{manifest["view"]}` of a Pairlake lake.

- version: {manifest["of"]}, at the pins below
- content fingerprint: `{manifest["fingerprint"]}`
- made with Pairlake {manifest["package"]}
- pairs of the view without a stored picture, left out: {manifest["left_out"]["no_picture"]:,}

{pins}

Each row has a picture and a caption from the web; both belong to whoever made them. `license` is what the
page said, where it said anything.
"""
