"""The perceptual hash: ImageHash's, steady under recompression and size, different for different pictures."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from downloads_fixtures import encoded, photo
from PIL import Image

from transforms.downloads import DownloadRules
from transforms.downloads.image import phash, picture

PHOTOS = sorted((Path(__file__).parent / "data" / "heads").glob("*.jpg"))
UNSIGNED = (1 << 64) - 1


def distance(a: int, b: int) -> int:
    return ((a ^ b) & UNSIGNED).bit_count()


def hashed(image: Image.Image, kind: str = "JPEG", **options: object) -> int:
    return picture(encoded(image, kind, **options), DownloadRules()).phash


def test_equals_imagehash_as_its_source_defines_it() -> None:
    """But for bits whose coefficient is beside the median: ImageHash rounds its 32 x 32 to whole greys."""
    fft = pytest.importorskip("scipy.fftpack")
    apart = []
    for path in PHOTOS:
        with Image.open(path) as image:
            grey = image.convert("L")
        pixels = np.asarray(grey.resize((32, 32), Image.Resampling.LANCZOS))
        low = fft.dct(fft.dct(pixels, axis=0), axis=1)[:8, :8]
        expected = "".join("1" if bit else "0" for bit in (low > np.median(low)).ravel())
        apart.append(distance(phash(np.asarray(grey)), int(expected, 2)))
    assert max(apart) <= 2
    assert apart.count(0) >= 0.8 * len(apart)


def test_is_a_signed_64_bit_integer_first_bit_highest() -> None:
    assert hashed(Image.new("L", (300, 200), 0)) == 0
    assert hashed(Image.new("L", (300, 200), 255)) == -(1 << 63)  # only the mean is above the median
    assert all(-(1 << 63) <= hashed(photo(seed=seed)) < 1 << 63 for seed in range(20))


@pytest.mark.parametrize("path", PHOTOS, ids=lambda path: path.stem)
def test_steady_under_recompression_and_size(path: Path) -> None:
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    original = hashed(image, "PNG")
    for quality in (30, 60, 90):
        assert distance(original, hashed(image, quality=quality)) <= 8
    for factor in (0.6, 2.5):
        size = (round(image.width * factor), round(image.height * factor))
        assert distance(original, hashed(image.resize(size, Image.Resampling.BICUBIC))) <= 8
    assert distance(original, hashed(image, "WEBP")) <= 8


def test_different_pictures_differ() -> None:
    hashes = [hashed(Image.open(path)) for path in PHOTOS]
    assert min(distance(a, b) for a, b in itertools.combinations(hashes, 2)) > 14


def test_the_crop_does_not_change_it() -> None:
    data = encoded(photo(900, 500))
    plain = picture(data, DownloadRules()).phash
    assert picture(data, DownloadRules(resize_mode="center_crop")).phash == plain


def test_an_even_picture_has_the_same_hash_in_any_shade() -> None:
    assert len({hashed(Image.new("L", (300, 200), shade)) for shade in (30, 90, 200)}) == 1
