"""The pictures of the study: emoji in three styles, and photographs, with their English names.

They are no part of Pairlake. The folder holds `emoji_pairs.parquet` (columns caption_en, noto_png64,
twemoji_png64, fluent3d_webp) and `tuxpaint_pairs.parquet` (caption_en, png). Noto trains the filter's model,
Twemoji and Tux Paint fill the crawl, Fluent is held out, so that nothing judges itself.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from lakehouse.errors import UsageError

SIDE = 64  # pixels of the longer side: no more than the models see, and Twemoji has no more

HELD_OUT = pa.schema(
    [pa.field("name", pa.string(), nullable=False), pa.field("picture", pa.binary(), nullable=False)]
)
"""Columns of a file of held-out pictures: each picture is a class of its own, under its English name."""


@dataclass(frozen=True)
class Picture:
    """What it shows, and how it looks: RGB on white, at most `SIDE` pixels."""

    style: str
    name: str
    image: Image.Image

    def encoded(self, quality: int = 90, side: int | None = None) -> bytes:
        """As JPEG, scaled to `side` pixels where one is given."""
        image = (
            self.image
            if side is None
            else self.image.resize((side, side * self.image.height // self.image.width or 1))
        )
        out = io.BytesIO()
        image.save(out, "JPEG", quality=quality)
        return out.getvalue()


def noto(folder: Path) -> list[Picture]:
    """The filter's pictures."""
    return _pictures(folder, "emoji_pairs.parquet", "noto_png64", "noto")


def crawled(folder: Path) -> list[Picture]:
    """The crawl's pictures: Twemoji and Tux Paint."""
    return [
        *_pictures(folder, "emoji_pairs.parquet", "twemoji_png64", "twemoji"),
        *_pictures(folder, "tuxpaint_pairs.parquet", "png", "tuxpaint"),
    ]


def held_out(folder: Path) -> pa.Table:
    """Fluent's pictures with their names, of schema `HELD_OUT`; of two of one name the last."""
    by_name = {
        picture.name: picture
        for picture in _pictures(folder, "emoji_pairs.parquet", "fluent3d_webp", "fluent")
    }
    rows = [{"name": name, "picture": picture.encoded(quality=95)} for name, picture in by_name.items()]
    return pa.Table.from_pylist(rows, HELD_OUT)


def read_held_out(path: Path) -> pa.Table:
    """A file of held-out pictures. Raises UsageError where it is none."""
    try:
        return pq.read_table(path, columns=HELD_OUT.names).cast(HELD_OUT)
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise UsageError(f"{path} has no held-out pictures (columns name, picture): {error}") from error


def on_white(picture: bytes) -> Image.Image:
    """A picture as RGB, what is transparent on white."""
    image = Image.open(io.BytesIO(picture)).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return white.convert("RGB")


def _pictures(folder: Path, file: str, column: str, style: str) -> list[Picture]:
    found = []
    for row in _rows(folder, file, column):
        image = on_white(row[column])
        image.thumbnail((SIDE, SIDE))
        found.append(Picture(style, row["caption_en"], image))
    return found


def _rows(folder: Path, file: str, column: str) -> list[dict[str, Any]]:
    path = folder / file
    if not path.is_file():
        raise UsageError(
            f"there is no {path}: the study's pictures are no part of Pairlake; docs/training.md says what "
            "the files hold and where their pictures come from"
        )
    rows: list[dict[str, Any]] = pq.read_table(path, columns=["caption_en", column]).to_pylist()
    return [row for row in rows if row[column]]
