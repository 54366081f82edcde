"""Nearest neighbours among a lake's embeddings, first form: exact, without an index."""

from __future__ import annotations

import pyarrow as pa

from lakehouse.errors import UsageError
from lakehouse.lake import Lake, model_errors
from lakehouse.tables import Range
from lakehouse.tables.base import predicate
from lakehouse.views import query
from transforms.embeddings import embed_texts


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
    dataset = lake.table(key).dataset()
    captions = 10  # asked for per picture wanted: several captions may share one picture
    nearest = dataset.scanner(
        columns=["sample_id", "_distance"],
        nearest={
            "column": "image_embedding",
            "q": embed_texts([text], spec)[0].astype("float16"),
            "k": k * captions,
            "metric": "dot",
        },
        filter=predicate([Range(*pin)]),
        prefilter=True,
    ).to_table()
    found = {row["sample_id"]: 1 - row["_distance"] for row in nearest.to_pylist()}
    ids = ",".join(map(str, found)) or "null"
    rows = query(lake, f"select sample_id, url_id, language, text, url from pairs where sample_id in ({ids})")
    return _first_captions(rows, found, k)


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
