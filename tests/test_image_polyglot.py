"""Files that are a picture and something else, or have more metadata than pixels: only pixels stay."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from downloads_fixtures import decoded, encoded, photo

from transforms.downloads import DownloadRules
from transforms.downloads.image import picture
from transforms.downloads.status import DownloadError

KINDS = ("JPEG", "PNG", "WEBP")
SCRIPT = b"<script>alert('secret')</script>"


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("secret.html", SCRIPT)
    return file.getvalue()


def app1(body: bytes) -> bytes:
    return b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("more", [archive(), SCRIPT, b"%PDF-1.7\n" + SCRIPT], ids=["zip", "html", "pdf"])
def test_what_follows_a_picture_is_left_behind(kind: str, more: bytes) -> None:
    plain = encoded(photo(), kind)
    found = picture(plain + more, DownloadRules())
    assert found == picture(plain, DownloadRules())
    assert b"secret" not in found.data


@pytest.mark.parametrize("start", [SCRIPT, archive(), b"%PDF-1.7\n"], ids=["html", "zip", "pdf"])
def test_what_begins_as_something_else_is_no_picture(start: bytes) -> None:
    with pytest.raises(DownloadError) as refused:
        picture(start + encoded(photo()), DownloadRules())
    assert refused.value.status == "not_image"


def test_a_script_in_a_comment_is_left_behind() -> None:
    plain = encoded(photo())
    data = plain[:2] + b"\xff\xfe" + (len(SCRIPT) + 2).to_bytes(2, "big") + SCRIPT + plain[2:]
    assert b"secret" not in picture(data, DownloadRules()).data


def test_five_megabytes_of_exif() -> None:
    """Eighty segments of it, the most that each may hold, before a small picture."""
    plain = encoded(photo())
    segments = app1(b"Exif\0\0" + bytes(65_527)) * 80
    assert picture(plain[:2] + segments + plain[2:], DownloadRules()) == picture(plain, DownloadRules())


@pytest.mark.parametrize("kind", KINDS)
def test_a_megabyte_of_colour_profile(kind: str) -> None:
    data = encoded(photo(), kind, icc_profile=bytes(1_000_000))
    assert len(data) > 1_000_000 or kind == "PNG"  # which compresses it
    seen = decoded(picture(data, DownloadRules()).data)
    assert "icc_profile" not in seen.info
    same = np.asarray(decoded(picture(encoded(photo(), kind), DownloadRules()).data))
    assert np.array_equal(np.asarray(seen), same)
