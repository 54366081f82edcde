"""Makes what the demo web carries: `python -m lakehouse.demo.gather --pairs FILE --to lakehouse/demo/web`.

From a table of emoji with their Fluent 3D drawings and CLDR names it takes 400, in the formats of a real
web: most JPEG, some WEBP with transparency, some PNG. Which ones is decided by a hash of the code points,
never by how well a model does on them.
"""

from __future__ import annotations

import argparse
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from lakehouse.demo.pictures import PICTURES
from lakehouse.demo.sentences import SENTENCES


@dataclass(frozen=True)
class Choice:
    """Which emoji are carried, and how."""

    count: int = 400
    side: int = 256  # pixels, the size of the source
    least: int = 5_500  # bytes: above LAION's 5,000 (crawlingathome, dbdl.py)
    small: int = 40  # pixels of the icons that fall under LAION's limit
    smalls: int = 10
    turned: int = 2  # JPEGs that lie on their side, with EXIF saying so
    categories: tuple[str, ...] = (
        "Animals & Nature",
        "Food & Drink",
        "Objects",
        "Travel & Places",
        "Activities",
        "Smileys & Emotion",
    )
    without: tuple[str, ...] = ("time", "heart")  # dials and hearts that differ in one detail alone


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=Path, required=True, help="parquet with pictures and names")
    parser.add_argument("--to", type=Path, required=True, help="folder to write")
    asked = parser.parse_args()
    asked.to.mkdir(parents=True, exist_ok=True)
    rows = pq.read_table(asked.pairs).to_pylist()
    table = pa.Table.from_pylist(gather(rows, Choice()), schema=PICTURES)
    pq.write_table(table, asked.to / "pictures.parquet", compression="zstd")
    print(f"{len(table)} pictures, {sum(map(len, table['picture'].to_pylist())):,} bytes")


def gather(rows: list[dict[str, Any]], choice: Choice) -> list[dict[str, Any]]:
    """The carried pictures: `choice.count` plain ones, then the small and the turned ones of some of them."""
    fit = [
        row
        for row in rows
        if row["fluent3d_webp"]
        and row["category"] in choice.categories
        and row["subcategory"] not in choice.without
    ]
    taken = sorted(fit, key=lambda row: _digest(row["codepoints"]))[: choice.count]
    plain = [_row(row, "plain", *_plain(row, choice)) for row in taken]
    small = [_row(row, "small", *_small(row, choice)) for row in taken[: choice.smalls]]
    turned = [_row(row, "turned", *_turned(row)) for row in taken[-choice.turned :]]
    return plain + small + turned


def _digest(codepoints: str) -> bytes:
    return hashlib.sha256(codepoints.encode()).digest()


def _row(row: dict[str, Any], form: str, picture: bytes, media_type: str) -> dict[str, Any]:
    names = dict(row["captions"])
    return {
        "name": row["short_name"].replace("_", "-"),
        "form": form,
        "category": row["category"],
        "media_type": media_type,
        "picture": picture,
        "names": [(code, names[code]) for code in SENTENCES],
    }


def _plain(row: dict[str, Any], choice: Choice) -> tuple[bytes, str]:
    """Full size, in the format that the hash says, in the first quality that is large enough."""
    image = _open(row)
    kind = _digest(row["codepoints"])[-1] % 10
    media_type = "image/webp" if kind == 9 else "image/png" if kind == 8 else "image/jpeg"
    for quality in (85, 92, 97, 100):
        picture = _encoded(image, media_type, quality, kind)
        if len(picture) >= choice.least:
            break
    return picture, media_type


def _small(row: dict[str, Any], choice: Choice) -> tuple[bytes, str]:
    image = _open(row).resize((choice.small, choice.small), Image.Resampling.LANCZOS)
    return _encoded(image, "image/jpeg", 85, 0), "image/jpeg"


def _turned(row: dict[str, Any]) -> tuple[bytes, str]:
    """Stored a quarter turn to the left; EXIF orientation 6 says: turn it right to see it."""
    image = _on_ground(_open(row), 0).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    return _bytes(image, "JPEG", quality=95, exif=exif), "image/jpeg"


def _open(row: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(row["fluent3d_webp"])).convert("RGBA")


def _encoded(image: Image.Image, media_type: str, quality: int, kind: int) -> bytes:
    if media_type == "image/webp":
        return _bytes(image, "WEBP", quality=quality, method=6)
    if media_type == "image/png":
        return _bytes(_on_ground(image, 0).quantize(32 if quality < 90 else 128), "PNG", optimize=True)
    return _bytes(_on_ground(image, kind), "JPEG", quality=quality)


def _on_ground(image: Image.Image, kind: int) -> Image.Image:
    """On white, or for some kinds on a pale colour as shops have it."""
    pale = {1: (250, 240, 225), 2: (225, 238, 250), 3: (232, 246, 232)}.get(kind, (255, 255, 255))
    ground = Image.new("RGBA", image.size, (*pale, 255))
    ground.alpha_composite(image)
    return ground.convert("RGB")


def _bytes(image: Image.Image, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


if __name__ == "__main__":
    main()
