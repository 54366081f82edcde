"""A lake to remove from, and a search through all that is in its files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from lance.file import LanceFileReader

from lakehouse.lake import Lake, init
from tests import lakes
from transforms.candidates.keys import sample_id

SCORES = f"scores/{lakes.SIMILARITY}"
NAMES = ("apple", "pear", "plum", "fig")
TABLES = ("candidates", "downloads", "embeddings_b32", "images", SCORES)


def caption(of: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Another caption of the picture of the candidate `of`."""
    return {**of, "text": text, "sample_id": sample_id(of["url"], text), "position": 1}


APPLE, PEAR, PLUM, FIG = (lakes.candidate(name) for name in NAMES)
RED = caption(APPLE, "a red apple on a table")
ALL = (APPLE, RED, PEAR, PLUM, FIG)


def picture(of: Mapping[str, Any]) -> bytes:
    """The file behind the candidate's URL: pear and plum are the same picture."""
    name = "pear" if of in (PEAR, PLUM) else of["url"]
    return hashlib.sha256(name.encode()).digest() * 40


def download(of: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A successful attempt at the candidate's URL."""
    body = picture(of)
    digests = {"sha256": hashlib.sha256(body).hexdigest(), "md5": hashlib.md5(body).hexdigest()}
    return lakes.download(of) | digests | changes


def embedding(of: Mapping[str, Any]) -> dict[str, Any]:
    """Two vectors of the candidate's own."""
    vector = np.random.default_rng(abs(of["sample_id"])).normal(size=(2, 512)).astype(np.float16)
    return {
        "sample_id": of["sample_id"],
        "image_embedding": list(vector[0]),
        "text_embedding": list(vector[1]),
        "unit": of["unit"],
    }


def orchard(root: Path) -> Lake:
    """Five pairs in two batches of everything: apple has two captions, pear and plum are one picture."""
    lake = init(str(root))
    for some, urls in (((APPLE, PEAR), (APPLE, PEAR)), ((RED, PLUM, FIG), (PLUM, FIG))):
        number = lakes.append(lake, {"candidates": some})
        fetched = {
            "downloads": [download(of) for of in urls],
            "images": [{**lakes.image(of), "image": picture(of)} for of in urls],
        }
        lakes.append(lake, fetched, [f"candidates:{number}"])
        lakes.append(lake, {"embeddings_b32": [embedding(of) for of in some]})
        lakes.append(lake, {SCORES: [lakes.score(of, 0.3) for of in some]})
    return lake


def left(lake: Lake) -> dict[str, set[Any]]:
    """What is in each table, by names of pairs and pictures."""
    pairs = {of["sample_id"]: of["text"] for of in ALL}
    urls = {of["url_id"]: of["url"].rsplit("/", 1)[1].removesuffix(".jpg") for of in ALL}
    found = {}
    for key in TABLES:
        column = "url_id" if key in ("downloads", "images") else "sample_id"
        rows = lake.table(key).dataset().to_table(columns=[column])
        names = pairs if rows.schema.names == ["sample_id"] else urls
        found[key] = {names[value] for value in rows[0].to_pylist()}
    return found


def contents(root: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file under `root`, as it is; parquet and Lance files also decoded, with their statistics."""
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        yield path, path.read_bytes()
        if path.suffix == ".parquet":
            file = pq.ParquetFile(path)
            yield path, b"".join(_cells(file.read()))
            yield path, str(_statistics(file.metadata)).encode()
        if path.suffix == ".lance":
            yield path, b"".join(_cells(LanceFileReader(str(path)).read_all().to_table()))
    for manifest in {path.parent.parent for path in root.rglob("*.manifest")}:
        dataset = lance.dataset(str(manifest))
        for version in dataset.versions():
            rows = lance.dataset(str(manifest), version=version["version"]).to_table()
            yield manifest, b"".join(_cells(rows))


def _cells(rows: pa.Table) -> Iterator[bytes]:
    for column in rows.columns:
        for value in column:
            plain = value.as_py()
            if isinstance(plain, list) and plain and isinstance(plain[0], float | np.floating):
                yield np.asarray(plain, np.float16).tobytes()
            else:
                yield plain if isinstance(plain, bytes) else str(plain).encode()


def _statistics(metadata: pq.FileMetaData) -> list[Any]:
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    columns = [group.column(i) for group in groups for i in range(group.num_columns)]
    return [
        (c.statistics.min, c.statistics.max) for c in columns if c.statistics and c.statistics.has_min_max
    ]
