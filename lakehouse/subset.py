"""A view's rows in Python: as an Arrow stream, a Dask DataFrame, or a torch dataset with pictures."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import dask.dataframe as dd
import pandas as pd
import pyarrow as pa
from PIL import Image

from lakehouse import settings, views
from lakehouse.lake import Lake
from lakehouse.moments import Moment
from lakehouse.relations import ranges_of
from lakehouse.sqlfiles import identifier
from lakehouse.tables.lance import LanceFormat
from transforms import columns

SHOWN = 10  # rows that a notebook shows
STREAMED = 100_000  # rows per batch of an Arrow stream

Told = tuple[settings.Settings, Moment | None]  # what a worker opens the same lake with


@dataclass(frozen=True, repr=False)
class Subset:
    """The rows of a view, at the moment its lake was opened at."""

    lake: Lake
    view: str

    def __repr__(self) -> str:
        return f"Subset({self.view!r} of {self.lake!r})"

    def __len__(self) -> int:
        found = views.query(self.lake, f"select count(*) as n from {identifier(self.view)}")
        return int(found["n"][0].as_py())

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The rows as an Arrow stream: pyarrow, pandas, Polars and DuckDB take this object as a table."""
        connection = views.connect(self.lake, only=[self.view])
        rows = connection.execute(f"select * from {identifier(self.view)}").to_arrow_reader(STREAMED)
        return rows.__arrow_c_stream__(requested_schema)

    def _repr_html_(self) -> str:
        rows = views.query(self.lake, f"select * from {identifier(self.view)} limit {SHOWN}")
        head = "".join(f"<th>{escape(name)}</th>" for name in rows.column_names)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(str(cell))[:80]}</td>" for cell in row.values()) + "</tr>"
            for row in rows.to_pylist()
        )
        return f"<p>{escape(repr(self))}, the first {len(rows)}:</p><table><tr>{head}</tr>{body}</table>"


def to_dask(lake: Lake, view: str) -> dd.DataFrame:
    """The view as a Dask DataFrame with Arrow dtypes; a partition per batch of candidates if it has `batch`.

    Each partition is a query of its own, on the worker that needs it.
    """
    views.definition(lake, view)
    schema = views.query(lake, f"select * from {identifier(view)} limit 0").schema
    batches: list[int | None] = [None]
    if "batch" in schema.names:
        low, high = lake.pins().get("candidates", (0, -1))
        batches = list(range(low, high + 1)) or [None]
    frame: dd.DataFrame = dd.from_map(
        _partition,
        batches,
        told=(lake.settings, lake.moment),
        view=view,
        pins=lake.pins(),
        schema=schema,
        meta=columns.meta(schema),
        enforce_metadata=False,
    )
    return frame


def _partition(
    batch: int | None, told: Told, view: str, pins: dict[str, tuple[int, int]], schema: pa.Schema
) -> pd.DataFrame:
    where = "" if batch is None else f" where batch = {batch}"
    lake = Lake(*told)
    rows = views.query(
        lake, f"select * from {identifier(view)}{where}", pins=None if lake.moment is not None else pins
    )
    return columns.to_pandas(rows.cast(schema))


class Pictures:
    """Pictures and captions of a view as a map-style dataset, which torch's `DataLoader` takes.

    An item is a dict of `image` (what `transform` makes of the Pillow picture), `text` and `sample_id`. Pairs
    without a stored picture are left out. Keys, captions and places are in memory, 16 bytes and a caption per
    pair; pictures are read as they are asked for, a batch at a time, by each of the loader's workers.
    """

    def __init__(self, lake: Lake, view: str, transform: Callable[[Image.Image], Any] | None = None) -> None:
        self._told: Told = (lake.settings, lake.moment)
        self._transform = transform
        images = _images(lake)
        self._version, places = images.places(ranges_of("images", lake.pins()))
        views.definition(lake, view)
        with views.connect(lake, only=["pairs", view]) as connection, views.sql_errors(f"view {view}: "):
            connection.register("_places", places)
            self._rows = connection.sql(
                "select pairs.sample_id, pairs.text, _places.place from pairs "
                "inner join _places on pairs.url_id = _places.url_id "
                f"where pairs.sample_id in (select sample_id from {identifier(view)}) "
                "order by pairs.sample_id"
            ).to_arrow_table()

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """The items of a whole batch, in one read: torch's loaders ask so where they can."""
        rows = self._rows.take(list(indices))
        pictures = _images(Lake(*self._told)).at(self._version, rows["place"].to_pylist(), "image")
        return list(self._items(rows, pictures))

    def _items(self, rows: pa.Table, pictures: pa.ChunkedArray) -> Iterator[dict[str, Any]]:
        for row, picture in zip(rows.to_pylist(), pictures, strict=True):
            with Image.open(io.BytesIO(picture.as_py())) as opened:
                image = opened.convert("RGB")
            made = image if self._transform is None else self._transform(image)
            yield {"image": made, "text": row["text"], "sample_id": row["sample_id"]}


def _images(lake: Lake) -> LanceFormat:
    images = lake.table("images")
    assert isinstance(images, LanceFormat)
    return images
