"""The compiled way through WAT files finds what the long way finds: the same rows and counts."""

import gzip
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from crawl_units import RULES, WAT
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from transforms.candidates import columnar, wat
from transforms.candidates.links import Tally, batches
from transforms.candidates.rules import CandidateRules

PIECES = (
    *("http://", "https://", "//", "/", "a.example", "A.example", "b..c", "-x", ":80", ":12345", "..", "./"),
    *("?", "#", "&amp;", "&amp;amp;", "&#38;", ";", ".gif", ".svgz", "x.jpg", "tr?", "1x1.png", "@", "%20"),
    *("quantserve.com", "data:", "ü", " ", "\\", '"', "}", '"}', '{"', "\n", "\t", "\x00", "\x7f", "\u3000"),
    *("\u2003", "\xa0", "文", "\ud800", "caption"),
)
TEXTS = st.lists(st.sampled_from(PIECES), max_size=6).map("".join) | st.text(max_size=8)
VALUES = TEXTS | st.sampled_from([None, 1, ["x"], {"path": "IMG@/src"}])
LINKS = st.lists(
    st.fixed_dictionaries(
        {"path": st.sampled_from(["IMG@/src", "IMG@/src", "A@/href", "IMG@/longdesc"])},
        optional={"url": VALUES, "alt": VALUES, "title": TEXTS, "text": TEXTS},
    ).flatmap(lambda link: st.permutations(list(link.items())).map(dict)),
    max_size=5,
)
PAGES = st.sampled_from(
    [
        "http://a.example/b/c.html",
        "https://a.example:81/",
        "http://a.example",
        "http://a.example/?u=http://b.example/",
        "http://A.example/b/./c",
        "<http://a.example/b>",
        "http://ü.example/b",
        "dns:x",
        "",
    ]
)


def record(url: str, body: bytes) -> bytes:
    head = f"WARC/1.0\r\nWARC-Type: metadata\r\nWARC-Target-URI: {url}\r\n".encode()
    return b"%sContent-Length: %d\r\n\r\n%s\r\n\r\n" % (head, len(body), body)


def body(links: list, head: dict, ascii_only: bool) -> bytes:
    html = {"HTML-Metadata": {"Links": links, "Head": head}}
    data = {"Envelope": {"Payload-Metadata": {"HTTP-Response-Metadata": html}}}
    text = json.dumps(data, ensure_ascii=ascii_only, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def both(path: Path, rules: CandidateRules) -> tuple[list, list]:
    """Rows and counts by the quick way, and by the long one."""
    found = []
    for quick in (True, False):
        notes: Counter[str] = Counter()
        tally = Tally()
        if quick:
            tables = list(columnar.links(str(path), rules, notes, tally))
        else:
            tables = list(batches(wat.pages(str(path), rules, notes), rules, tally))
        rows = pa.concat_tables(tables).sort_by("position").to_pylist()
        found.append([rows, tally.images, dict(+tally.drops), dict(+notes)])
    return found[0], found[1]


RELAXED = replace(RULES, excluded_extensions=(), tracking_hosts=(), tracking_paths=(), max_url_chars=30)
UNKNOWN_TO_RE2 = replace(RULES, tracking_paths=(r"/(?=x)x\.jpg",), excluded_substrings=("tr?",))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(
    st.lists(
        st.tuples(
            PAGES,
            LINKS,
            st.sampled_from([{}, {}, {"Title": "creativecommons.org"}, {"Base": "/d/"}]),
            st.booleans(),
        ),
        max_size=4,
    ),
    st.sampled_from([RULES, RELAXED, UNKNOWN_TO_RE2]),
)
@example(
    [("http://a.example/b", [{"path": "IMG@/src", "url": "x.jpg?a&amp;amp;b", "alt": "\u3000"}], {}, False)],
    RULES,
)
@example([("http://a.example/b", [{"path": "IMG@/src", "url": "x.jpg", "alt": '"}'}], {}, False)], RULES)
def test_any_links_of_any_page(tmp_path: Path, pages: list, rules: CandidateRules) -> None:
    records = [record(url, body(links, head, ascii_only)) for url, links, head, ascii_only in pages]
    path = tmp_path / "x.gz"
    path.write_bytes(b"".join(map(gzip.compress, [record("", b""), *records])))
    quick, slow = both(path, rules)
    assert quick == slow


BODY = body(
    [
        {"alt": "a caption ü", "path": "IMG@/src", "url": "http://b.example/1.jpg?a=1&amp;b=2"},
        {"path": "IMG@/src", "url": "../2.jpg", "alt": 'the "other"'},
    ],
    {},
    False,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(BODY)), st.integers(0, 3), st.binary(max_size=3)), max_size=3))
@example([(82, 2, b"a\xc3"), (195, 0, b"}")])  # a URL that begins with a brace, in what is no JSON as a whole
@example([(124, 2, b"}")])  # a key that does
def test_any_damage_to_the_bytes(tmp_path: Path, cuts: list[tuple[int, int, bytes]]) -> None:
    damaged = BODY
    for at, width, put in cuts:
        damaged = damaged[:at] + put + damaged[at + width :]
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(record("http://a.example/b/c.html", damaged)) * 2)
    quick, slow = both(path, RULES)
    assert quick == slow


@pytest.mark.parametrize("path", sorted(WAT.glob("*.wat.gz")), ids=lambda path: path.name)
def test_real_files(path: Path) -> None:
    quick, slow = both(path, RULES)
    assert quick == slow


def test_most_links_of_real_pages_go_the_quick_way() -> None:
    from transforms.candidates import compiled
    from transforms.candidates.records import blocks

    ready = total = 0
    for block in blocks(str(WAT / "cc-main-2016-50.repaired.warc.wat.gz"), RULES, Counter()):
        fates = compiled.scan(block.data, block.records, 2_000, 60)[1][:, compiled.FATE]
        ready += int((fates == compiled.READY).sum())
        total += len(fates)
    assert total == 37  # the file's images, as counted in tests of crawl files
    assert ready >= 15


def test_more_links_and_records_than_there_is_room_for_at_first(tmp_path: Path) -> None:
    images = [{"path": "IMG@/src", "url": f"{i}.jpg", "alt": f"caption {i}"} for i in range(9_000)]
    path = tmp_path / "x.gz"
    many = record("http://a.example/b", body(images, {}, False)) + record("", b"") * 9_000
    path.write_bytes(gzip.compress(many))
    quick, slow = both(path, RULES)
    assert quick == slow
    assert (quick[0][-1]["url"], quick[3]["records"]) == ("http://a.example/8999.jpg", 9_001)
