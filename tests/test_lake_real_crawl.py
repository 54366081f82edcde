"""Lakes from crawls that nobody here wrote: each image and answer arrives, or is counted with a reason.

The expected numbers come from reading the files by hand: `gzip`, `html.parser`, `json` and the stated rules.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin

import demo_lake
import mmh3
import pytest
from distributed import Client

from lakehouse import lake as lakes
from lakehouse import sources, views
from lakehouse.lake import Lake
from lakehouse.stages import Options

WAT = Path(__file__).parent / "data" / "wat"
TOML = "[lake]\nschema = 1\n[models.demo]\n"
MIN_BYTES = 5_000  # of a file, LAION-5B's rule


class Answer(NamedTuple):
    url: str
    code: int
    content_type: str
    location: str
    body: bytes


def answers(path: Path) -> list[Answer]:
    """The HTTP responses of a WARC file, by nothing but gzip, blank lines and Content-Length."""
    data, found = gzip.decompress(path.read_bytes()), []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        warc = _fields(head)
        length = int(warc["content-length"])
        block, data = rest[:length], rest[length:].lstrip(b"\r\n")
        if warc["warc-type"] == "response" and warc["warc-target-uri"].startswith("http"):
            head, _, body = block.partition(b"\r\n\r\n")
            http = _fields(head)
            kind = http.get("content-type", "").partition(";")[0].lower()
            code = int(head.split()[1])
            found.append(Answer(warc["warc-target-uri"], code, kind, http.get("location", ""), body))
    return found


def _fields(head: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in head.decode("latin-1").splitlines()[1:])
    return {name.strip().lower(): value.strip() for name, _, value in lines}


class Images(HTMLParser):
    """The src and alt of each <img>, by the standard library's parser."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.found.append(dict(attrs))


class Link(NamedTuple):
    url: str
    text: str


def links(path: Path) -> list[Link]:
    """The images of all HTML pages of a WARC file, in their order; no page of these has a <base>."""
    found = []
    for answer in answers(path):
        if answer.content_type == "text/html":
            parser = Images()
            parser.feed(answer.body.decode("utf-8", "replace"))
            for image in parser.found:
                text = (image.get("alt") or "").strip().replace("\n", " ")
                found.append(Link(urljoin(answer.url, (image["src"] or "").strip()), text))
    return found


def reason(link: Link) -> str:
    """The first rule that drops a link, by the rules as recipe and LAION state them; "" where none does."""
    if not link.text:
        return "no_alt"
    if re.search(r"\.(gif|svg)\b", link.url, re.IGNORECASE):
        return "excluded_format"
    return "short_text" if len(link.text) < 5 else ""


@pytest.fixture(scope="module")
def lake(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The web of archive.org's WARC file, replayed."""
    made = lakes.init(str(tmp_path_factory.mktemp("real") / "lake"), TOML)
    sources.add(made, "warc", [str(WAT / "archive-org-2008.warc.gz")])
    demo_lake.built(made, client, options=Options(replay=True))
    return made


@pytest.fixture(scope="module")
def seen() -> list[Link]:
    return links(WAT / "archive-org-2008.warc.gz")


@pytest.fixture(scope="module")
def kept() -> dict[str, Answer]:
    """URL -> what replay takes for it: the first answer with code 200, else a redirect, else the first."""
    best: dict[str, Answer] = {}
    for answer in answers(WAT / "archive-org-2008.warc.gz"):
        if answer.url not in best or _rank(answer) < _rank(best[answer.url]):
            best[answer.url] = answer
    return best


def _rank(answer: Answer) -> int:
    return 0 if answer.code == 200 else 1 if answer.location else 2


def test_every_image_becomes_a_candidate_or_is_counted(lake: Lake, seen: list[Link]) -> None:
    reasons = Counter(reason(link) for link in seen)
    assert len(seen) == 858
    assert len(seen) - reasons["no_alt"] == 666
    different = {link for link in seen if not reason(link)}
    found = demo_lake.counts(lake, "candidates")
    assert {name: n for name, n in found.items() if not name.startswith("note:")} == {
        "in": 858,
        "drop:no_alt": 192,
        "drop:excluded_format": reasons["excluded_format"],
        "drop:short_text": reasons["short_text"],
        "drop:duplicate": reasons[""] - len(different),
    }
    assert [reasons[name] for name in ("excluded_format", "short_text", "")] == [47, 7, 612]
    assert len(different) == 66
    rows = demo_lake.read(lake, "candidates", ["sample_id", "url", "text"]).to_pylist()
    ids = {mmh3.hash64(f"{link.url}{link.text}".encode(), 0, True, True)[0] for link in different}
    assert {row["sample_id"] for row in rows} == ids
    assert len(rows) == len(ids)


def test_the_first_seen_stays(lake: Lake, seen: list[Link]) -> None:
    first: dict[Link, int] = {}
    for position, link in enumerate(seen):
        if not reason(link):
            first.setdefault(link, position)
    rows = demo_lake.read(lake, "candidates", ["url", "text", "position"]).to_pylist()
    assert {Link(row["url"], row["text"]): row["position"] for row in rows} == first


def test_every_url_is_asked_for_once(lake: Lake, seen: list[Link]) -> None:
    pairs = {link for link in seen if not reason(link)}
    urls = {link.url for link in pairs}
    rows = demo_lake.read(lake, "downloads", ["url", "attempt"]).to_pylist()
    assert sorted(row["url"] for row in rows) == sorted(urls)
    assert {row["attempt"] for row in rows} == {1}
    found = demo_lake.counts(lake, "downloads")
    assert (found["in"], found["drop:same_url"]) == (len(pairs), len(pairs) - len(urls))


def test_every_url_has_the_status_of_its_answer(lake: Lake, kept: dict[str, Answer]) -> None:
    rows = demo_lake.read(lake, "downloads").to_pylist()
    for row in rows:
        answer = _followed(row["url"], kept)
        assert row["status"] == _status(answer), row["url"]
        if answer is not None and answer.code == 200:
            assert row["sha256"] == hashlib.sha256(answer.body).hexdigest()
    assert Counter(row["status"] for row in rows) == {"not_archived": 13, "success": 6, "too_small": 4}


def _followed(url: str, kept: dict[str, Answer]) -> Answer | None:
    answer = kept.get(url)
    while answer is not None and answer.location:
        answer = kept.get(urljoin(answer.url, answer.location))
    return answer


def _status(answer: Answer | None) -> str:
    """By the answer's code, length and first bytes alone."""
    if answer is None:
        return "not_archived"
    if answer.code != 200:
        return "http_error"
    if len(answer.body) < MIN_BYTES:
        return "too_small"
    if answer.body.startswith(b"GIF"):
        return "refused_format"
    return "success" if answer.content_type.startswith("image/") else "not_image"


def test_where_the_image_responses_arrive(lake: Lake, seen: list[Link], kept: dict[str, Answer]) -> None:
    """Of 55 pictures in the file, those that a caption asks for are stored if they are large enough."""
    pictures = {url: answer for url, answer in kept.items() if answer.content_type.startswith("image/")}
    assert len(pictures) == demo_lake.counts(lake, "candidates")["note:image_responses"] == 55
    shown: dict[str, set[str]] = {}
    for link in seen:
        shown.setdefault(link.url, set()).add(reason(link))
    arrived: Counter[str] = Counter()
    for url, answer in pictures.items():
        reasons = shown.get(url, {"on no page"})
        arrived[_status(answer) if "" in reasons else min(reasons)] += 1
    assert arrived == {"success": 6, "too_small": 4, "excluded_format": 14, "no_alt": 24, "on no page": 7}
    stored = demo_lake.read(lake, "images", ["url_id"])["url_id"].to_pylist()
    asked = {url for url in pictures if "" in shown.get(url, ())}
    assert len(stored) == arrived["success"]
    assert set(stored) <= {mmh3.hash64(url.encode(), 0, True, True)[0] for url in asked}


def test_pairs_are_embedded_and_scored(lake: Lake) -> None:
    rows = views.query(lake, "select * from pairs").to_pylist()
    for row in rows:
        assert (row["similarity"] is None) == (row["status"] != "success")
        assert (row["punsafe"] is None) == (row["status"] != "success")
        assert row["toxicity"] is not None
    assert len(rows) == 66


def test_the_funnel_adds_up(lake: Lake) -> None:
    rows = views.query(lake, "select * from funnel").to_pylist()
    for stage in {row["stage"] for row in rows}:
        here = [row for row in rows if row["stage"] == stage]
        (came,) = [row["rows"] for row in here if row["outcome"] == "in"]
        assert came == sum(row["rows"] for row in here if row["outcome"] != "in"), stage
    demo_lake.assert_sound(lake)


def wat_links(path: Path) -> list[dict[str, Any]]:
    """Every IMG@/src link of a WAT file in its order: each line that is a JSON object, parsed whole."""
    found = []
    for line in gzip.decompress(path.read_bytes()).split(b"\n"):
        if line.startswith(b"{"):
            payload = json.loads(line)["Envelope"]["Payload-Metadata"].get("HTTP-Response-Metadata", {})
            found += payload.get("HTML-Metadata", {}).get("Links", [])
    return [link for link in found if link["path"] == "IMG@/src"]


@pytest.mark.parametrize("twin", ["repaired", "broken"])
def test_a_wat_file_of_common_crawl(twin: str, client: Client, tmp_path: Path) -> None:
    """The broken twin has other line ends, one gzip member and wrong lengths, and the same links."""
    path = WAT / f"cc-main-2016-50.{twin}.warc.wat.gz"
    every = wat_links(path)
    with_alt = [link for link in every if (link.get("alt") or "").strip()]
    counters = [link for link in with_alt if re.search(r"bigmir|yadro|hit\.ua|top100", link["url"])]
    formats = [link for link in with_alt if link not in counters and re.search(r"\.gif\b", link["url"])]
    left = [link for link in with_alt if link not in counters and link not in formats]
    lake = lakes.init(str(tmp_path / "lake"), TOML)
    sources.add(lake, "wat", [str(path)])
    demo_lake.built(lake, client, ["candidates"])
    found = demo_lake.counts(lake, "candidates")
    assert (found["in"], found["in"] - found["drop:no_alt"]) == (37, 21) == (len(every), len(with_alt))
    assert (found["drop:tracking_pixel"], found["drop:excluded_format"]) == (len(counters), len(formats))
    rows = demo_lake.read(lake, "candidates", ["url", "text"]).to_pylist()
    assert [row["text"] for row in rows] == [html.unescape(link["alt"]).strip() for link in left]
    assert (found["note:records"], found["note:bad_length"]) == ((16, 0) if twin == "repaired" else (16, 1))
    demo_lake.assert_sound(lake)
