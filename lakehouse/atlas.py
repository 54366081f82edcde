"""A view as a file for Embedding Atlas: rows with pictures and vectors, which that tool makes a map of."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse import views
from lakehouse.errors import LakeError, UsageError
from lakehouse.lake import Lake
from lakehouse.pictures import stored
from lakehouse.search import Searcher
from lakehouse.sqlfiles import identifier

#: columns of `pairs` that the map can be filtered by
COLUMNS = (
    *("sample_id", "url_id", "text", "url", "host", "language", "license", "width", "height"),
    *("similarity", "aesthetic", "punsafe", "pwatermark", "toxicity"),
)
ROWS_AT_ONCE = 2_048  # with their pictures and vectors


def write(lake: Lake, view: str, path: Path, sample: int, model: str | None = None) -> int:
    """Writes up to `sample` rows of `view` that have vectors of `model` as a parquet file; returns how many.

    Which rows, is the same at each call. Columns: COLUMNS, `image` (the stored picture, NULL where there is
    none) and `vector` (of the picture, float32). Raises UsageError where there is no such view, or no row.
    """
    searcher = Searcher(lake, model)
    views.definition(lake, view)
    chosen = ", ".join(identifier(name) for name in COLUMNS)
    rows = views.query(
        lake,
        f"select {chosen} from pairs where sample_id in (select sample_id from {identifier(view)}) "
        f"order by hash(sample_id) limit {int(sample)}",
    )
    total, writer = 0, None
    try:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = _whole(lake, searcher, rows.slice(start, ROWS_AT_ONCE))
            writer = writer or pq.ParquetWriter(path, part.schema)
            writer.write_table(part)
            total += len(part)
    finally:
        if writer is not None:
            writer.close()
    if not total:
        raise UsageError(f"no row of {view} has vectors of {searcher.model}")
    return total


def show(lake: Lake, view: str, sample: int, model: str | None, host: str, port: int) -> None:
    """Serves the map until it is stopped. Raises LakeError where Embedding Atlas is not installed."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    program = shutil.which("embedding-atlas", path=places)
    if program is None:
        raise LakeError("Embedding Atlas is not installed: `pip install 'pairlake[atlas]'`")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{view}.parquet"
        write(lake, view, path, sample, model)
        columns = ["--text", "text", "--image", "image", "--vector", "vector"]
        place = ["--host", host, "--port", str(port), "--no-auto-port"]
        done = subprocess.run([program, path, *columns, *place], check=False)
    if done.returncode:
        raise LakeError(f"Embedding Atlas ended with exit code {done.returncode}")


def _whole(lake: Lake, searcher: Searcher, rows: pa.Table) -> pa.Table:
    """Those of `rows` that have a vector, with picture and vector."""
    ids = rows["sample_id"].to_numpy()
    vectors = searcher.vectors(ids)
    rows = rows.filter(pa.array([int(key) in vectors for key in ids], pa.bool_()))
    found = stored(lake, rows["url_id"].to_pylist())
    images = [found.get(key) for key in rows["url_id"].to_pylist()]
    made = [vectors[key].tolist() for key in rows["sample_id"].to_pylist()]
    return (
        rows.drop_columns("url_id")
        .append_column("image", pa.array(images, pa.binary()))
        .append_column("vector", pa.array(made, pa.list_(pa.float32())))
    )
