"""Captions with their pictures: what embedding and picture scorers work on.

A picture is fetched once and may have many captions, so a caption's picture can lie in any batch of
`images`. The captions of one batch of downloads are joined to their pictures' keys, brought together
by the Lance fragment that holds them, and only then are the pictures themselves read: each worker
reads the payload of its own rows, once.
"""

from __future__ import annotations

from collections.abc import Sequence

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
from dask.delayed import Delayed

from lakehouse.lake import Lake, batches_of, ranges
from lakehouse.tables.lance import FRAGMENT, LanceFormat
from transforms import columns, joins

COLUMNS = ["sample_id", "text", "language", "url_id", "unit"]
KEYS = 1 << 20  # per task, where all keys of a table are looked through: 8 MB, and many small files at once
NOWHERE = -1  # the fragment of a caption without a picture


def pairs(
    lake: Lake, works: Sequence[str], wanted: Delayed | None = None, unwanted: Delayed | None = None
) -> dd.DataFrame:
    """Rows sample_id, text, language, url_id, unit, image for batches of downloads named by `works`.

    `wanted` leaves out all but these sample_ids, `unwanted` leaves these out (int64 arrays, delayed).

    `image` is NULL where there is none. A batch that fetched new URLs stands for the candidates that
    asked for them; a batch that tried failed URLs again, for all earlier candidates of those pictures.
    """
    pins = lake.pins(building=True)
    numbers = batches_of(works)["downloads"]
    done = {e["batch"]: e["units"] for e in lake.ledger.done("downloads")}
    parts = []
    for number in numbers:
        asked = batches_of(done[number])
        first = pins["downloads"][0]
        if "candidates" in asked:
            chosen, pictures = asked["candidates"], (first, number)
        else:
            earlier = [w for n, units in done.items() if first <= n < number for w in units]
            chosen, pictures = batches_of(earlier).get("candidates", []), (number, number)
        rows = lake.read("candidates", ranges(chosen), COLUMNS, lake.settings.batches.rows)
        if wanted is not None or unwanted is not None:
            rows = rows.map_partitions(_keep, wanted, unwanted, meta=rows._meta, enforce_metadata=False)
        parts.append(_with_pictures(lake, rows, pictures, missing="candidates" in asked))
    return dd.concat(parts) if len(parts) > 1 else parts[0]


def _with_pictures(lake: Lake, rows: dd.DataFrame, batches: tuple[int, int], missing: bool) -> dd.DataFrame:
    images = lake.table("images")
    assert isinstance(images, LanceFormat)
    places = lake.read("images", [batches], ["url_id", FRAGMENT], KEYS)
    found = joins.matches(rows, places, "url_id")
    placed = rows.map_partitions(_place, found, missing, meta=_meta(placed=True), enforce_metadata=False)
    if rows.npartitions > 1:
        placed = placed.shuffle(FRAGMENT, npartitions=rows.npartitions)
    return placed.map_partitions(
        _take,
        images.storage,
        images.spec,
        images.version() or 0,
        meta=_meta(placed=False),
        enforce_metadata=False,
    )


def _keep(part: pd.DataFrame, wanted: np.ndarray | None, unwanted: np.ndarray | None) -> pd.DataFrame:
    ids = part["sample_id"].to_numpy(np.int64)
    mask = np.ones(len(ids), bool) if wanted is None else np.isin(ids, wanted)
    return part[mask if unwanted is None else mask & ~np.isin(ids, unwanted)]


def _meta(placed: bool) -> pd.DataFrame:
    fields = [columns.CANDIDATES.field(name) for name in COLUMNS]
    last = pa.field(FRAGMENT, pa.int64()) if placed else columns.IMAGE
    return columns.meta(pa.schema([*fields, last]))


def _place(part: pd.DataFrame, found: pa.Table, missing: bool) -> pd.DataFrame:
    """Adds the fragment that holds each row's picture; rows without one stay if `missing`."""
    where = dict(zip(found["url_id"].to_pylist(), found[FRAGMENT].to_pylist(), strict=True))
    numbers = np.array([where.get(key, NOWHERE) for key in part["url_id"].tolist()], np.int64)
    part = part.assign(**{FRAGMENT: pd.array(numbers, pd.ArrowDtype(pa.int64()))})
    return part if missing else part[numbers != NOWHERE]


def _take(part: pd.DataFrame, storage: object, spec: object, version: int) -> pd.DataFrame:
    """Replaces the place of each picture by the picture."""
    images = LanceFormat(storage, spec)  # type: ignore[arg-type]
    numbers = part[FRAGMENT].to_numpy(np.int64)
    wanted = part["url_id"][numbers != NOWHERE].unique().tolist()
    pictures = {}
    if wanted:
        taken = images.take(version, sorted(set(numbers[numbers != NOWHERE].tolist())), wanted)
        pictures = dict(zip(taken["url_id"].to_pylist(), taken["image"], strict=True))
    empty = pa.scalar(None, pa.large_binary())
    image = pa.array([pictures.get(key, empty).as_py() for key in part["url_id"].tolist()], pa.large_binary())
    return part.drop(columns=FRAGMENT).assign(image=pd.array(image, pd.ArrowDtype(pa.large_binary())))
