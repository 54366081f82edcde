"""The quick way through a crawl file that is in order: one inflater, and four finds per record.

Common Crawl's files are, but for the rare one, and then this takes 0.24 s per 250 MB beside the 0.50 s of the
inflating itself, half of what records.py needs for a file in any state.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import BinaryIO

from isal import igzip, igzip_lib, isal_zlib

from transforms.candidates.rules import MIB, CandidateRules

PIECE = MIB  # bytes at a time: they stay in the cache until their records are read
_LENGTH = b"\nContent-Length: "
_BREAK = b"\r\n\r\n"
_RECORD = b"WARC/1."
_DAMAGE = (gzip.BadGzipFile, EOFError, igzip_lib.IsalError, isal_zlib.error)


def framed(file: BinaryIO, packed: bool, rules: CandidateRules) -> Iterator[tuple[bytes, bytes] | None]:
    """Header and block of each record of `file`; None, and no more, where the file is not in order.

    In order is a record that states its length and has, after so many bytes, two line ends and then another
    record or the end of the file.
    """
    source: BinaryIO = igzip.open(file, "rb") if packed else file  # type: ignore[no-untyped-call]
    data, more = b"", True
    while more:
        try:
            piece = source.read(PIECE)
        except _DAMAGE:  # type: ignore[misc]  # isal's stubs have variables for classes
            break
        more = bool(piece)
        data += piece or _RECORD  # the end of the file is as good as another record
        position = 0
        while (head := data.find(_BREAK, position, position + rules.max_header_bytes)) >= 0:
            stated = data.find(_LENGTH, position, head) + len(_LENGTH)
            length = data[stated : data.find(b"\r", stated)]
            if not (length.isdigit() and len(length) < 10):
                break
            start = head + len(_BREAK)
            end = start + int(length)
            if not data.startswith(_BREAK + _RECORD, end) or _swallowed(data, position, start, end):
                break
            yield data[position : head + 1], data[start:end]
            position = end + len(_BREAK)
        data = data[position:]
        if len(data) > rules.max_record_bytes:
            break
    if data != _RECORD:
        yield None


def _swallowed(data: bytes, position: int, start: int, end: int) -> bool:
    """Whether a block of JSON, which has no line ends of its own, has the next record in it."""
    return (
        data.find(b"\n", start, end) >= 0
        and data.find(b"\nWARC/1.", start, end) >= 0
        and data.find(b"application/json", position, start) >= 0
    )
