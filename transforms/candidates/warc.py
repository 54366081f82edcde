"""Image links out of the HTML responses of a WARC file."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping

from transforms.candidates import html
from transforms.candidates.pages import Page
from transforms.candidates.reasons import Note
from transforms.candidates.records import Record, records
from transforms.candidates.rules import CandidateRules
from transforms.files import READS, Reads

HTML_TYPES = ("text/html", "application/xhtml+xml")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_FIELD = re.compile(rb"\n([!-9;-~]+):[ \t]*([^\r\n]*)")
_CHUNK = re.compile(rb"\s*([0-9a-f]{1,8})[^\r\n]{0,1000}\r?\n", re.IGNORECASE)


def pages(path: str, rules: CandidateRules, notes: Counter[str], reads: Reads = READS) -> Iterator[Page]:
    """The HTML pages of the WARC file at `path`, plain or gzip, in its order, whatever their status.

    Raises `UnreadableUnit` where the file holds no record.
    """
    for record in records(path, rules, notes, reads):
        if record.field(b"WARC-Type") != b"response":
            continue
        fields, body = _http(record, rules)
        content_type = fields.get("content-type", "")
        kind = content_type.partition(";")[0].strip().lower()
        if kind.startswith("image/"):
            notes[Note.IMAGE_RESPONSES] += 1
        if kind not in HTML_TYPES:
            continue
        notes[Note.PAGES] += 1
        decoded = _decoded(body, fields, rules)
        if decoded is None:
            notes[Note.BAD_HTTP] += 1
        else:
            yield from html.pages(decoded, content_type, record.url, rules)


def _http(record: Record, rules: CandidateRules) -> tuple[dict[str, str], bytes]:
    """Header fields (names in lower case, the last of each) and body of an HTTP message."""
    end = _HEAD_END.search(record.body, 0, rules.max_header_bytes)
    if not record.body.startswith(b"HTTP/") or not end:
        return {}, b""
    head = record.body[: end.start()]
    fields = {name.decode().lower(): value.strip().decode("latin-1") for name, value in _FIELD.findall(head)}
    return fields, record.body[end.end() :]


def _decoded(body: bytes, fields: Mapping[str, str], rules: CandidateRules) -> bytes | None:
    """`body` without transfer and content encoding; None where the coding is unknown or broken.

    Many crawlers decode the body and leave the header as it was: then the body is taken as it is.
    """
    if "chunked" in fields.get("transfer-encoding", "").lower():
        body = _dechunked(body)
    coding = fields.get("content-encoding", "").strip().lower()
    if coding in ("", "identity") or body.lstrip()[:1] == b"<":
        return body
    if coding not in ("gzip", "x-gzip", "deflate"):
        return None
    # 47: zlib or gzip by its header; -15: the raw deflate that some servers send as "deflate"
    for bits in (47, -15) if coding == "deflate" else (47,):
        try:
            return zlib.decompressobj(bits).decompress(body, rules.max_record_bytes)
        except zlib.error:
            continue
    return None


def _dechunked(body: bytes) -> bytes:
    """The chunks of `body` put together, as far as they go; `body` itself where it is not chunked."""
    parts, position = [], 0
    while chunk := _CHUNK.match(body, position):
        size = int(chunk[1], 16)
        parts.append(body[chunk.end() : chunk.end() + size])
        position = chunk.end() + size
        if not size:
            break
    return b"".join(parts) if parts else body
