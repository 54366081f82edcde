"""Nearest neighbours among a lake's embeddings, first form: exact, without an index."""

from __future__ import annotations

import heapq

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakehouse.errors import UsageError
from lakehouse.lake import Lake, model_errors
from lakehouse.tables import Range
from lakehouse.tables.base import predicate
from lakehouse.views import query
from transforms.embeddings import embed_texts

ROWS_AT_ONCE = 65_536  # vectors that a search of a pushed copy holds


@model_errors()
def by_text(lake: Lake, text: str, k: int, model: str | None = None) -> pa.Table:
    """The `k` pairs whose pictures are nearest to `text` under `model` (default: the lake's first).

    Columns: cosine, language, text, url, nearest first. Every picture appears once, with its first
    caption. Raises UsageError where nothing is embedded yet.
    """
    specs = {spec.name: spec for spec in lake.settings.models}
    if model is not None and model not in specs:
        raise UsageError(f"no model {model!r} in lake.toml; there are {', '.join(specs)}")
    spec = specs[model or lake.settings.models[0].name]
    key = f"embeddings_{spec.name}"
    pin = lake.pins().get(key)
    if pin is None:
        raise UsageError(f"nothing is embedded with {spec.name} yet: `lake run`")
    captions = 10  # asked for per picture wanted: several captions may share one picture
    vector = embed_texts([text], spec)[0].astype("float16")
    found = (_scanned if lake.published else _nearest)(lake, key, pin, vector, k * captions)
    ids = ",".join(map(str, found)) or "null"
    rows = query(lake, f"select sample_id, url_id, language, text, url from pairs where sample_id in ({ids})")
    return _first_captions(rows, found, k)


def _nearest(
    lake: Lake, key: str, pin: tuple[int, int], vector: npt.NDArray[np.float16], n: int
) -> dict[int, float]:
    """The `n` sample_ids whose pictures are nearest, with their cosines."""
    scanner = (
        lake.table(key)
        .dataset()
        .scanner(
            columns=["sample_id", "_distance"],
            nearest={"column": "image_embedding", "q": vector, "k": n, "metric": "dot"},
            filter=predicate([Range(*pin)]),
            prefilter=True,
        )
    )
    return {row["sample_id"]: 1 - row["_distance"] for row in scanner.to_table().to_pylist()}


def _scanned(
    lake: Lake, key: str, pin: tuple[int, int], vector: npt.NDArray[np.float16], n: int
) -> dict[int, float]:
    """The same in a pushed copy, whose vectors are parquet: all are read, some at a time."""
    best: dict[int, float] = {}
    for part in lake.read(key, [pin], ["sample_id", "image_embedding"], ROWS_AT_ONCE).to_delayed():
        rows = pa.Table.from_pandas(part.compute(scheduler="synchronous"), preserve_index=False)
        vectors = rows["image_embedding"].combine_chunks().flatten().to_numpy().reshape(len(rows), -1)
        cosines = vectors.astype(np.float32) @ vector.astype(np.float32)
        best.update(zip(rows["sample_id"].to_pylist(), cosines.tolist(), strict=True))
        best = dict(heapq.nlargest(n, best.items(), key=lambda item: item[1]))
    return best


def _first_captions(rows: pa.Table, cosines: dict[int, float], k: int) -> pa.Table:
    ranked = sorted(rows.to_pylist(), key=lambda row: (-cosines[row["sample_id"]], row["sample_id"]))
    pictures: dict[int, dict[str, object]] = {}
    for row in ranked:
        line = {"cosine": cosines[row["sample_id"]], **{n: row[n] for n in ("language", "text", "url")}}
        pictures.setdefault(row["url_id"], line)
    schema = pa.schema(
        [("cosine", pa.float64()), ("language", pa.string()), ("text", pa.string()), ("url", pa.string())]
    )
    return pa.Table.from_pylist(list(pictures.values())[:k], schema=schema)
