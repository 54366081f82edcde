"""The pictures that the demo web carries: 400 emoji in Fluent's 3D style, with names in twelve languages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

PICTURES = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("form", pa.string(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("media_type", pa.string(), nullable=False),
        pa.field("picture", pa.binary(), nullable=False),
        pa.field("names", pa.map_(pa.string(), pa.string()), nullable=False),
    ]
)
"""Columns of web/pictures.parquet; `form` is plain, small (under 5,000 bytes) or turned (by EXIF)."""

FILE = Path(__file__).parent / "web" / "pictures.parquet"


@dataclass(frozen=True)
class Picture:
    """One encoded picture and what it shows."""

    name: str
    form: str
    category: str
    media_type: str
    data: bytes
    names: dict[str, str]  # language -> CLDR name

    @property
    def file_name(self) -> str:
        """The name that it has in URLs, such as `fox-face.jpg`."""
        ending = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}[self.media_type]
        return f"{self.name}.{ending}"


def carried(form: str = "plain") -> list[Picture]:
    """The carried pictures of one form, in the order of the file."""
    rows = pq.read_table(FILE, schema=PICTURES).to_pylist()
    return [
        Picture(
            row["name"], row["form"], row["category"], row["media_type"], row["picture"], dict(row["names"])
        )
        for row in rows
        if row["form"] == form
    ]
