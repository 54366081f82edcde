"""Pictures of every kind become RGB or nothing, and never an exception."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from checkpoint_folder import PHOTOS
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from transforms.embeddings.pictures import PictureRules, decode

GRADIENT = Image.linear_gradient("L").resize((40, 30))


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


SEEDS = [
    encoded(GRADIENT.convert("RGB"), "JPEG"),
    encoded(GRADIENT.convert("CMYK"), "JPEG"),
    encoded(GRADIENT.convert("RGBA"), "PNG"),
    encoded(GRADIENT.convert("P"), "PNG", transparency=3),
    encoded(GRADIENT.convert("I;16"), "PNG"),
    encoded(GRADIENT.convert("RGB"), "WEBP"),
    encoded(GRADIENT.convert("P"), "GIF", save_all=True, append_images=[GRADIENT.convert("P")]),
]


@pytest.mark.parametrize("data", [*SEEDS, *PHOTOS])
def test_every_kind_becomes_rgb(data: bytes) -> None:
    picture = decode(data)
    assert picture is not None
    assert picture.mode == "RGB"
    assert picture.size == Image.open(io.BytesIO(data)).size


def test_transparency_is_white() -> None:
    red = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    red.putpixel((1, 0), (0, 255, 0, 0))
    picture = decode(encoded(red, "PNG"))
    assert picture is not None
    assert [picture.getpixel((x, 0)) for x in (0, 1)] == [(255, 0, 0), (255, 255, 255)]


def test_sixteen_bit_grey_keeps_its_tones() -> None:
    grey = np.array([[0, 257, 32896, 40000, 65535]], np.uint16)
    picture = decode(encoded(Image.fromarray(grey), "PNG"))
    assert picture is not None
    np.testing.assert_allclose(np.asarray(picture)[0, :, 0], [0, 1, 128, 155.6, 255], atol=1)


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "PPM", "ICO", "PDF"])
def test_other_formats_are_refused(kind: str) -> None:
    assert decode(encoded(GRADIENT.convert("RGB"), kind)) is None


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and ends: no pixel is there to be decoded."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk


@pytest.mark.parametrize("size", [(10_000, 10_000), (100_000, 100_000), (2**31 - 1, 2**31 - 1)])
def test_outsized_pictures_are_refused_by_their_header(size: tuple[int, int]) -> None:
    assert decode(png_header(*size)) is None


def test_the_limit_is_that_of_the_rules() -> None:
    assert decode(PHOTOS[0], PictureRules(max_pixels=224 * 224)) is not None
    assert decode(PHOTOS[0], PictureRules(max_pixels=224 * 224 - 1)) is None


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning", "ignore:Truncated File Read:UserWarning")
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=8),
    st.data(),
)
@settings(max_examples=300, deadline=None)
def test_damaged_pictures_never_raise(
    seed: bytes, damage: list[tuple[int, int]], data: st.DataObject
) -> None:
    broken = bytearray(seed)
    for place, value in damage:
        broken[place % len(broken)] = value
    cut = data.draw(st.integers(0, len(broken)))
    for candidate in (bytes(broken), bytes(broken[:cut])):
        picture = decode(candidate, PictureRules(max_pixels=10_000_000))
        assert picture is None or picture.mode == "RGB"
