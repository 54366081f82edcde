"""WARC records out of a file of any state: gzip members or plain, broken lengths, garbage between.

Common Crawl writes one record per gzip member, so a bad member costs one record: reading resumes at the
next. Where members or lengths lie, the next ``WARC/1.`` at the beginning of a line is the next record.
Memory is bounded by `CandidateRules.max_record_bytes`, whatever a member inflates to.

Nearly every file is in order to its end, and framed.py reads it. One that is not is begun anew here, and the
records that came before are passed over: framed.py gives none that would not be found here as well.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO, NamedTuple

import numpy as np
from isal import igzip_lib

from transforms.candidates.errors import UnreadableUnit
from transforms.candidates.framed import Block, framed
from transforms.candidates.reasons import Note
from transforms.candidates.rules import MIB, CandidateRules
from transforms.files import READS, Reads, open_file

READ = 64 * 1024  # bytes per read of the file: each member's rest of it is copied once
HEAD = READ // 2  # bytes looked at first: less than a connection's buffer, so that going back is free
PIECE = MIB  # most bytes inflated at a time
GZIP = b"\x1f\x8b\x08"  # RFC 1952: two bytes of magic, then the only method there is
_TAIL = 16  # bytes of a buffer that may hold the beginning of a boundary

_HEADER_END = re.compile(rb"\r?\n\r?\n")
_FIRST = re.compile(rb"WARC/\d\.\d+\r?\n")
_BOUNDARY = re.compile(rb"\n(?=WARC/1\.[01]\r?\n)")
_LENGTH = re.compile(rb"\nContent-Length:[ \t]*(\d{1,18})[ \t]*\r?\n", re.IGNORECASE)
# What follows a block: the two line ends of the standard, or at least the next record or nothing
_END = re.compile(rb"\r\n\r\n|\n\n|[\r\n]*(?:WARC/1\.|\Z)")


class Record(NamedTuple):
    """One WARC record: its header as read, up to and without the blank line, and its block."""

    header: bytes
    body: bytes

    def field(self, name: bytes) -> bytes:
        """The value of a header field, b"" where it is missing; `name` in any case."""
        found = re.search(rb"\n" + name + rb":[ \t]*([^\r\n]*)", self.header, re.IGNORECASE)
        return found[1].strip() if found else b""

    @property
    def url(self) -> str | None:
        """WARC-Target-URI as text, without the angle brackets that some writers put around it."""
        return self.field(b"WARC-Target-URI").strip(b"<>").decode("utf-8", "replace") or None


def records(path: str, rules: CandidateRules, notes: Counter[str], reads: Reads = READS) -> Iterator[Record]:
    """The records of the crawl file at `path` in their order; what is skipped is counted in `notes`.

    Raises `UnreadableUnit` where the file is empty or holds no record at all; OSError where it cannot
    be read.
    """
    for found in blocks(path, rules, notes, reads):
        yield from (record_of(found, i) for i in range(len(found.records)))


def record_of(block: Block, i: int) -> Record:
    """Record `i` of `block`."""
    header, header_stop, start, stop = block.records[i].tolist()
    return Record(block.bytes(header, header_stop), block.bytes(start, stop))


def blocks(path: str, rules: CandidateRules, notes: Counter[str], reads: Reads = READS) -> Iterator[Block]:
    """The same, many at a time as long as the file is in order, then one by one."""
    with open_file(path, reads) as file:
        head = file.read(HEAD)
        if not head:
            raise UnreadableUnit(f"{path} is empty (0 bytes): fetch it again")
        plain = bool(_FIRST.match(head)) or (bool(_BOUNDARY.search(head)) and not _begins_member(head))
        file.seek(0)
        count = 0
        for found in framed(file, not plain, rules):
            if found is None:
                file.seek(0)
                pieces = _plain(file, file.read(READ)) if plain else _inflated(file, b"", notes)
                for record in islice(_split(pieces, rules, notes), count, None):
                    count += 1
                    yield _block(record)
            else:
                count += len(found.records)
                yield found
    if not count:
        raise UnreadableUnit(
            f"{path} holds no WARC record: it begins with {head[:40]!r}. "
            "It is damaged or an error page: fetch it again"
        )
    notes[Note.RECORDS] += count


def _block(record: Record) -> Block:
    """A block of one record."""
    stop = len(record.header)
    bounds = np.array([[0, stop, stop, stop + len(record.body)]])
    return Block(np.frombuffer(record.header + record.body, np.uint8), bounds)


def _plain(file: BinaryIO, head: bytes) -> Iterator[tuple[bytes, bool]]:
    """Pieces of an uncompressed file, each with whether the next begins a new member: only the last."""
    while head:
        yield head, False
        head = file.read(PIECE)
    yield b"", True


def _inflated(file: BinaryIO, data: bytes, notes: Counter[str]) -> Iterator[tuple[bytes, bool]]:
    """Pieces of the file's gzip members, each with whether it is its member's last."""
    lost = False  # inside a run of bytes that are no good member, which is counted once
    while data := _at_magic(file, data) if lost else data or file.read(READ):
        if len(data) < len(GZIP):
            data += file.read(READ)
        inflater = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        fed = data  # compressed bytes since the member's beginning, to look for the next one in them
        piece = b""
        try:
            while not inflater.eof:
                piece = _inflate(inflater, data)
                data = b""
                if inflater.eof:
                    break
                if inflater.needs_input:
                    data = file.read(READ)
                    if not data:
                        raise _BadMemberError
                    fed = fed + data if len(fed) < MIB else data
                if piece:
                    yield piece, False
                    piece = b""
        except _BadMemberError:
            notes[Note.BAD_GZIP] += not lost
            lost = True
            yield piece, True
            data = fed[1:]
            continue
        lost = False
        yield piece, True
        data = inflater.unused_data


class _BadMemberError(Exception):
    """The bytes at hand are no gzip member, or one that is damaged."""


def _inflate(inflater: igzip_lib.IgzipDecompressor, data: bytes) -> bytes:
    try:
        return inflater.decompress(data, PIECE)
    except igzip_lib.IsalError as error:  # type: ignore[misc]  # its stub has a variable for the class
        raise _BadMemberError from error


def _begins_member(data: bytes) -> bool:
    try:
        return bool(_inflate(igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP), data))
    except _BadMemberError:
        return False


def _at_magic(file: BinaryIO, data: bytes) -> bytes:
    """`data` and what follows it in `file`, from the next gzip magic on; b"" where there is none."""
    while (start := data.find(GZIP)) < 0:
        more = file.read(READ)
        if not more:
            return b""
        data = data[-len(GZIP) :] + more
    return data[start:]


def _split(
    pieces: Iterator[tuple[bytes, bool]], rules: CandidateRules, notes: Counter[str]
) -> Iterator[Record]:
    """The records in `pieces`; none reaches beyond its member."""
    buffer = b""
    seeking = False  # between a broken or too long record and the next boundary or the member's end
    for piece, last in pieces:
        buffer = buffer + piece if buffer else piece
        position = 0
        while position < len(buffer):
            if seeking:
                boundary = _BOUNDARY.search(buffer, position)
                seeking = boundary is None
                # a boundary may begin in this piece and end in the next
                position = boundary.end() if boundary else max(position, len(buffer) - _TAIL)
                if seeking:
                    break
            record, end = _next(buffer, position, last, rules, notes)
            if record:
                yield record
            if end == position:
                break
            seeking = end < 0
            position = position if seeking else end
        buffer = b"" if last else buffer[position:]
        seeking = seeking and not last
        if len(buffer) > rules.max_record_bytes:
            notes[Note.OVERSIZED_RECORD] += 1
            seeking, buffer = True, buffer[-_TAIL:]


def _next(
    buffer: bytes, position: int, last: bool, rules: CandidateRules, notes: Counter[str]
) -> tuple[Record | None, int]:
    """The record at `position`, if there is one, and where it ends.

    The end is `position` where more of the file must be read first, -1 where no record begins here.
    """
    start = position
    while buffer[start : start + 1] in (b"\r", b"\n"):
        start += 1
    if start == len(buffer):
        return None, start
    if not last and len(buffer) - start < _TAIL:
        return None, position
    limit = start + rules.max_header_bytes
    head = _HEADER_END.search(buffer, start, limit) if buffer.startswith(b"WARC/", start) else None
    if not head:
        if not last and len(buffer) < limit and buffer.startswith(b"WARC/", start):
            return None, position
        notes[Note.BAD_RECORD] += 1
        return None, -1
    header = buffer[start : head.start() + 1]
    end = _block_end(buffer, header, head.end(), last, rules)
    if end is None:
        return None, position
    if end >= 0:
        return Record(header, buffer[head.end() : end]), end
    notes[Note.BAD_LENGTH] += 1
    boundary = _BOUNDARY.search(buffer, head.end())
    end = boundary.end() if boundary else len(buffer)
    return Record(header, buffer[head.end() : end].rstrip(b"\r\n")), end


def _block_end(buffer: bytes, header: bytes, start: int, last: bool, rules: CandidateRules) -> int | None:
    """Where the block that starts at `start` ends by its Content-Length; -1 if that is a lie.

    None where more of the file must be read to tell.
    """
    stated = _LENGTH.search(header + b"\n")
    end = start + int(stated[1]) if stated else -1
    if not last and len(buffer) < end + _TAIL and end - start <= rules.max_record_bytes:
        return None
    if end < 0 or end > len(buffer) or not _END.match(buffer, end):
        if not last and not _BOUNDARY.search(buffer, start):
            return None
        return -1
    # JSON has no line ends of its own, so a record header in it is the next record, swallowed
    if b"application/json" in header and buffer.find(b"\n", start, end) >= 0:
        return -1 if buffer.find(b"\nWARC/1.", start, end) >= 0 else end
    return end
