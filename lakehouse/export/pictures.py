"""Stored pictures: their kind and size, without decoding them."""

from __future__ import annotations

import io

from PIL import Image

from transforms.downloads import container

#: file extensions that img2dataset uses, by Pillow's name of a format
EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}


def described(image: bytes) -> tuple[str, int, int]:
    """Extension, width and height of a picture that the lake has stored itself."""
    frame = container.jpeg_frame(image) if container.picture_format(image) == "JPEG" else None
    if frame is not None:  # Pillow makes all of its tables first, which takes 50 µs
        return EXTENSIONS["JPEG"], frame.width, frame.height
    with Image.open(io.BytesIO(image), formats=tuple(EXTENSIONS)) as opened:
        assert opened.format is not None
        return EXTENSIONS[opened.format], opened.width, opened.height
