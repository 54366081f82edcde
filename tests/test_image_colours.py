"""Colours come out as a browser shows them: alpha on white, CMYK, 16 bits, palettes, first frames."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from downloads_fixtures import decoded, encoded, photo
from PIL import Image, ImageCms, PngImagePlugin

from transforms.downloads import DownloadRules
from transforms.downloads.image import picture

RULES = DownloadRules(quality=100)
SIZE = (64, 48)


def pixel(data: bytes, at: tuple[int, int] = (32, 24), rules: DownloadRules = RULES) -> tuple[int, ...]:
    out = decoded(picture(data, rules).data)
    assert out.mode == "RGB"
    return out.getpixel(at)  # type: ignore[return-value]


def near(found: tuple[int, ...], expected: tuple[int, int, int]) -> bool:
    return all(abs(a - b) <= 3 for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_the_colour_behind_full_transparency_stays_hidden(kind: str) -> None:
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    assert near(pixel(encoded(Image.new("RGBA", SIZE, (255, 0, 0, 0)), kind, **options)), (255, 255, 255))


def test_half_transparency_is_laid_on_white() -> None:
    # 0.5 of (200, 0, 100) and 0.5 of white
    assert near(pixel(encoded(Image.new("RGBA", SIZE, (200, 0, 100, 128)), "PNG")), (227, 127, 177))


def test_grey_with_alpha() -> None:
    assert near(pixel(encoded(Image.new("LA", SIZE, (0, 64)), "PNG")), (191, 191, 191))


def test_palette_with_and_without_transparency() -> None:
    image = Image.new("P", SIZE, 1)
    image.putpalette([0, 0, 0, 10, 200, 30, 0, 0, 255])
    assert near(pixel(encoded(image, "PNG")), (10, 200, 30))
    assert near(pixel(encoded(image, "PNG", transparency=1)), (255, 255, 255))
    assert near(pixel(encoded(image, "PNG", transparency=bytes([255, 128, 255]))), (132, 227, 142))


def test_one_transparent_colour_without_alpha() -> None:
    assert near(
        pixel(encoded(Image.new("RGB", SIZE, (1, 2, 3)), "PNG", transparency=(1, 2, 3))), (255, 255, 255)
    )


def test_one_bit() -> None:
    assert near(pixel(encoded(Image.new("1", SIZE, 1), "PNG")), (255, 255, 255))


def test_grey_jpeg_becomes_rgb() -> None:
    assert near(pixel(encoded(Image.new("L", SIZE, 90))), (90, 90, 90))


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file by hand (PNG specification), so that nothing depends on what Pillow can write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in body)


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (255, 1), (40_000, 156), (65_535, 255)])
def test_16_bit_grey_is_scaled_and_not_cut(value: int, expected: int) -> None:
    row = b"\0" + struct.pack(">H", value) * 64
    assert near(pixel(png(64, 48, 16, 0, row * 48)), (expected, expected, expected))


def test_16_bit_colour() -> None:
    row = b"\0" + struct.pack(">HHH", 40_000, 0, 65_535) * 64
    assert near(pixel(png(64, 48, 16, 2, row * 48)), (156, 0, 255))


def test_cmyk_jpeg() -> None:
    """Pillow writes CMYK as Adobe does, inverted and marked in APP14, which must therefore not be lost."""
    ink = Image.new("CMYK", SIZE, (255, 0, 0, 0))  # full cyan, nothing else
    assert near(pixel(encoded(ink, quality=100)), (0, 255, 255))
    black = Image.new("CMYK", SIZE, (0, 0, 0, 255))
    assert near(pixel(encoded(black, quality=100)), (0, 0, 0))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_first_frame_of_an_animation(kind: str) -> None:
    frames = [Image.new("RGB", SIZE, colour) for colour in ("red", "lime", "blue")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, lossless=True)
    assert getattr(Image.open(io.BytesIO(data)), "n_frames", 1) == 3
    assert near(pixel(data), (255, 0, 0))


def test_first_frame_of_a_gif_and_its_transparency() -> None:
    rules = DownloadRules(quality=100, formats=("GIF",))
    frames = [Image.new("RGB", SIZE, colour) for colour in ("red", "lime")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)
    assert near(pixel(data, rules=rules), (255, 0, 0))
    image = Image.new("P", SIZE, 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    assert near(pixel(encoded(image, "GIF", transparency=1), rules=rules), (255, 255, 255))


def test_jpegs_that_store_red_green_and_blue() -> None:
    data = encoded(Image.new("RGB", SIZE, (200, 30, 90)), quality=100, keep_rgb=True)
    assert near(pixel(data), (200, 30, 90))


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_colours_of_jpegs_that_are_made_smaller(subsampling: int) -> None:
    data = encoded(Image.new("RGB", (900, 700), (200, 30, 90)), quality=100, subsampling=subsampling)
    assert near(pixel(data), (200, 30, 90))


def test_a_cmyk_jpeg_that_is_made_smaller() -> None:
    ink = Image.new("CMYK", (900, 700), (255, 0, 0, 0))
    assert near(pixel(encoded(ink, quality=100)), (0, 255, 255))


def test_metadata_is_stripped_and_damaged_metadata_harms_nothing() -> None:
    exif = Image.Exif()
    exif[0x010E] = "secret"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded(photo(), exif=exif.tobytes(), icc_profile=profile, comment=b"secret", dpi=(300, 300))
    for rules in (RULES, DownloadRules(format="WEBP")):
        out = picture(data, rules).data
        assert b"secret" not in out
        assert not {"exif", "icc_profile", "comment", "xmp"} & decoded(out).info.keys()


def test_text_bomb_in_a_png_is_not_inflated() -> None:
    bomb = b"Comment\0\0" + zlib.compress(bytes(50_000_000))
    rows = (b"\0" + bytes([7, 8, 9]) * 64) * 48
    assert near(pixel(png(64, 48, 8, 2, rows, (b"zTXt", bomb))), (7, 8, 9))
    assert PngImagePlugin.MAX_TEXT_CHUNK < 50_000_000  # Pillow alone would have refused the picture


def test_broken_animation_control_in_a_png() -> None:
    rows = (b"\0" + bytes([7, 8, 9]) * 64) * 48
    assert near(pixel(png(64, 48, 8, 2, rows, (b"acTL", bytes(8)))), (7, 8, 9))


def test_jpeg_with_a_second_picture_behind_it() -> None:
    first, second = photo(seed=1), photo(seed=2)
    data = encoded(first, "MPO", save_all=True, append_images=[second])
    found = picture(data, RULES)
    expected = picture(encoded(first), RULES)
    assert abs(np.asarray(decoded(found.data)).astype(int) - np.asarray(decoded(expected.data))).mean() < 3
