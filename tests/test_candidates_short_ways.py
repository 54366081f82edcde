"""What is read by a shorter way, because it is in order, is what the way for any state finds in it."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest
from crawl_units import RULES, WAT, counts, data, extracted
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from transforms.candidates.records import records

STRINGS = st.text(max_size=12) | st.text(st.sampled_from('{}[]",:\\/ &;\n\x00\ud800ü'), max_size=8)
URLS = STRINGS | STRINGS.map("http://a.example/{}".format)
LINKS = st.lists(
    st.fixed_dictionaries(
        {"path": st.sampled_from(["IMG@/src", "A@/href"]), "url": URLS},
        optional={"alt": STRINGS, "title": STRINGS, "text": STRINGS},
    ),
    max_size=6,
)
ORDERS = (("path", "url", "text", "alt", "title"), ("text", "alt", "title", "path", "url"))


def record(body: bytes) -> bytes:
    head = b"WARC/1.0\r\nWARC-Type: metadata\r\nWARC-Target-URI: http://a.example/b/c.html\r\n"
    fields = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    return head + fields + body + b"\r\n\r\n"


def rows(path: Path, links: list, base: str | None, spaced: bool) -> list[dict]:
    head = {"Title": "x"} if base is None else {"Title": "x", "Base": base}
    html = {"HTML-Metadata": {"Links": links, "Head": head}}
    body = {"Envelope": {"Payload-Metadata": {"HTTP-Response-Metadata": html}}}
    text = json.dumps(body, ensure_ascii=False, separators=(", ", ": ") if spaced else (",", ":"))
    path.write_bytes(gzip.compress(record(text.encode("utf-8", "surrogatepass"))))
    frame = extracted(path, "wat")
    found = counts(frame)
    found.pop("note:repaired_json", None)  # a shorter way does not see what it need not repair
    return [*data(frame), found]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(LINKS, st.sampled_from([None, "http://b.example/d/"]))
@example(
    [{"path": "IMG@/src", "url": "http://a.example/1.jpg?a=1&amp;b=2", "alt": "caption 1", "title": "t"}],
    None,
)
@example([{"path": "IMG@/src", "url": "//b.example/1.jpg", "alt": 'a \\ "caption"\n'}] * 2, None)
def test_the_way_links_are_written_does_not_matter(tmp_path: Path, links: list, base: str | None) -> None:
    # only compact JSON has a shorter way
    first, *others = (
        rows(
            tmp_path / "x.gz",
            [{key: link[key] for key in order if key in link} for link in links],
            base,
            spaced,
        )
        for order in ORDERS
        for spaced in (False, True)
    )
    assert all(other == first for other in others)


@pytest.mark.parametrize(
    "name", ["cc-main-2016-50.repaired.warc.wat.gz", "whirlwind.warc.gz", "archive-org-2008.warc.gz"]
)
@pytest.mark.parametrize(
    "rest", [gzip.compress(b"no record", mtime=0), b"no gzip", gzip.compress(b"x" * 99, mtime=0)[:-9]]
)
def test_what_comes_before_damage_is_what_an_undamaged_file_gives(
    tmp_path: Path, name: str, rest: bytes
) -> None:
    damaged = tmp_path / name
    damaged.write_bytes((WAT / name).read_bytes() + rest)
    notes: Counter[str] = Counter()
    found = [tuple(each) for each in records(str(damaged), RULES, notes)]
    assert [tuple(each) for each in records(str(WAT / name), RULES, Counter())] == found
    assert notes["bad_gzip"] + notes["bad_record"] >= 1


def test_records_larger_than_what_is_read_at_a_time(tmp_path: Path) -> None:
    sizes = [10, 3_000_000, 1 << 20, (1 << 20) - 4, 0, 7]
    bodies = [bytes([65 + i]) * size for i, size in enumerate(sizes)]
    for place, pack in ((tmp_path / "x.gz", gzip.compress), (tmp_path / "x.warc", bytes)):
        place.write_bytes(b"".join(pack(record(body)) for body in bodies))
        notes: Counter[str] = Counter()
        assert [found.body for found in records(str(place), RULES, notes)] == bodies
        assert notes == {"records": 6}
