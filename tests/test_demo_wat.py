"""The demo's WAT files: Common Crawl's form, and the same bytes every time."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from crawl_units import WAT, drops, extracted
from crawl_units import data as data_rows
from fastwarc.warc import ArchiveIterator

from lakehouse.demo.pages import build
from lakehouse.demo.wat import write_wats

BYTES = """\
import hashlib, sys
from pathlib import Path
from lakehouse.demo.pages import build
from lakehouse.demo.wat import write_wats
for path in write_wats(build(), Path(sys.argv[1])):
    print(path.name, hashlib.sha256(path.read_bytes()).hexdigest())
"""


@pytest.fixture(scope="module")
def wats(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_wats(build(), tmp_path_factory.mktemp("crawl"))


def members(path: Path) -> Iterator[bytes]:
    """Each gzip member of a file, inflated."""
    rest = path.read_bytes()
    while rest:
        inflate = zlib.decompressobj(31)
        yield inflate.decompress(rest)
        assert inflate.eof
        rest = inflate.unused_data


def split(member: bytes) -> tuple[dict[str, str], bytes]:
    """Header and block of a WARC record, held to its Content-Length."""
    head, rest = member.split(b"\r\n\r\n", 1)
    version, *lines = head.decode().split("\r\n")
    assert version == "WARC/1.0"
    header = dict(line.split(": ", 1) for line in lines)
    length = int(header["Content-Length"])
    assert rest[length:] == b"\r\n\r\n"
    return header, rest[:length]


def keys(value: Any, at: str = "") -> set[str]:
    """The paths of all keys of a JSON object, without those of lists and of HTTP headers."""
    if not isinstance(value, dict) or at.endswith("/Headers"):
        return {at}
    return {at}.union(*(keys(inner, f"{at}/{key}") for key, inner in value.items()))


def jsons(path: Path, type: str) -> list[dict[str, Any]]:
    """The JSON of the records of one type."""
    bodies = (split(member)[1] for member in members(path))
    parsed = [json.loads(body) for body in bodies if body.startswith(b"{")]
    return [j for j in parsed if j["Envelope"]["WARC-Header-Metadata"]["WARC-Type"] == type]


def test_another_process_writes_the_same_bytes(wats: list[Path], tmp_path: Path) -> None:
    """Under another hash seed, so that no order of a set shows."""
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    run = subprocess.run(
        [sys.executable, "-c", BYTES, str(tmp_path)],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    here = [f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in wats]
    assert run.stdout.split("\n")[:-1] == here
    assert len(here) == 4


def test_every_member_is_one_record(wats: list[Path]) -> None:
    for path in wats:
        headers = [split(member)[0] for member in members(path)]
        assert headers[0]["WARC-Type"] == "warcinfo"
        assert headers[0]["WARC-Filename"] == path.name
        assert {header["WARC-Type"] for header in headers[1:]} == {"metadata"}
        assert len({header["WARC-Record-ID"] for header in headers}) == len(headers)


def test_gzip_and_fastwarc_read_the_same_json(wats: list[Path]) -> None:
    for path in wats:
        with path.open("rb") as stream:
            read = [record.reader.read() for record in ArchiveIterator(stream, parse_http=False)]
        assert read == [split(member)[1] for member in members(path)]
        assert all(json.loads(body)["Envelope"]["Format"] == "WARC/1.0" for body in read[1:])


@pytest.mark.parametrize("type", ["request", "response", "metadata"])
def test_the_json_has_the_keys_of_common_crawls(wats: list[Path], type: str) -> None:
    """Every key of ours is in a real file of 2016 or, for what has changed since, in one of 2024."""
    real = set.union(*map(keys, jsons(WAT / "cc-main-2016-50.repaired.warc.wat.gz", type)))
    (request_2024,) = jsons(WAT / "whirlwind.warc.wat.gz", "request")
    later = keys(request_2024)
    if (
        type == "response"
    ):  # of which the file of 2024 has none: what it says of a request's entity holds here
        later |= {key.replace("HTTP-Request", "HTTP-Response") for key in later}
    ours = set.union(*map(keys, jsons(wats[0], type)), *map(keys, jsons(wats[-1], type)))
    head = "/Envelope/Payload-Metadata/HTTP-Response-Metadata/HTML-Metadata/Head"
    block = "/Envelope/WARC-Header-Metadata/WARC-Block-Digest"  # 2016 has it in responses alone
    assert ours - real - later <= {head + "/Base", block}
    links = "/Envelope/Payload-Metadata/HTTP-Response-Metadata/HTML-Metadata/Links"
    assert (links in ours) == (type == "response")


def test_the_links_are_those_of_the_served_pages(wats: list[Path]) -> None:
    """Read from the HTML by the standard library's parser."""

    class Images(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.found: list[tuple[str | None, str | None]] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag == "img":
                self.found.append((dict(attrs)["src"], dict(attrs).get("alt")))

    web = build()
    records = [j for path in wats for j in jsons(path, "response")]
    assert len(records) == len(web.pages)
    for page, record in zip(web.pages, records, strict=True):
        envelope = record["Envelope"]
        assert envelope["WARC-Header-Metadata"]["WARC-Target-URI"] == page.url
        links = envelope["Payload-Metadata"]["HTTP-Response-Metadata"]["HTML-Metadata"]["Links"]
        images = [link for link in links if link["path"] == "IMG@/src"]
        parser = Images()
        parser.feed(page.html.decode())
        assert [(i["url"].replace("&amp;", "&"), i.get("alt")) for i in images] == parser.found


def test_the_candidates_are_those_of_the_truth(wats: list[Path]) -> None:
    """The real transform finds every pair that the web means to be found, and nothing else."""
    frames = [extracted(path, "wat") for path in wats]
    found = [(row["url"], row["text"]) for frame in frames for row in data_rows(frame)]
    truth = build().truth.to_pylist()
    assert sorted(found) == sorted((row["url"], row["text"]) for row in truth if row["url"] and row["text"])
    dropped: dict[str, int] = {}
    for frame in frames:
        for reason, n in drops(frame).items():
            dropped[reason] = dropped.get(reason, 0) + n
    kinds = [row["kind"] for row in truth]
    assert dropped == {
        "no_alt": kinds.count("no alt") + kinds.count("empty alt"),
        "short_text": kinds.count("short"),
        "data_url": 2,
        "scheme": 1,
        "excluded_format": 4,
        "host": 1,
        "tracking_pixel": 1,
        "no_url": 1,
    }


def test_gzip_members_have_no_time_stamp(wats: list[Path]) -> None:
    for path in wats:
        assert path.read_bytes()[4:8] == bytes(4)
        assert gzip.decompress(path.read_bytes()).count(b"WARC/1.0\r\n") == len(list(members(path)))
