"""Writes the WAT files of the demo's web, as if Common Crawl had crawled it.

The form is that of CC-MAIN-2024-22 (ia-web-commons 1.1.10): WARC/1.0, one gzip member per record, a
warcinfo record first, then for each record of the crawl (request, response, metadata) a metadata record
whose JSON holds `Container` and `Envelope`. The WARC records that the JSON speaks of are made too, so that
lengths, digests and offsets are true, but only the WAT is written. Equal input gives equal bytes: ids are
UUIDs of the URL, times are fixed.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lakehouse.demo.sites import Page, Web

EXTRACTED = "Thu, 15 Jan 2026 12:00:00 GMT"
BEGAN = datetime(2026, 1, 15, 8, 0, 0, tzinfo=UTC)
ADDRESS = "127.0.0.1"
SOFTWARE = "pairlake-demo.1.0"


def write_wats(web: Web, folder: Path, files: int = 4) -> list[Path]:
    """Writes the pages of `web` to `files` WAT files in `folder`, about as many to each.

    Returns their paths, in crawl order: over all files, pages come as in `web.pages`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(files):
        first, last = number * len(web.pages) // files, (number + 1) * len(web.pages) // files
        path = folder / f"DEMO-20260115080000-{number:05d}.warc.wat.gz"
        path.write_bytes(b"".join(_members(web.pages[first:last], first, path.name)))
        paths.append(path)
    return paths


@dataclass(frozen=True)
class Record:
    """A record of the crawl, and the part of its WAT entry that depends on its type."""

    type: str
    url: str
    time: str
    block: bytes
    payload: dict[str, Any]  # of the Envelope's Payload-Metadata

    @property
    def id(self) -> str:
        return _id(self.url, self.type)

    @property
    def content_type(self) -> str:
        if self.type == "metadata":
            return "application/warc-fields"
        return f"application/http; msgtype={self.type}"

    def header(self, warcinfo: str) -> dict[str, str]:
        return {
            "WARC-Type": self.type,
            "WARC-Date": self.time,
            "WARC-Record-ID": self.id,
            "Content-Length": str(len(self.block)),
            "Content-Type": self.content_type,
            "WARC-Warcinfo-ID": warcinfo,
            "WARC-IP-Address": ADDRESS,
            "WARC-Target-URI": self.url,
            "WARC-Block-Digest": _digest(self.block),
        }


def _members(pages: tuple[Page, ...], place: int, name: str) -> Iterator[bytes]:
    """The gzip members of one WAT file, one record in each. `place` is the first page's among all."""
    warc = name.replace(".warc.wat.gz", ".warc.gz")
    about = (
        f"Software-Info: {SOFTWARE}\r\nExtracted-Date: {EXTRACTED}\r\nformat: WARC File Format 1.0\r\n\r\n"
    )
    yield _member(
        {
            "WARC-Type": "warcinfo",
            "WARC-Date": _time(BEGAN),
            "WARC-Filename": name,
            "WARC-Record-ID": _id(name, "warcinfo"),
            "Content-Type": "application/warc-fields",
        },
        about.encode(),
    )
    offset = 0
    for index, page in enumerate(pages):
        for record in _records(page, _time(BEGAN + timedelta(seconds=place + index))):
            header = record.header(_id(warc, "warcinfo"))
            plain = _record(header, record.block)
            packed = gzip.compress(plain, mtime=0)
            body = _json(record, header, plain, packed, warc, offset)
            offset += len(packed)
            yield _member(
                {
                    "WARC-Type": "metadata",
                    "WARC-Target-URI": record.url,
                    "WARC-Date": record.time,
                    "WARC-Record-ID": _id(record.id, "wat"),
                    "WARC-Refers-To": record.id,
                    "Content-Type": "application/json",
                },
                body,
            )


def _records(page: Page, time: str) -> list[Record]:
    """What a crawler keeps of a page: its question, the answer, and how long it took."""
    host, _, path = page.url.removeprefix("http://").partition("/")
    asked = {"User-Agent": "CCBot/2.0 (https://commoncrawl.org/faq/)", "Accept": "text/html", "Host": host}
    question = _http(f"GET /{path} HTTP/1.1", asked)
    html = page.html
    answered = {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(html))}
    head = _http("HTTP/1.1 200 OK", answered)
    took = b"fetchTimeMs: 10\r\n\r\n"
    request = {
        "HTTP-Request-Metadata": {
            "Request-Message": {"Method": "GET", "Path": f"/{path}", "Version": "HTTP/1.1"},
            "Headers-Length": str(len(question)),
            "Headers": asked,
            **_entity(b""),
        }
    }
    response = {
        "HTTP-Response-Metadata": {
            "Response-Message": {"Version": "HTTP/1.1", "Status": "200", "Reason": "OK"},
            "Headers-Length": str(len(head)),
            "Headers": answered,
            "HTML-Metadata": _html_metadata(page),
            **_entity(html),
        }
    }
    fields = {"Metadata-Records": [{"Name": "fetchTimeMs", "Value": "10"}]}
    metadata = {
        "WARC-Metadata-Metadata": {
            **fields,
            "Actual-Content-Length": str(len(took)),
            "Trailing-Slop-Length": "0",
        }
    }
    return [
        Record("request", page.url, time, question, request),
        Record("response", page.url, time, head + html, response),
        Record("metadata", page.url, time, took, metadata),
    ]


def _html_metadata(page: Page) -> dict[str, Any]:
    """The head and the links of a page. As in Common Crawl's, a URL keeps the `&amp;` of its HTML."""
    head: dict[str, Any] = {"Title": page.title, "Metas": [{"charset": "utf-8"}]}
    if page.base:
        head["Base"] = page.base
    links: list[dict[str, str]] = [{"path": "A@/href", "url": "/", "text": page.title}]
    for link in page.links:
        image = {"path": "IMG@/src", "url": link.src.replace("&", "&amp;")}
        links.append(image if link.alt is None else {**image, "alt": link.alt})
    if page.license:
        links.append({"path": "A@/href", "url": page.license, "rel": "license", "text": "CC BY 4.0"})
    return {"Head": head, "Links": links}


def _json(
    record: Record, header: dict[str, str], plain: bytes, packed: bytes, warc: str, offset: int
) -> bytes:
    """The JSON of one record: where it lies in the WARC file (`Container`), and what it is (`Envelope`)."""
    crc = zlib.crc32(plain)
    envelope = {
        "Format": "WARC/1.0",
        "WARC-Header-Length": str(len(plain) - len(record.block) - 4),
        "WARC-Header-Metadata": header,
        "Payload-Metadata": {
            "Actual-Content-Type": "application/metadata-fields"
            if record.type == "metadata"
            else record.content_type,
            "Actual-Content-Length": str(len(record.block)),
            "Block-Digest": _digest(record.block),
            "Trailing-Slop-Length": "4",
            **record.payload,
        },
    }
    container = {
        "Filename": warc,
        "Compressed": True,
        "Offset": str(offset),
        "Gzip-Metadata": {
            "Deflate-Length": str(len(packed)),
            "Header-Length": "10",
            "Footer-Length": "8",
            "Inflated-CRC": str(crc - (1 << 32) if crc >> 31 else crc),  # Java's signed int
            "Inflated-Length": str(len(plain)),
        },
    }
    whole = {"Container": container, "Envelope": envelope}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def _entity(body: bytes) -> dict[str, str]:
    return {
        "Entity-Length": str(len(body)),
        "Entity-Digest": _digest(body),
        "Entity-Trailing-Slop-Length": "0",
    }


def _member(header: dict[str, str], block: bytes) -> bytes:
    """One WAT record as a gzip member without a time stamp."""
    full = {**header, "Content-Length": str(len(block)), "WARC-Block-Digest": _digest(block)}
    return gzip.compress(_record(full, block), mtime=0)


def _record(header: dict[str, str], block: bytes) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in header.items())
    return f"WARC/1.0\r\n{lines}\r\n".encode() + block + b"\r\n\r\n"


def _http(line: str, headers: dict[str, str]) -> bytes:
    return (line + "\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n").encode()


def _id(of: str, type: str) -> str:
    return f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{of}#{type}')}>"


def _digest(data: bytes) -> str:
    return "sha1:" + base64.b32encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()


def _time(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
