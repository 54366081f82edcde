"""A damaged crawl file yields all that can be read of it, and an account of the rest."""

import gzip
import json
import re
import tracemalloc
from pathlib import Path

import pytest
from crawl_units import WAT, counts, data, extracted

from transforms.candidates import UnreadableUnit

RAW = gzip.decompress((WAT / "cc-main-2016-50.repaired.warc.wat.gz").read_bytes())
RECORDS = [record for record in re.split(rb"(?=WARC/1\.0\r\n)", RAW) if record]
MEMBERS = [gzip.compress(record, mtime=0) for record in RECORDS]
PAGE = 3  # a record with 7 images
IMAGES = [record.count(b'"IMG@/src"') for record in RECORDS]


def run(path: Path, content: bytes, kind: str = "wat") -> dict[str, int]:
    path.write_bytes(content)
    return counts(extracted(path, kind))


def swapped(record: bytes, compressed: bool = True) -> bytes:
    """The file with `record` in the place of the page."""
    if compressed:
        return b"".join([*MEMBERS[:PAGE], gzip.compress(record), *MEMBERS[PAGE + 1 :]])
    return b"".join([*RECORDS[:PAGE], record, *RECORDS[PAGE + 1 :]])


def with_length(change: int) -> bytes:
    return re.sub(
        rb"Content-Length: (\d+)", lambda m: b"Content-Length: %d" % (int(m[1]) + change), RECORDS[PAGE]
    )


def test_the_file_is_as_expected() -> None:
    assert (len(RECORDS), sum(IMAGES), IMAGES[PAGE]) == (16, 37, 7)


@pytest.mark.parametrize(
    "content", [RAW, gzip.compress(RAW, mtime=0), b"".join(MEMBERS), RAW.replace(b"\r\n", b"\n")]
)
def test_framing_does_not_matter(tmp_path: Path, content: bytes) -> None:
    found = run(tmp_path / "x.warc.wat.gz", content)
    assert found["in"] == 37
    assert not [name for name in found if "bad" in name]


@pytest.mark.parametrize("at", [0, 500, -6], ids=["magic", "data", "checksum"])
def test_a_bad_member_costs_itself_only(tmp_path: Path, at: int) -> None:
    bad = bytearray(MEMBERS[PAGE])
    bad[at] ^= 0xFF
    found = run(tmp_path / "x.gz", b"".join([*MEMBERS[:PAGE], bytes(bad), *MEMBERS[PAGE + 1 :]]))
    assert found["note:bad_gzip"] == 1
    assert found["note:records"] == 15
    assert found["in"] == 37 - IMAGES[PAGE]


@pytest.mark.parametrize("place", [0, PAGE, 16])
def test_garbage_between_members(tmp_path: Path, place: int) -> None:
    garbage = b"\x00" + b"Bandwidth exceeded\r\n" * 5_000
    found = run(tmp_path / "x.gz", b"".join([*MEMBERS[:place], garbage, *MEMBERS[place:]]))
    assert (found["in"], found["note:bad_gzip"]) == (37, 1)


def test_truncated_last_member(tmp_path: Path) -> None:
    found = run(tmp_path / "x.gz", b"".join(MEMBERS)[:-600])
    assert found["note:bad_gzip"] == 1
    assert found["note:bad_json"] == 1
    # the other pages' images, and those of the last page before the cut
    assert 37 - IMAGES[-1] < found["in"] < 37


@pytest.mark.parametrize("change", [100, len(RECORDS[PAGE + 1]), 10**9, -700])
@pytest.mark.parametrize("compressed", [True, False])
def test_wrong_content_length_swallows_nothing(tmp_path: Path, change: int, compressed: bool) -> None:
    found = run(tmp_path / "x.gz", swapped(with_length(change), compressed))
    assert (found["in"], found["note:records"], found["note:bad_length"]) == (37, 16, 1)


def test_no_content_length(tmp_path: Path) -> None:
    record = re.sub(rb"Content-Length: \d+\r\n", b"", RECORDS[PAGE])
    found = run(tmp_path / "x.warc.wat", swapped(record, compressed=False))
    assert (found["in"], found["note:records"], found["note:bad_length"]) == (37, 16, 1)


def test_a_record_without_its_first_line(tmp_path: Path) -> None:
    found = run(tmp_path / "x.warc.wat", swapped(RECORDS[PAGE][8:], compressed=False))
    assert (found["note:records"], found["note:bad_record"], found["in"]) == (15, 1, 37 - IMAGES[PAGE])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b'<?xml version="1.0"?><Error><Code>SlowDown</Code></Error>', "Error"),
        (b"<html><title>503</title></html>" * 10_000, "<html>"),
        (gzip.compress(b"not a crawl file", mtime=0), "no WARC record"),
    ],
)
def test_no_crawl_file(tmp_path: Path, content: bytes, says: str) -> None:
    for kind in ("wat", "warc"):
        with pytest.raises(UnreadableUnit, match=says) as raised:
            run(tmp_path / "x.warc.gz", content, kind)
        assert str(tmp_path / "x.warc.gz") in str(raised.value)
        assert "fetch it again" in str(raised.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        extracted(tmp_path / "none.warc.wat.gz", "wat")


@pytest.mark.parametrize("compressed", [True, False])
def test_a_record_bomb_is_skipped_in_little_memory(tmp_path: Path, compressed: bool) -> None:
    size = 100_000_000
    bomb = b"WARC/1.0\r\nWARC-Type: metadata\r\nContent-Length: %d\r\n\r\n%s\r\n\r\n" % (size, b"a" * size)
    content = b"".join([*MEMBERS[:PAGE], gzip.compress(bomb, 1), *MEMBERS[PAGE:]])
    if not compressed:
        content = b"".join([*RECORDS[:PAGE], bomb, *RECORDS[PAGE:]])
    path = tmp_path / "x.warc.wat"
    path.write_bytes(content)
    del bomb, content
    run(tmp_path / "first", RECORDS[PAGE])  # what is loaded for the first file is not its memory
    tracemalloc.start()
    found = counts(extracted(path, "wat"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found["in"], found["note:oversized_record"]) == (37, 1)
    assert peak < 60_000_000


def page(links: object) -> bytes:
    """A WAT record, in the form of Common Crawl's, of a page with `links`."""
    html = {"Head": {"Title": "x"}, "Links": links}
    body = {"Envelope": {"Payload-Metadata": {"HTTP-Response-Metadata": {"HTML-Metadata": html}}}}
    return record(json.dumps(body, separators=(",", ":")).encode())


def record(body: bytes) -> bytes:
    head = b"WARC/1.0\r\nWARC-Type: metadata\r\nWARC-Target-URI: http://a.example/b/c.html\r\n"
    return head + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s\r\n\r\n" % (
        len(body),
        body,
    )


def image(**fields: object) -> dict[str, object]:
    return {"path": "IMG@/src", "url": "d.jpg", "alt": "a good caption", **fields}


@pytest.mark.parametrize(
    "broken",
    [b"L\xefveInternet", b"\\ud800Internet", b"Live\x00Internet"],
    ids=["latin-1", "lone surrogate", "NUL byte"],
)
def test_bad_characters_are_repaired(tmp_path: Path, broken: bytes) -> None:
    found = run(tmp_path / "x.gz", swapped(RECORDS[PAGE].replace(b"LiveInternet", broken)))
    assert (found["in"], found["note:repaired_json"]) == (37, 1)


@pytest.mark.parametrize(
    ("old", "new", "lost"),
    [
        (b'"alt":"LiveInternet"', b'"alt":"LiveInternet', 1),
        (b'"alt":"LiveInternet"', b'"alt":LiveInternet"', 1),
        (b'"url":"//mc.yandex.ru', b'"url" "//mc.yandex.ru', 1),
        (b'"Links":[', b'"Links":[{"path":"IMG@/src","url":"x"]},', 0),
    ],
)
def test_bad_json_keeps_the_images_that_are_whole(tmp_path: Path, old: bytes, new: bytes, lost: int) -> None:
    assert RECORDS[PAGE].count(old) == 1
    found = run(tmp_path / "x.gz", swapped(RECORDS[PAGE].replace(old, new)))
    assert (found["in"], found["note:bad_json"]) == (37 - lost, 1)


def test_a_fault_beside_the_images_costs_nothing(tmp_path: Path) -> None:
    record = RECORDS[PAGE].replace(b'"Links":[', b'"Links":[]]')
    assert record != RECORDS[PAGE]
    assert run(tmp_path / "x.gz", swapped(record))["in"] == 37


def test_links_of_wrong_types(tmp_path: Path) -> None:
    links = [
        image(alt=None),
        image(alt=12),
        image(alt=["a", "list"]),
        image(url=None),
        image(url=7),
        image(url=""),
        {"path": "IMG@/src"},
        {"path": ["IMG@/src"], "alt": "not an image link"},
        "IMG@/src",
        None,
        image(),
    ]
    path = tmp_path / "x.gz"
    records = [page(links), page({"a": "IMG@"}), page("IMG@"), page(None), record(b'["IMG@"]'), record(b"")]
    path.write_bytes(b"".join(map(gzip.compress, records)))
    frame = extracted(path, "wat")
    assert counts(frame) | {"note:pages": 4} == {
        "in": 8,
        "drop:no_alt": 2,
        "drop:bad_text": 2,
        "drop:no_url": 2,
        "drop:bad_url": 1,
        "note:records": 6,
        "note:pages": 4,
    }
    assert [row["url"] for row in data(frame)] == ["http://a.example/b/d.jpg"]


def test_pages_without_links_are_counted(tmp_path: Path) -> None:
    body = {"Envelope": {"Payload-Metadata": {"HTTP-Response-Metadata": {"HTML-Metadata": {}}}}}
    path = tmp_path / "x.gz"
    found = run(path, gzip.compress(record(json.dumps(body).encode())) + gzip.compress(page([image()])))
    assert (found["note:no_links"], found["note:pages"], found["in"]) == (1, 2, 1)


def test_ten_megabytes_of_alt(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(page([image(alt="long & wide, " * 800_000), image()])))
    frame = extracted(path, "wat")
    assert [len(row["text"]) for row in data(frame)] == [2_000, len("a good caption")]
    assert counts(frame)["in"] == 2
