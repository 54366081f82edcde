"""Image links out of a WAT file: the JSON that Common Crawl makes of each page.

Speed comes from leaving alone what is not asked for: of a record, only its image links are parsed, as
long as that is certain to give what parsing all of it would; else all of it is parsed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson

from transforms.candidates import laion
from transforms.candidates.pages import Page, creative_commons, join
from transforms.candidates.reasons import Note
from transforms.candidates.records import Record, records
from transforms.candidates.rules import CandidateRules
from transforms.files import READS, Reads

PATH = laion.IMAGE_PATH
_MARK = b'"path":"IMG@/src"'


def pages(path: str, rules: CandidateRules, notes: Counter[str], reads: Reads = READS) -> Iterator[Page]:
    """The pages with images of the WAT file at `path`, in its order.

    Raises `UnreadableUnit` where the file holds no record.
    """
    for record in records(path, rules, notes, reads):
        yield from pages_of(record, rules, notes)


def pages_of(record: Record, rules: CandidateRules, notes: Counter[str]) -> Iterator[Page]:
    """The page of a record, where it has images; under rules that take links as written, it may be cut."""
    body = record.body
    if b'"HTML-Metadata"' in body:
        notes[Note.PAGES] += 1
    first = body.find(_MARK)
    if first >= 0 or b"IMG@" in body:
        if rules.links == "as_written":
            yield from _as_written(record, first, rules, notes)
        else:
            yield _page(record, first, rules, notes)
    elif body.startswith(b"{"):
        if not body.rstrip().endswith(b"}"):
            notes[Note.BAD_JSON] += 1
        elif b'"HTML-Metadata"' in body and b'"Links"' not in body:
            notes[Note.NO_LINKS] += 1


def _page(record: Record, first: int, rules: CandidateRules, notes: Counter[str]) -> Page:
    """The page of a record with images, the first marked at `first`; -1 if they are written otherwise."""
    url = record.url
    if first >= 0 and b"creativecommons.org" not in record.body:
        images = _cut(record.body, first)
        if images is not None:
            return Page(url, url, None, images)
    metadata = _parse(record.body, notes)
    if metadata is None:
        return Page(url, url, None, [image_of(link) for link in _salvage(record.body, first)])
    links = [link for link in _list(metadata.get("Links")) if isinstance(link, dict)]
    hrefs = ((_text(link.get("url")), _text(link.get("rel"))) for link in links)
    license = creative_commons(hrefs, rules.max_license_chars)
    images = [image_of(link) for link in links if link.get("path") == PATH]
    return Page(url, join(url, _text(_dict(metadata.get("Head")).get("Base"))), license, images)


def _as_written(record: Record, first: int, rules: CandidateRules, notes: Counter[str]) -> Iterator[Page]:
    metadata = _parse(record.body, notes)
    links = _salvage(record.body, first) if metadata is None else _list(metadata.get("Links"))
    return laion.pages(record.url, [link for link in links if isinstance(link, dict)], rules)


def image_of(link: dict[str, Any]) -> tuple[Any, Any]:
    """(src, alt) of a link."""
    src = link.get("url")
    return decoded(src) if type(src) is str else src, link.get("alt")


def decoded(src: str) -> str:
    """A WAT has attributes as they stand in the page, `&` as `&amp;`."""
    return src.replace("&amp;", "&").replace("&#38;", "&").replace("&#038;", "&") if "&" in src else src


def _cut(body: bytes, first: int) -> list[tuple[Any, Any]] | None:
    """The images of a record without parsing the rest of it; None where that is not certain to be right."""
    if not body.endswith(b"}"):
        return None
    chunks, end = _chunks(body, first)
    # Head, which may hold a base URL, stands before the links or after them
    if body.find(b'"Base"', 0, first) >= 0 or body.find(b'"Base"', end) >= 0:
        return None
    try:
        links = orjson.loads(b"[" + b",".join(chunks) + b"]")
    except orjson.JSONDecodeError:
        return None
    if len(links) != len(chunks) or not all(type(link) is dict for link in links):
        return None
    return [image_of(link) for link in links]


def _chunks(body: bytes, mark: int) -> tuple[list[bytes], int]:
    """What should be the JSON object of each image link, and where the last ends.

    From the `{"` before its path to the next `"}`: inside a JSON string every quote has a backslash before
    it, so a piece that begins or ends within a string is no JSON, and nor is b"", for want of either end.
    """
    chunks = []
    end = 0
    while mark >= 0:
        start = body.rfind(b'{"', end, mark + 2)
        stop = body.find(b'"}', mark + len(_MARK) - 1) + 2
        chunks.append(body[start:stop] if start >= 0 else b"")
        end = max(stop, mark + len(_MARK))
        mark = body.find(_MARK, end)
    return chunks, end


def _salvage(body: bytes, first: int) -> list[dict[str, Any]]:
    """The image links of a record that is not JSON as a whole: those whose own objects are."""
    links = map(_loads, _chunks(body, first)[0])
    return [link for link in links if isinstance(link, dict)]


def _parse(body: bytes, notes: Counter[str]) -> dict[str, Any] | None:
    """HTML-Metadata of a record: {} where it has none, None where the record is not JSON."""
    data: Any
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        data = _loads(body)
        notes[Note.REPAIRED_JSON if data is not None else Note.BAD_JSON] += 1
        if data is None:
            return None
    for key in ("Envelope", "Payload-Metadata", "HTTP-Response-Metadata", "HTML-Metadata"):
        data = _dict(_dict(data).get(key))
    return _dict(data)


def _loads(data: bytes) -> Any:
    """JSON with bytes that are not UTF-8 (replaced), lone surrogates or control characters (kept).

    None where it is no JSON even so.
    """
    try:
        return json.loads(data.decode("utf-8", "replace"), strict=False)
    except (ValueError, RecursionError):
        return None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
