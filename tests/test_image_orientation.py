"""EXIF orientation is applied, and width and height are those of the picture as one sees it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from downloads_fixtures import decoded, encoded
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from transforms.downloads import DownloadRules
from transforms.downloads.container import exif_orientation
from transforms.downloads.image import picture

# Where row 0 and column 0 of the stored pixels are in the picture as seen (EXIF 2.3, table of tag 0x0112),
# in numpy's terms.
AS_SEEN = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


def corners() -> np.ndarray:
    """60 × 40 pixels, a colour of its own in each quarter."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:20, :30], pixels[:20, 30:] = (250, 10, 10), (10, 250, 10)
    pixels[20:, :30], pixels[20:, 30:] = (10, 10, 250), (250, 250, 10)
    return pixels


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", AS_SEEN)
def test_orientation(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = (
        {"quality": 100, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    )
    data = encoded(Image.fromarray(corners()), kind, exif=exif.tobytes(), **options)
    found = picture(data, DownloadRules())
    expected = AS_SEEN[orientation](corners())
    assert (found.height, found.width) == expected.shape[:2]
    out = np.asarray(decoded(found.data)).astype(int)
    assert out.shape == expected.shape
    assert np.abs(out - expected).mean() < 12  # JPEG bleeds at the edges of the quarters
    h, w = expected.shape[:2]
    for y, x in ((h // 4, w // 4), (h // 4, -w // 4), (-h // 4, w // 4), (-h // 4, -w // 4)):
        assert np.abs(out[y, x] - expected[y, x]).max() < 12
    seen = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")).astype(int)
    assert np.abs(out - seen).mean() < 12


def test_resized_and_turned() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    tall = picture(encoded(Image.new("RGB", (1000, 500)), exif=exif.tobytes()), DownloadRules(size=100))
    assert (tall.width, tall.height) == (500, 1000)
    assert decoded(tall.data).size == (100, 200)


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_an_orientation_that_does_not_exist_is_none(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert exif_orientation(exif.tobytes()) == 1


def test_broken_exif_does_not_cost_the_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = encoded(Image.fromarray(corners()), exif=exif.tobytes())
    for cut in (
        b"Exif\0\0",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0garbage",
    ):
        broken = whole[:2] + b"\xff\xe1" + (len(cut) + 2).to_bytes(2, "big") + cut + whole[2:]
        found = picture(broken, DownloadRules())
        assert {found.width, found.height} == {40, 60}


@given(st.binary(max_size=200), st.sampled_from([b"", b"II*\0", b"MM\0*", b"Exif\0\0II*\0\x08\0\0\0\x01\0"]))
def test_any_bytes_as_exif(rest: bytes, start: bytes) -> None:
    assert 1 <= exif_orientation(start + rest) <= 8
