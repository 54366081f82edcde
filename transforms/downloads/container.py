"""Picture files from outside, before a decoder sees them: their format, and only what their pixels need.

Metadata is the larger part of what goes wrong in decoders (zTXt bombs, broken EXIF, multi-picture tables), so
it is taken out first; the one thing in it that matters, the EXIF orientation, is read here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

_PNG = b"\x89PNG\r\n\x1a\n"
_KNOWN = (  # what we refuse by name rather than as "no picture"
    (b"GIF8", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"8BPS", "PSD"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\1\0", "ICO"),
    (b"%!PS", "EPS"),
    (b"SIMPLE  =", "FITS"),
)
_ORIENTATION = 0x0112  # EXIF 2.3, table 4
_SHORT = 3
# JPEG segments that say nothing about pixels: APP1–APP13, APP15 and comments. APP0 is JFIF, and APP14 is
# Adobe's, which tells inverted CMYK and RGB from YCbCr.
_JPEG_METADATA = {*range(0xE1, 0xEE), 0xEF, 0xFE}
_JPEG_ALONE = {0x01, *range(0xD0, 0xD8)}  # markers without a length
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF; not tables, reserved, arithmetic conditioning
_JPEG_PLAIN = {0xC0, 0xC1}  # sequential, Huffman
_PNG_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}  # an APNG becomes its still default picture


class Essence(NamedTuple):
    """A picture file without metadata, and its EXIF orientation (1 to 8; 1 where there is none)."""

    data: bytes
    orientation: int


class Frame(NamedTuple):
    """The size that a JPEG announces, in pixels, and whether each scan takes bytes for all that it covers."""

    width: int
    height: int
    is_plain: bool


def picture_format(data: bytes) -> str | None:
    """The format of a picture file by its first bytes, such as "JPEG" or "GIF"; None if we know none."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(_PNG):
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return (
            "AVIF or HEIF" if data[8:12] in (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1") else None
        )
    if b"<svg" in data[:1024].lower():
        return "SVG"
    return next((name for signature, name in _KNOWN if data.startswith(signature)), None)


def essence(data: bytes, name: str) -> Essence:
    """What a decoder needs of a JPEG, PNG or WEBP file `name`; damage is left for the decoder to find."""
    if name == "JPEG":
        return _jpeg(data)
    if name == "PNG":
        return _png(data)
    return _webp(data)


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in a WEBP's header, before a canvas is made for it (WebP container specification)."""
    kind, body = data[12:16], data[20:30]
    if len(body) < 10:
        return None
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", body[6:10])
        return width & 0x3FFF, height & 0x3FFF
    return None


def exif_orientation(exif: bytes) -> int:
    """The orientation (1 to 8) in an EXIF block (a TIFF header and its directory); 1 if there is none."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 8:
        return 1
    (start,) = struct.unpack_from(order + "I", exif, 4)
    if start + 2 > len(exif):
        return 1
    (entries,) = struct.unpack_from(order + "H", exif, start)
    for offset in range(start + 2, min(start + 2 + 12 * entries, len(exif) - 11), 12):
        tag, kind, _, value = struct.unpack_from(order + "HHIH", exif, offset)
        if tag == _ORIENTATION:
            return value if kind == _SHORT and 1 <= value <= 8 else 1
    return 1


def has_jumbf(data: bytes, name: str) -> bool:
    """Whether a file may carry JUMBF boxes, in which Content Credentials stand (C2PA 2.1, appendix A)."""
    if name == "JPEG":
        return any(marker == 0xEB for marker, _, _ in _segments(data))
    return (b"caBX" if name == "PNG" else b"C2PA") in data


def jpeg_frame(data: bytes) -> Frame | None:
    """What the frame header of a JPEG announces; None where there is none before the first scan."""
    for marker, start, end in _segments(data):
        if marker in _JPEG_FRAMES and end - start >= 9:
            height, width = struct.unpack_from(">HH", data, start + 5)
            return Frame(width, height, marker in _JPEG_PLAIN)
    return None


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment of a JPEG before the first scan, or before what is damaged."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in (0xD9, 0xDA):  # end, or start of the scan: everything after is pixels
            return
        length = 0 if marker in _JPEG_ALONE else int.from_bytes(data[position + 2 : position + 4], "big")
        yield marker, position, min(position + 2 + length, len(data))
        position += 2 + length


def _jpeg(data: bytes) -> Essence:
    kept, orientation, position = [data[:2]], 1, 2
    for marker, start, end in _segments(data):
        position = end
        if marker == 0xE1 and orientation == 1 and data[start + 4 : start + 10] == b"Exif\0\0":
            orientation = exif_orientation(data[start + 4 : end])
        if marker not in _JPEG_METADATA:
            kept.append(data[start:end])
    if sum(map(len, kept)) == position:
        return Essence(data, orientation)  # nothing to leave out, and a file is large
    return Essence(b"".join([*kept, data[position:]]), orientation)


def _png(data: bytes) -> Essence:
    kept, orientation, position = [_PNG], 1, len(_PNG)
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        if kind in _PNG_PIXELS:
            kept.append(data[position:end])
        elif kind == b"eXIf":
            orientation = exif_orientation(data[position + 8 : end - 4])
        position = end
    return Essence(b"".join([*kept, data[position:]]), orientation)


def _webp(data: bytes) -> Essence:
    position = 12
    while position + 8 <= len(data):
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        if data[position : position + 4] == b"EXIF":
            return Essence(data, exif_orientation(data[position + 8 : position + 8 + length]))
        position += 8 + length + (length & 1)
    return Essence(data, 1)
