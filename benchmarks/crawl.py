"""A WAT file of any size, made of real records: what benchmarks/candidates.py measures on.

The frame of each record is one of the five real (request, response, metadata) triples in
tests/data/wat/cc-main-2016-50.repaired.warc.wat.gz, with new identifiers and digests. Its links are made
after that file's 124 real ones: the same objects, with new URLs and new texts.
Texts are runs of words of the real pages in archive-org-2008.warc.gz, and names in eleven languages from
the demo's pictures (Unicode CLDR) in LAION-5B's proportion of languages other than English.
"""

from __future__ import annotations

import gzip
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from selectolax.lexbor import LexborHTMLParser

from lakehouse.demo.pictures import carried
from transforms.candidates.records import Record, records
from transforms.candidates.rules import CandidateRules

WAT = Path(__file__).parents[1] / "tests" / "data" / "wat"
_FRESH = re.compile(rb"(?<=urn:uuid:)[0-9a-f-]{36}|(?<=sha1:)[A-Z2-7]{32}")
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@dataclass(frozen=True)
class Spread:
    """The shape of the crawl. A log-normal variable is given by its median and the sigma of its logarithm."""

    seed: int = 1
    # Links per page: the real records have 19 to 36, the pages of 2008 up to 10,000; mean 76.
    links: tuple[float, float] = (55.0, 0.8)
    # Words per alt text: about 50 characters on average; LAION-5B has 67, 52 and 46 by split (laion.ai).
    alt_words: tuple[float, float] = (8.0, 0.5)
    # Words per text or title of another link: 17 characters on average, as on the pages of 2008.
    link_words: tuple[float, float] = (2.8, 0.6)
    # Texts in other languages than English: 2.26 of 5.85 billion in LAION-5B.
    foreign: float = 0.39
    # Images among the links: 0.30 in the five real records, 0.02 on the 140 pages of 2008.
    images: float = 0.2
    # Images left as they are in the real records: logos, counters and beacons that repeat on every page.
    repeated: float = 0.1
    # Forms of new image URLs: on another host, relative to the host, relative to the page, "//host".
    forms: tuple[float, float, float, float] = (0.55, 0.33, 0.07, 0.05)
    # Extensions of new image URLs.
    extensions: tuple[str, ...] = (*["jpg"] * 12, *["png"] * 5, "jpeg", "webp", "gif")
    # Image URLs with a query, their ampersands written as in HTML.
    query: float = 0.15


def write(path: Path, size: int, spread: Spread) -> dict[str, int]:
    """Writes a WAT of at least `size` bytes before compression; returns what it holds, counted."""
    made: Counter[str] = Counter()
    pages = _pages(spread, made)
    with path.open("wb") as file:
        while made["bytes"] < size:
            for record in next(pages):
                made["records"] += 1
                made["bytes"] += len(record)
                made["compressed"] += file.write(gzip.compress(record, mtime=0))
    return dict(made)


def _pages(spread: Spread, made: Counter[str]) -> Iterator[list[bytes]]:
    """The three records of one page after the other."""
    chance = random.Random(spread.seed)
    found = list(records(str(WAT / "cc-main-2016-50.repaired.warc.wat.gz"), CandidateRules(), Counter()))
    at = [i for i, record in enumerate(found) if b'"HTML-Metadata"' in record.body]
    triples = [found[i - 1 : i + 2] for i in at]
    alts, texts = _texts(chance, spread, spread.alt_words), _texts(chance, spread, spread.link_words)
    real = [link for i in at for link in _html(orjson.loads(found[i].body))["Links"]]
    images = [link for link in real if link["path"] == "IMG@/src"]
    others = [link for link in real if link["path"] != "IMG@/src"]
    while True:
        triple = chance.choice(triples)
        site = _Site(chance, alts, texts)
        url = f"http://{site.host}{site.section()}/{site.slug(3)}.html"
        count = int(chance.lognormvariate(0, spread.links[1]) * spread.links[0]) + 1
        kinds = (images if chance.random() < spread.images else others for _ in range(count))
        links = [_link(chance.choice(kind), site, spread, made) for kind in kinds]
        yield [_record(record, url, links, chance) for record in triple]


class _Site:
    """What the URLs and texts of one page have in common."""

    def __init__(self, chance: random.Random, alts: Iterator[str], texts: Iterator[str]) -> None:
        self.chance, self.alts, self.texts = chance, alts, texts
        self.host = f"www.{self.slug(2)}.example"
        self.sections = [f"/{self.slug(1)}/{self.slug(2)}" for _ in range(8)]
        self.media = [f"cdn{chance.randrange(500)}.{self.slug(1)}.example", self.host]

    def section(self) -> str:
        """One of the site's few folders."""
        return self.chance.choice(self.sections)

    def slug(self, words: int) -> str:
        """Part of a URL: `words` words of ASCII letters and digits."""
        found: list[str] = []
        while len(found) < words:
            found += re.findall("[a-z0-9]{3,12}", next(self.texts).lower())[:words]
        return "-".join(found[:words])


def _record(record: Record, url: str, links: list[dict[str, Any]], chance: random.Random) -> bytes:
    """`record` as a member of another page: the same frame around another URL and other links."""
    old = record.url.encode() if record.url else b""
    body = orjson.loads(record.body.replace(old, url.encode()))
    if b'"HTML-Metadata"' in record.body:
        _html(body)["Links"] = links
    block = orjson.dumps(body)
    head = record.header.replace(old, url.encode()).rstrip()
    head = re.sub(rb"(?<=Content-Length: )\d+", b"%d" % len(block), head)
    whole = head + b"\r\n\r\n" + block + b"\r\n\r\n"
    return _FRESH.sub(lambda match: _identifier(len(match[0]), chance), whole)


def _identifier(length: int, chance: random.Random) -> bytes:
    if length == 32:
        return "".join(chance.choices(_BASE32, k=32)).encode()
    digits = f"{chance.getrandbits(128):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])).encode()


def _html(body: dict[str, Any]) -> dict[str, Any]:
    html: dict[str, Any] = body["Envelope"]["Payload-Metadata"]["HTTP-Response-Metadata"]["HTML-Metadata"]
    return html


def _link(real: dict[str, Any], site: _Site, spread: Spread, made: Counter[str]) -> dict[str, Any]:
    """A link like `real`, with other texts and another URL."""
    image = real["path"] == "IMG@/src"
    if image:
        made["images"] += 1
        made["alts"] += bool(real.get("alt"))
        if site.chance.random() < spread.repeated:
            return real
    # equal texts of a link, such as text and title, stay equal
    texts = {
        value: next(site.alts if image else site.texts)
        for key, value in real.items()
        if key in ("alt", "text", "title") and value
    }
    link = {key: texts.get(value, value) for key, value in real.items()}
    link["url"] = _image(site, spread) if image else f"{site.section()}/{site.slug(2)}"
    return link


def _image(site: _Site, spread: Spread) -> str:
    chance = site.chance
    name = f"{site.slug(2)}-{chance.randrange(10**6)}.{chance.choice(spread.extensions)}"
    if chance.random() < spread.query:
        name += f"?w={chance.randrange(100, 2000)}&amp;h={chance.randrange(100, 2000)}"
    path = f"//{chance.choice(site.media)}{site.section()}/{name}"
    forms = f"https:{path}", f"{site.section()}/{name}", name, path
    return chance.choices(forms, spread.forms)[0]


def _texts(chance: random.Random, spread: Spread, words: tuple[float, float]) -> Iterator[str]:
    """Texts without end."""
    english, foreign = _words(), _names()
    median, sigma = words
    while True:
        count = max(1, int(median * chance.lognormvariate(0, sigma)))
        if chance.random() < spread.foreign:
            names = chance.choice(foreign)
            yield " ".join(chance.choice(names) for _ in range((count + 1) // 2))
        else:
            start = chance.randrange(len(english) - count)
            yield " ".join(english[start : start + count])


def _words() -> list[str]:
    """The words of the real pages of 2008, in their order."""
    words: list[str] = []
    for record in records(str(WAT / "archive-org-2008.warc.gz"), CandidateRules(), Counter()):
        head, _, html = record.body.partition(b"\r\n\r\n")
        if record.field(b"WARC-Type") == b"response" and b"text/html" in head:
            body = LexborHTMLParser(html).body
            words += body.text(separator=" ").split() if body else []
    return words


def _names() -> list[list[str]]:
    """The names of the demo's pictures, a list per language other than English."""
    pictures = carried()
    return [
        [picture.names[language] for picture in pictures if language in picture.names]
        for language in sorted({language for picture in pictures for language in picture.names} - {"en"})
    ]
