"""Stored pictures by the keys of their URLs: for pages that show a few."""

from __future__ import annotations

from collections.abc import Sequence

from lakehouse.lake import Lake
from lakehouse.relations import ranges_of
from lakehouse.tables.base import predicate


def stored(lake: Lake, url_ids: Sequence[int]) -> dict[int, bytes]:
    """url_id -> the encoded picture, for those that the lake holds and a reader of it sees."""
    ranges = ranges_of("images", lake.pins())
    dataset = lake.table("images").dataset()
    if dataset is None or not ranges or not url_ids:
        return {}
    keys = ",".join(str(int(key)) for key in url_ids)
    rows = dataset.scanner(
        columns=["url_id", "image"],
        filter=f"({predicate(ranges)}) and url_id in ({keys})",
        late_materialization=["image"],
    ).to_table()
    return dict(zip(rows["url_id"].to_pylist(), (image.as_py() for image in rows["image"]), strict=True))
