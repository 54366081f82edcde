"""What the demo carries: whole, licensed, and small enough for a wheel."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from PIL import Image

import lakehouse.demo.pictures
from lakehouse.demo.pictures import carried

DEMO = Path(lakehouse.demo.pictures.__file__).parent


def test_licences_lie_beside_what_they_cover() -> None:
    web, model = DEMO / "web", DEMO / "model"
    assert "Copyright (c) Microsoft Corporation" in (web / "LICENSE.fluent-emoji").read_text()
    assert "UNICODE LICENSE V3" in (web / "LICENSE.cldr").read_text()
    assert "Cal Henderson" in (web / "LICENSE.emoji-datasource").read_text()
    readme = (model / "README.md").read_text()
    assert "Apache-2.0" in readme
    assert "CC-BY-4.0" in readme
    assert "Unicode-3.0" in readme


def test_the_folders_are_small() -> None:
    def size(folder: str) -> int:
        return sum(path.stat().st_size for path in (DEMO / folder).iterdir())

    assert size("web") < 6_000_000
    assert size("model") < 12_500_000


def test_four_hundred_different_pictures_decode() -> None:
    pictures = carried()
    assert len(pictures) == 400
    assert len({picture.file_name for picture in pictures}) == 400
    assert len({hashlib.sha256(picture.data).digest() for picture in pictures}) == 400
    for picture in [*pictures, *carried("small"), *carried("turned")]:
        image = Image.open(io.BytesIO(picture.data))
        image.load()
        assert Image.MIME[image.format or ""] == picture.media_type
