"""Which pictures a loop may wait for: those whose bytes and pixels bound what a decoder has to do."""

from __future__ import annotations

import pytest
from downloads_fixtures import encoded, photo
from hypothesis import given
from hypothesis import strategies as st

from transforms.downloads.image import is_quick

PHOTO = encoded(photo())


@pytest.mark.parametrize(
    ("data", "quick"),
    [
        (PHOTO, True),
        (encoded(photo(2_048, 2_048)), True),
        (encoded(photo(2_049, 2_048)), False),
        (PHOTO + bytes(1 << 20), False),
        (encoded(photo(), progressive=True), False),
        (encoded(photo(), "PNG"), False),
        (encoded(photo(), "WEBP"), False),
        (PHOTO[:2] + b"\xff\xfe\x00\x04hi" + PHOTO[2:], True),  # a comment before all
        (PHOTO[: PHOTO.index(b"\xff\xc0")], False),
        (b"", False),
    ],
    ids=["photo", "4 MP", "more", "long", "progressive", "PNG", "WEBP", "comment", "no frame", "empty"],
)
def test_is_quick(data: bytes, quick: bool) -> None:
    assert is_quick(data) is quick


@given(st.integers(0, len(PHOTO)), st.binary(max_size=40))
def test_takes_any_bytes(at: int, noise: bytes) -> None:
    assert is_quick(PHOTO[:at] + noise) in (True, False)
