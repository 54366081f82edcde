"""Any alt text and any URL come through a crawl file into a row, or are counted."""

import gzip
import json
from pathlib import Path

from crawl_units import counts, data, extracted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transforms.candidates import keys

STRINGS = st.text() | st.text(st.sampled_from('{}[]",:\\/ &;\n\x00\ud800ü😀'), max_size=12)
VALUES = STRINGS | st.none() | st.integers() | st.lists(STRINGS, max_size=2)
LINKS = st.lists(
    st.fixed_dictionaries(
        {"path": st.sampled_from(["IMG@/src", "A@/href", "IMG@/longdesc"])},
        optional={"url": VALUES | STRINGS.map("http://a.example/{}".format), "alt": VALUES, "title": VALUES},
    )
    .map(lambda link: list(link.items()))
    .flatmap(st.permutations)
    .map(dict),
    max_size=8,
)
NO_DEADLINE = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def record(body: bytes) -> bytes:
    head = b"WARC/1.0\r\nWARC-Type: metadata\r\nWARC-Target-URI: http://a.example/b/c.html\r\n"
    return head + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s\r\n\r\n" % (
        len(body),
        body,
    )


def wat(links: object, ascii_only: bool, compact: bool) -> bytes:
    html = {"HTML-Metadata": {"Links": links, "Head": {"Title": "x"}}}
    body = {"Envelope": {"Payload-Metadata": {"HTTP-Response-Metadata": html}}}
    separators = (",", ":") if compact else (", ", ": ")
    text = json.dumps(body, ensure_ascii=ascii_only, separators=separators)
    return gzip.compress(record(text.encode("utf-8", "surrogatepass")))


@settings(parent=NO_DEADLINE, max_examples=200)
@given(LINKS, st.booleans(), st.booleans())
def test_any_links(tmp_path_factory, links: list[dict], ascii_only: bool, compact: bool) -> None:
    path = tmp_path_factory.getbasetemp() / "any.warc.wat.gz"
    path.write_bytes(wat(links, ascii_only, compact))
    frame = extracted(path, "wat")
    found = counts(frame)
    images = [link for link in links if link["path"] == "IMG@/src"]
    assert found.get("in", 0) == len(images)
    assert "note:bad_json" not in found
    for row in data(frame):
        link = images[row["position"]]
        assert isinstance(link["alt"], str)
        assert row["sample_id"] == keys.sample_id(row["url"], row["text"])
        assert row["url_id"] == keys.url_id(row["url"])
    # a plain pair comes through as it is
    plain = [
        (link["url"], link["alt"], place)
        for place, link in enumerate(images)
        if str(link.get("url")).startswith("http://a.example/") and link["url"][17:].isalnum()
        if link["url"].isascii() and isinstance(link.get("alt"), str)
        if link["alt"].isascii() and link["alt"].replace(" ", "").isalnum() and len(link["alt"].strip()) > 4
    ]
    rows = {row["position"]: (row["url"], row["text"], row["position"]) for row in data(frame)}
    assert [rows[place] for *_, place in plain] == [(url, alt.strip(), place) for url, alt, place in plain]


@settings(parent=NO_DEADLINE, max_examples=150)
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_bytes_in_the_json(tmp_path_factory, alt: bytes, url: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.warc.wat.gz"
    link = b'{"alt":"%s","path":"IMG@/src","url":"http://a.example/%s"}' % (alt, url)
    good = b'{"path":"IMG@/src","url":"http://a.example/good","alt":"good caption"}'
    html = b'{"HTML-Metadata":{"Links":[%s,%s,%s]}}' % (good, link, good)
    body = b'{"Envelope":{"Payload-Metadata":{"HTTP-Response-Metadata":%s}}}' % html
    path.write_bytes(gzip.compress(record(body)))
    frame = extracted(path, "wat")
    found = counts(frame)
    goods = [row for row in data(frame) if row["url"] == "http://a.example/good"]
    # bytes that break the JSON may take a neighbour with them, but then they are counted
    assert len(goods) == 2 or found["note:bad_json"] == 1 or {'"', "\\"} & set(map(chr, alt + url))
    assert found["in"] >= 3 or found.get("note:bad_json") == 1


@settings(parent=NO_DEADLINE, max_examples=150)
@given(
    st.binary(max_size=200),
    st.binary(max_size=60).filter(lambda raw: b">" not in raw),
    st.sampled_from([b"text/html", b"text/html; charset=utf-8", b"text/html; charset=shift_jis"]),
    st.sampled_from([b"", b"Content-Encoding: gzip\r\n", b"Transfer-Encoding: chunked\r\n"]),
)
def test_any_bytes_in_the_html(
    tmp_path_factory, junk: bytes, alt: bytes, content_type: bytes, coding: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.warc"
    page = b"<html><body>%s<p><img src=/1.jpg alt='%s'>" % (junk, alt)
    http = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n%s\r\n%s" % (content_type, coding, page)
    head = b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a.example/\r\n"
    path.write_bytes(head + b"Content-Length: %d\r\n\r\n%s\r\n\r\n" % (len(http), http))
    found = counts(extracted(path, "warc"))
    assert (found["note:records"], found["note:pages"]) == (1, 1)


@settings(parent=NO_DEADLINE, max_examples=100)
@given(st.binary(max_size=300), st.booleans(), st.integers(0, 3))
def test_any_bytes_between_records(tmp_path_factory, junk: bytes, compressed: bool, place: int) -> None:
    path: Path = tmp_path_factory.getbasetemp() / "between.warc.wat"
    link = {"path": "IMG@/src", "url": "http://a.example/1.jpg", "alt": "good caption"}
    members = [wat([link], True, True) for _ in range(3)]
    if not compressed:
        members = [gzip.decompress(member) for member in members]
    path.write_bytes(b"".join([*members[:place], junk, *members[place:]]))
    found = counts(extracted(path, "wat"))
    # junk that does not end its line takes the first line of the record after it along
    assert found["in"] >= (3 if compressed or place == 3 else 2)
