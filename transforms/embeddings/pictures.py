"""From the bytes of an encoded picture to RGB pixels, whatever the bytes are."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True)
class PictureRules:
    """What is decoded."""

    #: Pillow's decoders of other formats have the longer list of security faults
    formats: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "GIF")
    #: width × height; Pillow's own limit and LAION's (crawlingathome `dbdl.py`)
    max_pixels: int = 89_478_485


#: What Pillow raises for broken, truncated and outsized files, by its source and by fuzzing.
UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    OverflowError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def decode(data: bytes, rules: PictureRules = PictureRules()) -> Image.Image | None:
    """The first frame of an encoded picture as RGB, transparency on white; None where it cannot be read.

    The size is checked in the header, before any pixel is decoded. EXIF rotation is not applied: the lake's
    pictures are stored upright.
    """
    try:
        with Image.open(io.BytesIO(data), formats=rules.formats) as picture:
            if picture.width * picture.height > rules.max_pixels:
                return None
            picture.load()
            return _rgb(picture)
    except UNREADABLE:
        return None


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):
        # 16-bit grey: Pillow's own conversion saturates everything above 255 to white
        return picture.convert("I").point(lambda value: value / 257).convert("L").convert("RGB")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    return picture.convert("RGB")
