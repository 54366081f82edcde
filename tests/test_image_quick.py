"""Which pictures the event loop decodes itself: those that cannot keep it long."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from transforms.downloads.image import is_quick

SCAN = b"\xff\xda"


def encoded(width: int, height: int, form: str = "JPEG", **more: bool) -> bytes:
    slope = np.linspace(0, 255, width * height, dtype=np.uint8).reshape(height, width)
    file = io.BytesIO()
    Image.fromarray(slope).save(file, form, **more)
    return file.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
def test_a_usual_picture(progressive: bool) -> None:
    assert is_quick(encoded(1200, 1000, progressive=progressive))


@pytest.mark.parametrize(
    ("width", "progressive", "quick"), [(2000, False, True), (2100, False, False), (1900, True, False)]
)
def test_a_large_one_by_its_pixels_and_scans(width: int, progressive: bool, quick: bool) -> None:
    """Pillow writes a grey picture in six scans."""
    data = encoded(width, 2000, progressive=progressive)
    assert data.count(SCAN) == (6 if progressive else 1)
    assert is_quick(data) == quick


def test_one_of_hundreds_of_scans_that_take_no_bytes() -> None:
    assert not is_quick(encoded(1200, 1000, progressive=True) + SCAN * 200)


def test_one_of_many_bytes() -> None:
    assert not is_quick(encoded(64, 64) + bytes(1 << 20))


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_another_format(form: str) -> None:
    assert not is_quick(encoded(64, 64, form))
