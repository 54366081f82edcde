"""What is no picture, no picture for us, or too much of one is refused, with a stable line saying so."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path

import pytest
from downloads_fixtures import encoded, photo
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from transforms.downloads import DownloadRules
from transforms.downloads.image import picture
from transforms.downloads.status import DownloadError

RULES = DownloadRules(size=32)
SMALL = {kind: encoded(photo(40, 30), kind) for kind in ("JPEG", "PNG", "WEBP")}
SMALL["progressive"] = encoded(photo(40, 30), "JPEG", progressive=True)
SMALL["palette"] = encoded(photo(40, 30).quantize(16), "PNG")
SMALL["lossless"] = encoded(photo(40, 30).convert("RGBA"), "WEBP", lossless=True)


def refused(data: bytes, rules: DownloadRules = RULES) -> tuple[str, str]:
    with pytest.raises(DownloadError) as caught:
        picture(data, rules)
    return caught.value.status, caught.value.error


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("GIF", "GIF"),
        ("TIFF", "TIFF"),
        ("ICO", "ICO"),
        ("JPEG2000", "JPEG 2000"),
        ("AVIF", "AVIF or HEIF"),
        ("EPS", "EPS"),
    ],
)
def test_formats_that_we_know_and_refuse(kind: str, name: str) -> None:
    assert refused(encoded(photo(64, 64), kind)) == ("refused_format", name)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"8BPS\0\1" + bytes(50), "PSD"),
        (b"SIMPLE  =                    T", "FITS"),
        (b"MM\0*" + bytes(20), "TIFF"),
    ],
)
def test_formats_that_we_refuse_by_signature(data: bytes, name: str) -> None:
    assert refused(data) == ("refused_format", name)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8",
        b"\x89PNG",
        b"RIFF\0\0\0\0WAVE",
        b"<!doctype html>",
        b"GIF",
        bytes(100),
        b"%PDF-1.7",
        b"PK\3\4",
    ],
)
def test_no_picture(data: bytes) -> None:
    assert refused(data) == ("not_image", "no picture by its first bytes")


@pytest.mark.parametrize("kind", ["BMP", "PPM", "TGA", "PCX"])
def test_formats_without_a_name_here(kind: str) -> None:
    assert refused(encoded(photo(64, 64), kind))[0] == "not_image"


def jpeg_header(width: int, height: int) -> bytes:
    frame = struct.pack(">BHHB", 8, height, width, 3) + bytes([1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1])
    return b"\xff\xd8\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + b"\xff\xda\0\x02\xff\xd9"


def png_header(width: int, height: int) -> bytes:
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n\0\0\0\r"
        + head
        + struct.pack(">I", zlib.crc32(head))
        + b"\0\0\0\0IDAT\x35\xaf\x06\x1e"
    )


def webp_header(width: int, height: int) -> bytes:
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + canvas
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (jpeg_header(65_000, 65_000), "65000 x 65000"),
        (png_header(2_000_000_000, 1_000), "2000000000 x 1000"),
        (png_header(9_460, 9_459), "9460 x 9459"),  # 89,482,140: just above LAION's limit
        (webp_header(16_000, 16_000), "16000 x 16000"),
    ],
)
def test_bombs_are_refused_by_their_header(data: bytes, size: str) -> None:
    tracemalloc.start()
    try:
        assert refused(data) == ("too_many_pixels", size)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_picture_just_below_the_limit_passes() -> None:
    rules = DownloadRules(max_pixels=400 * 300)
    assert picture(encoded(photo(400, 300)), rules).width == 400
    assert refused(encoded(photo(401, 300)), rules) == ("too_many_pixels", "401 x 300")


# img2dataset refuses below min_image_size and above max_aspect_ratio; at the limit both let pass.
@pytest.mark.parametrize("size", [(400, 99), (99, 400)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_filters_on_side_and_shape(size: tuple[int, int], kind: str) -> None:
    data, told = encoded(photo(*size), kind), f"{size[0]} x {size[1]}"
    assert picture(data, DownloadRules(min_side=99)).width == size[0]
    assert refused(data, DownloadRules(min_side=100)) == ("too_narrow", told)
    assert picture(data, DownloadRules(max_aspect_ratio=4.05)).width == size[0]
    assert refused(data, DownloadRules(max_aspect_ratio=4.0)) == ("too_long", told)


def test_a_square_passes_an_aspect_ratio_of_one() -> None:
    assert picture(encoded(photo(80, 80)), DownloadRules(max_aspect_ratio=1.0)).width == 80
    assert refused(encoded(photo(81, 80)), DownloadRules(max_aspect_ratio=1.0)) == ("too_long", "81 x 80")


def test_formats_are_those_of_the_rules() -> None:
    assert refused(SMALL["PNG"], DownloadRules(formats=("JPEG", "GIF"))) == ("refused_format", "PNG")
    gif = encoded(photo(60, 40), "GIF")
    assert refused(gif, DownloadRules()) == ("refused_format", "GIF")
    assert picture(gif, DownloadRules(formats=("JPEG", "GIF"))).width == 60
    with pytest.raises(ValueError, match="TIFF"):
        DownloadRules(formats=("JPEG", "TIFF"))


def test_a_jpeg_of_endless_scans() -> None:
    """Each scan makes a decoder pass over all pixels: a small file of thousands would hold it for minutes."""
    data = SMALL["progressive"]
    last = data.rindex(b"\xff\xda")
    scan = data[last:-2]
    assert refused(data[:-2] + scan * 501 + data[-2:]) == ("bad_image", "JPEG, more than 500 scans")


def test_a_png_header_of_no_pixels() -> None:
    assert refused(png_header(0, 10))[0] == "bad_image"


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_cut_short(kind: str, share: float) -> None:
    data = SMALL[kind]
    assert refused(data[: int(len(data) * share)])[0] == "bad_image"


def test_too_long_for_the_output_format() -> None:
    data = encoded(Image.new("RGB", (20_000, 300)), "PNG")
    assert picture(data, DownloadRules()).width == 20_000
    assert refused(data, DownloadRules(format="WEBP")) == ("bad_image", "17067 x 256 is too long for WEBP")


def outcome(data: bytes) -> tuple[str, str]:
    try:
        picture(data, DownloadRules(size=32, max_pixels=1_000_000))
    except DownloadError as error:
        return error.status, error.error
    return "success", ""


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(SMALL)),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8),
    st.data(),
)
def test_damage_gives_a_picture_or_a_reason(
    kind: str, hits: list[tuple[float, int]], data: st.DataObject
) -> None:
    """No damage to a file raises anything else, or warns (warnings are errors here)."""
    damaged = bytearray(SMALL[kind])
    for place, value in hits:
        damaged[int(place * (len(damaged) - 1))] = value
    cut = data.draw(st.integers(0, len(damaged)))
    for candidate in (
        bytes(damaged),
        bytes(damaged[:cut]),
        bytes(damaged[:cut]) + bytes(20) + bytes(damaged[cut:]),
    ):
        status, error = outcome(candidate)
        assert status in ("success", "bad_image", "not_image", "refused_format", "too_many_pixels")
        assert "0x" not in error  # no address of an object in a column that must be equal on every rebuild


def test_real_photos_pass() -> None:
    photos = sorted((Path(__file__).parent / "data" / "heads").glob("*.jpg"))
    assert len(photos) == 7
    for path in photos:
        with Image.open(path) as image:
            found = picture(path.read_bytes(), DownloadRules())
            assert (found.width, found.height) == image.size
