"""A picture file from the web -> the picture that is stored, its original size and its perceptual hash.

Formats: JPEG, PNG and WEBP only, as LAION-5B took them (`dbdl.py`); of an animation, the first frame (WEBP)
or the still default picture (APNG). Colours: alpha is laid on white, 16-bit grey scaled to 8 bits, CMYK and
palettes converted; ICC profiles are not applied (as img2dataset). Output is RGB without metadata.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from transforms.downloads.container import essence, picture_format, webp_size
from transforms.downloads.rules import IMAGE_FORMATS, MAX_SIDE, REDUCING_GAP, DownloadRules
from transforms.downloads.status import DownloadError, DownloadStatus

# Plugins are called by name and not through Image.open, which knows fifty formats and which warns or raises
# at Pillow's own, process-wide pixel limit before ours can be applied.
_PLUGINS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
}
# What Pillow raises on damaged files; anything else is a defect of ours and must be seen.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    TypeError,
    OverflowError,
    AssertionError,  # of what a file may well break, such as that a palette picture has a palette
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_HASH_SIDE = 8
_HASH_PIXELS = 32


def _dct_rows() -> NDArray[np.float64]:
    """The first 8 rows of the unnormalised 32-point DCT-II."""
    k, n = np.arange(_HASH_SIDE)[:, None], np.arange(_HASH_PIXELS)[None, :]
    return np.asarray(2 * np.cos(np.pi * k * (2 * n + 1) / (2 * _HASH_PIXELS)))


_DCT = _dct_rows()


@dataclass(frozen=True)
class Picture:
    """`width`, `height`: the original's pixels, right way round; `data`: the resized picture, encoded."""

    width: int
    height: int
    phash: int
    data: bytes


def picture(data: bytes, rules: DownloadRules) -> Picture:
    """The picture in the file `data`, by `rules`.

    Raises DownloadError with status not_image, refused_format, too_many_pixels or bad_image.
    """
    name = picture_format(data)
    if name is None:
        raise DownloadError(DownloadStatus.NOT_IMAGE, "no picture by its first bytes")
    if name not in IMAGE_FORMATS:
        raise DownloadError(DownloadStatus.REFUSED_FORMAT, name)
    if name == "WEBP" and (size := webp_size(data)):
        _check_pixels(size, rules)
    pixels, orientation = essence(data, name)
    try:
        with _PLUGINS[name](io.BytesIO(pixels)) as image:
            _check_pixels(image.size, rules)
            width, height = image.size
            small = _scaled(image, rules)
    except _DAMAGE as error:
        what = "cut short" if "truncated" in str(error).lower() else "damaged"
        raise DownloadError(DownloadStatus.BAD_IMAGE, f"{name}, {what}") from error
    if orientation in _TURNS:
        small = small.transpose(_TURNS[orientation])
    if orientation >= 5:
        width, height = height, width
    return Picture(width, height, phash(small), _encoded(_framed(small, (width, height), rules), rules))


def phash(image: Image.Image) -> int:
    """The 64-bit perceptual hash of a picture, as a signed integer, first bit highest.

    As in the ImageHash package (`phash`, hash size 8, factor 4): grey, 32 × 32 by Lanczos, two-dimensional
    DCT-II, the 8 × 8 lowest frequencies, each bit whether a coefficient is above their median.
    """
    grey = image.convert("L").resize((_HASH_PIXELS, _HASH_PIXELS), Image.Resampling.LANCZOS)
    # Rounded, so that the zeros of an even picture are zeros and not noise of the last bit.
    low = np.round(_DCT @ np.asarray(grey, dtype=np.float64) @ _DCT.T, 6)
    bits = np.packbits(low.ravel() > np.median(low))
    return int.from_bytes(bits.tobytes(), "big", signed=True)


def scaled_size(width: int, height: int, rules: DownloadRules) -> tuple[int, int]:
    """Pixels of a picture after scaling by `rules`, before any crop or border; never more than before."""
    if rules.resize_mode == "no":
        return width, height
    longest = rules.resize_mode in ("border", "keep_ratio_largest")
    side = max(width, height) if longest else min(width, height)
    if side <= rules.size:
        return width, height
    factor = rules.size / side
    return max(1, round(width * factor)), max(1, round(height * factor))


def _check_pixels(size: tuple[int, int], rules: DownloadRules) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise DownloadError(DownloadStatus.BAD_IMAGE, "a side of no pixels")
    if width * height > rules.max_pixels:
        raise DownloadError(DownloadStatus.TOO_MANY_PIXELS, f"{width} x {height}")


def _scaled(image: Image.Image, rules: DownloadRules) -> Image.Image:
    """`image` in RGB or grey at its final scale. JPEGs are decoded straight to a half, quarter or eighth."""
    size = scaled_size(*image.size, rules)
    image.draft(None, (round(size[0] * REDUCING_GAP), round(size[1] * REDUCING_GAP)))
    flat = _flat(image)
    if flat.size == size:
        return flat
    return flat.resize(size, Image.Resampling.BICUBIC, reducing_gap=REDUCING_GAP)


def _flat(image: Image.Image) -> Image.Image:
    """`image` in mode RGB or L, fully decoded, alpha on white."""
    image.load()
    if image.mode.startswith("I"):
        # Pillow's own conversion saturates: every grey above 255 of 65,535 would become white.
        grey = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((np.minimum(grey, 65_535) * 255 + 32_767) // 65_535).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image if image.mode in ("RGB", "L") else image.convert("RGB")


def _framed(image: Image.Image, original: tuple[int, int], rules: DownloadRules) -> Image.Image:
    """`image` cut or padded to a square, where the mode says so and the original was bigger."""
    if rules.resize_mode == "center_crop" and min(original) > rules.size:
        left, top = (image.width - rules.size) // 2, (image.height - rules.size) // 2
        return image.crop((left, top, left + rules.size, top + rules.size))
    if rules.resize_mode == "border" and max(original) > rules.size:
        square = Image.new("RGB", (rules.size, rules.size), "white")
        square.paste(image, ((rules.size - image.width) // 2, (rules.size - image.height) // 2))
        return square
    return image


def _encoded(image: Image.Image, rules: DownloadRules) -> bytes:
    if max(image.size) > MAX_SIDE[rules.format]:
        size = f"{image.width} x {image.height}"
        raise DownloadError(DownloadStatus.BAD_IMAGE, f"{size} is too long for {rules.format}")
    image = image.convert("RGB")
    image.info.clear()  # Pillow would write comments and the like again
    file = io.BytesIO()
    image.save(file, rules.format, quality=rules.quality)
    return file.getvalue()
