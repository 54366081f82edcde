"""Real crawl files give the images that their HTML or JSON holds, each kept or counted."""

import gzip
import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from crawl_units import RULES, WAT, counts, data, drops, extracted, units
from fastwarc.warc import ArchiveIterator, WarcRecordType

from transforms.candidates import extract


class Images(HTMLParser):
    """The attributes of each <img>, by the standard library's parser."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.found.append(dict(attrs))


def responses(path: Path) -> list[tuple[str, bytes]]:
    """(Content-Type, body) of each HTTP response of a WARC file, by FastWARC's reader."""
    with path.open("rb") as file:
        return [
            ((record.http_content_type or "").lower(), record.reader.read())
            for record in ArchiveIterator(file, record_types=WarcRecordType.response)
            if record.http_headers
        ]


def images(path: Path) -> list[dict[str, str | None]]:
    """Every <img> in the HTML responses of a WARC file, in order."""
    found = []
    for kind, body in responses(path):
        if kind in ("text/html", "application/xhtml+xml"):
            parser = Images()
            parser.feed(body.decode("utf-8", "replace"))
            found += parser.found
    return found


def wat_images(path: Path) -> list[dict[str, str]]:
    """Every IMG@/src link of a WAT file in order: its lines that are JSON objects, parsed whole."""
    found = []
    for line in gzip.decompress(path.read_bytes()).split(b"\n"):
        if line.startswith(b"{"):
            data = json.loads(line)["Envelope"]["Payload-Metadata"].get("HTTP-Response-Metadata", {})
            links = data.get("HTML-Metadata", {}).get("Links", [])
            found += [link for link in links if link["path"] == "IMG@/src"]
    return found


@pytest.mark.parametrize(
    ("name", "pages", "total", "with_alt"),
    [
        ("archive-org-2008.warc.gz", 140, 858, 666),
        ("whirlwind.warc.gz", 1, 13, 7),
        ("link-extraction-test.warc", 9, 4, 4),
    ],
)
def test_warc(name: str, pages: int, total: int, with_alt: int) -> None:
    expected = images(WAT / name)
    assert len(expected) == total
    assert sum(bool((image.get("alt") or "").strip()) for image in expected) == with_alt
    frame = extracted(WAT / name, "warc")
    found = counts(frame)
    assert found["in"] == total
    assert found["note:pages"] == pages
    assert drops(frame).get("no_alt", 0) == total - with_alt
    for row in data(frame):
        image = expected[row["position"]]
        # the files' texts are clean but for entities, and their URLs end with what stands in src
        assert row["text"] == unescape(image["alt"]).strip().replace("\n", " ")
        assert row["url"].endswith(image["src"].lstrip("./").replace(" ", "%20"))


def test_the_archive_org_crawl_is_accounted_for() -> None:
    frame = extracted(WAT / "archive-org-2008.warc.gz", "warc")
    found = responses(WAT / "archive-org-2008.warc.gz")
    expected = images(WAT / "archive-org-2008.warc.gz")
    with_alt = [image for image in expected if (image.get("alt") or "").strip()]
    formats = [i for i in with_alt if re.search(r"\.(gif|svg)\b", i["src"] or "", re.IGNORECASE)]
    short = [i for i in with_alt if i not in formats and len((i["alt"] or "").strip()) < 5]
    assert counts(frame)["note:image_responses"] == sum(kind.startswith("image/") for kind, _ in found) == 55
    assert drops(frame) == {"no_alt": 192, "excluded_format": len(formats), "short_text": len(short)}
    assert (len(formats), len(short), len(data(frame))) == (47, 7, 612)


@pytest.mark.parametrize("twin", ["repaired", "broken"])
def test_wat(twin: str) -> None:
    path = WAT / f"cc-main-2016-50.{twin}.warc.wat.gz"
    expected = wat_images(path)
    assert len(expected) == 37
    with_alt = [link for link in expected if link["alt"].strip()]
    assert len(with_alt) == 21
    frame = extracted(path, "wat")
    assert counts(frame)["note:pages"] == 5
    counters = [link for link in with_alt if re.search(r"bigmir|yadro|hit\.ua|top100", link["url"])]
    formats = [link for link in with_alt if link not in counters and ".gif" in link["url"]]
    assert drops(frame) == {
        "no_alt": 16,
        "tracking_pixel": len(counters),
        "excluded_format": len(formats),
    }
    (row,) = data(frame)
    link = expected[row["position"]]
    assert (row["text"], row["language"]) == (link["alt"], "ru")
    assert row["url"] == "http://08.od.ua" + link["url"]
    assert row["page_url"].startswith("http://08.od.ua/stroymaterialy/")


def test_the_broken_twin_says_what_is_wrong() -> None:
    notes = counts(extracted(WAT / "cc-main-2016-50.broken.warc.wat.gz", "wat"))
    assert notes["note:records"] == 16
    assert notes["note:bad_length"] == 1


def test_license_and_base() -> None:
    (row, _) = data(extracted(WAT / "whirlwind.warc.gz", "warc"))
    assert row["license"] == "https://creativecommons.org/licenses/by-sa/4.0/deed.an"
    rows = data(extracted(WAT / "link-extraction-test.warc", "warc"))
    # html4.html has <base href="http://www.example.com/"> and an image "image.png"
    assert rows[0]["url"] == "http://www.example.com/image.png"
    assert rows[0]["license"] is None
    # "&amp;" of the page is "&" in the URL
    assert "https://img.example.org/view?id=867&res=10x16" in [row["url"] for row in rows]


def test_units_of_one_partition_come_one_after_the_other() -> None:
    names = ["archive-org-2008.warc.gz", "whirlwind.warc.gz"]
    rows = [(name, WAT / name, "warc", order) for order, name in enumerate(names)]
    frame = extract(units(*rows), RULES)
    for name in names:
        alone = extract(units(rows[names.index(name)]), RULES)
        assert frame[frame["unit"] == name].reset_index(drop=True).equals(alone)
    assert frame["_order"].tolist() == sorted(frame["_order"])
