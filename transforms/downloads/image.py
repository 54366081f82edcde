"""A picture file from the web -> the picture that is stored, its original size and its perceptual hash.

Formats: JPEG, PNG and WEBP, as LAION-5B took them (`dbdl.py`), and GIF where told so; of an animation, the
first frame (WEBP, GIF) or the still default picture (APNG). Colours: alpha is laid on white, 16-bit grey
scaled to 8 bits, CMYK and palettes converted; ICC profiles are not applied (as img2dataset). Output is RGB
without metadata.

Resizing: a JPEG's decoder makes it a half, a quarter or an eighth, as small as is not below the wanted size.
What is then at least twice as large becomes the mean of the area (OpenCV's INTER_AREA, img2dataset's way),
what is less, bilinear: at twice the size both are the same. A picture to be enlarged is by Lanczos, as
img2dataset does. What this differs from a full decode: docs/benchmarks.md.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from transforms.downloads.container import essence, jpeg_frame, picture_format, webp_size
from transforms.downloads.rules import MAX_SCANS, MAX_SIDE, DownloadRules
from transforms.downloads.status import DownloadError, DownloadStatus

cv2.setNumThreads(1)  # the threads are ours: a worker has its own, and so do its neighbours

_Pixels = NDArray[np.uint8]
# Plugins are called by name and not through Image.open, which knows fifty formats and which warns or raises
# at Pillow's own, process-wide pixel limit before ours can be applied.
_PLUGINS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
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
# How stored pixels are turned to be seen the right way round (EXIF 2.3, tag 0x0112)
_TURNS: dict[int, Callable[[_Pixels], _Pixels]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: pixels.transpose(1, 0, 2)[:, ::-1],
    7: lambda pixels: pixels.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda pixels: pixels.transpose(1, 0, 2)[::-1],
}
_HALVINGS = (8, 4, 2)  # that a JPEG's decoder has fast ways for
_SIMPLE = ("YCbCr", "Gray", "RGB")  # colour spaces of JPEG that need no care
_HASH_SIDE = 8
_HASH_PIXELS = 32
_LOBES = 3  # of the Lanczos window
# What a picture's decoding may have to do, so that a loop can wait for it (ours: tens of milliseconds)
_QUICK_BYTES = 1 << 20
_QUICK_PIXELS = 1 << 22


@lru_cache(maxsize=1024)
def _hash_rows(pixels: int) -> NDArray[np.float32]:
    """Takes that many pixels to the 8 lowest frequencies of the hash, in one step.

    Lanczos to 32, as Pillow weighs it, then the first rows of the unnormalised 32-point DCT-II.
    """
    scale = pixels / _HASH_PIXELS
    width = max(scale, 1.0)
    middle = (np.arange(_HASH_PIXELS)[:, None] + 0.5) * scale
    away = (np.arange(pixels)[None, :] + 0.5 - middle) / width
    weights = np.where(abs(away) < _LOBES, np.sinc(away) * np.sinc(away / _LOBES), 0)
    weights /= weights.sum(axis=1, keepdims=True)
    k, n = np.arange(_HASH_SIDE)[:, None], np.arange(_HASH_PIXELS)[None, :]
    dct = 2 * np.cos(np.pi * k * (2 * n + 1) / (2 * _HASH_PIXELS))
    return np.asarray(dct @ weights, np.float32)


@dataclass(frozen=True)
class Picture:
    """`width`, `height`: the original's pixels, right way round; `data`: the resized picture, encoded."""

    width: int
    height: int
    phash: int
    data: bytes


def picture(data: bytes, rules: DownloadRules) -> Picture:
    """The picture in the file `data`, by `rules`.

    Raises DownloadError with status not_image, refused_format, too_many_pixels, too_narrow, too_long or
    bad_image.
    """
    name = picture_format(data)
    if name is None:
        raise DownloadError(DownloadStatus.NOT_IMAGE, "no picture by its first bytes")
    if name not in rules.formats:
        raise DownloadError(DownloadStatus.REFUSED_FORMAT, name)
    pixels, orientation = essence(data, name)
    decoded = _jpeg(pixels, rules) if name == "JPEG" else None
    small, (width, height) = decoded or _any(name, pixels, rules)
    if orientation in _TURNS:
        small = np.ascontiguousarray(_TURNS[orientation](small))
    if orientation >= 5:
        width, height = height, width
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    stored = _encoded(_framed(small, (width, height), rules), rules)
    return Picture(width, height, phash(np.asarray(grey, np.uint8)), stored)


def phash(grey: _Pixels) -> int:
    """The 64-bit perceptual hash of a grey picture, as a signed integer, first bit highest.

    As in the ImageHash package (`phash`, hash size 8, factor 4): 32 × 32 by Lanczos, two-dimensional DCT-II,
    the 8 × 8 lowest frequencies, each bit whether a coefficient is above their median. ImageHash rounds the
    32 × 32 to whole greys, so that a bit or two beside the median may differ.
    """
    height, width = grey.shape
    low = _hash_rows(height) @ (grey.astype(np.float32) @ _hash_rows(width).T)
    # Rounded, so that the zeros of an even picture are zeros and not noise of the last bit.
    low = np.rint(low)
    ordered, half = np.sort(low, axis=None), low.size // 2  # np.median costs a fifth of the hash
    bits = np.packbits(low > (ordered[half - 1] + ordered[half]) / 2)
    return int.from_bytes(bits.tobytes(), "big", signed=True)


def is_quick(data: bytes) -> bool:
    """Whether `picture` takes tens of milliseconds at most: a plain JPEG, of few bytes and pixels.

    Its bytes bound its scans; a progressive one may have hundreds that take none.
    """
    frame = jpeg_frame(data) if len(data) <= _QUICK_BYTES else None
    return frame is not None and frame.is_plain and frame.width * frame.height <= _QUICK_PIXELS


def scaled_size(width: int, height: int, rules: DownloadRules) -> tuple[int, int]:
    """Pixels of a picture after scaling by `rules`, before any crop or border."""
    if rules.resize_mode == "no":
        return width, height
    longest = rules.resize_mode in ("border", "keep_ratio_largest")
    side = max(width, height) if longest else min(width, height)
    if side == rules.size or (side < rules.size and rules.only_if_bigger):
        return width, height
    factor = rules.size / side
    return max(1, round(width * factor)), max(1, round(height * factor))


def _check(size: tuple[int, int], rules: DownloadRules) -> None:
    width, height = size
    told = f"{width} x {height}"
    if width < 1 or height < 1:
        raise DownloadError(DownloadStatus.BAD_IMAGE, "a side of no pixels")
    if width * height > rules.max_pixels:
        raise DownloadError(DownloadStatus.TOO_MANY_PIXELS, told)
    if min(size) < rules.min_side:
        raise DownloadError(DownloadStatus.TOO_NARROW, told)
    if rules.max_aspect_ratio and max(size) > rules.max_aspect_ratio * min(size):
        raise DownloadError(DownloadStatus.TOO_LONG, told)


def _jpeg(data: bytes, rules: DownloadRules) -> tuple[_Pixels, tuple[int, int]] | None:
    """RGB at the final scale and the original's size, of a JPEG without fault or oddity; else None."""
    frame = jpeg_frame(data)
    if (frame is None or not frame.is_plain) and _scans(data) > MAX_SCANS:
        raise DownloadError(DownloadStatus.BAD_IMAGE, f"JPEG, more than {MAX_SCANS} scans")
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours not in _SIMPLE:
            return None
        _check((width, height), rules)
        size = scaled_size(width, height, rules)
        room = min(width / size[0], height / size[1])
        by = next((halving for halving in _HALVINGS if halving <= room), 1)
        least = {"min_height": -(-height // by), "min_width": -(-width // by), "min_factor": by}
        # What is made smaller afterwards needs no smooth upsampling of its colours.
        pixels = simplejpeg.decode_jpeg(data, "RGB", fastupsample=room > 1, strict=True, **least)
    except ValueError:  # Pillow shall say what is wrong, or that nothing is
        return None
    return _resized(pixels, size), (width, height)


def _scans(data: bytes) -> int:
    """Most scans that a JPEG can have, by its markers. bytes.count takes nine times as long for a pair."""
    each = np.frombuffer(data, np.uint8)
    return int(np.count_nonzero((each[:-1] == 0xFF) & (each[1:] == 0xDA)))


def _any(name: str, data: bytes, rules: DownloadRules) -> tuple[_Pixels, tuple[int, int]]:
    """RGB at the final scale and the original's size, of any file. Raises DownloadError."""
    if name == "WEBP" and (size := webp_size(data)):
        _check(size, rules)
    try:
        with _PLUGINS[name](io.BytesIO(data)) as image:
            _check(image.size, rules)
            size = image.size
            scaled = scaled_size(*size, rules)
            image.draft(None, scaled)
            pixels = np.asarray(_flat(image))
    except _DAMAGE as error:
        what = "cut short" if "truncated" in str(error).lower() else "damaged"
        raise DownloadError(DownloadStatus.BAD_IMAGE, f"{name}, {what}") from error
    return _resized(pixels, scaled), size


def _resized(pixels: _Pixels, size: tuple[int, int]) -> _Pixels:
    """`pixels` (height, width, 3) at `size` (width, height)."""
    height, width, _ = pixels.shape
    if (width, height) == size:
        return pixels
    if size[0] > width or size[1] > height:
        way = cv2.INTER_LANCZOS4
    else:
        way = cv2.INTER_AREA if max(width / size[0], height / size[1]) >= 2 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=way), np.uint8)


def _flat(image: Image.Image) -> Image.Image:
    """`image` in mode RGB, fully decoded, alpha on white."""
    image.load()
    if image.mode.startswith("I"):
        # Pillow's own conversion saturates: every grey above 255 of 65,535 would become white.
        grey = np.asarray(image).astype(np.uint32)
        scaled = ((np.minimum(grey, 65_535) * 255 + 32_767) // 65_535).astype(np.uint8)
        return Image.fromarray(scaled).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _framed(pixels: _Pixels, original: tuple[int, int], rules: DownloadRules) -> _Pixels:
    """`pixels` cut or padded to a square, where the mode says so and the picture was resized or fits."""
    side, (height, width, _) = rules.size, pixels.shape
    if rules.resize_mode == "center_crop" and (min(original) > side or not rules.only_if_bigger):
        top, left = (height - side) // 2, (width - side) // 2
        return pixels[top : top + side, left : left + side]
    if rules.resize_mode == "border" and (max(original) > side or not rules.only_if_bigger):
        square = np.full((side, side, 3), 255, np.uint8)
        top, left = (side - height) // 2, (side - width) // 2
        square[top : top + height, left : left + width] = pixels
        return square
    return pixels


def _encoded(pixels: _Pixels, rules: DownloadRules) -> bytes:
    height, width, _ = pixels.shape
    if max(width, height) > MAX_SIDE[rules.format]:
        size = f"{width} x {height}"
        raise DownloadError(DownloadStatus.BAD_IMAGE, f"{size} is too long for {rules.format}")
    if rules.format == "JPEG":
        return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), rules.quality, "RGB", "420"))
    file = io.BytesIO()
    options = {} if rules.format == "PNG" else {"quality": rules.quality}
    Image.fromarray(pixels).save(file, rules.format, **options)
    return file.getvalue()
