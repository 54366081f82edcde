"""Which pictures the event loop decodes itself: those that cannot keep it long."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from transforms.downloads.image import is_quick


def encoded(width: int, height: int, form: str = "JPEG", **more: bool) -> bytes:
    slope = np.linspace(0, 255, width * height, dtype=np.uint8).reshape(height, width)
    file = io.BytesIO()
    Image.fromarray(slope).save(file, form, **more)
    return file.getvalue()


def test_a_usual_picture() -> None:
    assert is_quick(encoded(1200, 1000))


@pytest.mark.parametrize(("width", "quick"), [(2000, True), (2100, False)])
def test_a_large_one_by_its_pixels(width: int, quick: bool) -> None:
    assert is_quick(encoded(width, 2000)) == quick


def test_a_progressive_one() -> None:
    assert not is_quick(encoded(64, 64, progressive=True))


def test_one_of_many_bytes() -> None:
    assert not is_quick(encoded(64, 64) + bytes(1 << 20))


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_another_format(form: str) -> None:
    assert not is_quick(encoded(64, 64, form))
