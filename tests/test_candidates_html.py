"""HTML comes out of its HTTP coding and its character set before its images are read."""

import gzip
import zlib
from pathlib import Path

import pytest
from crawl_units import counts, data, extracted


def warc(path: Path, body: bytes, *fields: str) -> Path:
    http = "\r\n".join(["HTTP/1.1 200 OK", *fields, "", ""]).encode() + body
    head = b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: <http://a.example/b/>\r\n"
    path.write_bytes(head + b"Content-Length: %d\r\n\r\n%s\r\n\r\n" % (len(http), http))
    return path


def chunked(body: bytes) -> bytes:
    parts = [body[i : i + 7] for i in range(0, len(body), 7)]
    return b"".join(b"%x;ext=1\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


TEXT = "Привет, мир: картинка"
PAGE = f"<html><img src=c.jpg alt='{TEXT}'>".encode()
RAW_DEFLATE = zlib.compressobj(wbits=-15)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (PAGE, []),
        (gzip.compress(PAGE, mtime=0), ["Content-Encoding: gzip"]),
        (zlib.compress(PAGE), ["Content-Encoding: deflate"]),
        (RAW_DEFLATE.compress(PAGE) + RAW_DEFLATE.flush(), ["Content-Encoding: deflate"]),
        (chunked(PAGE), ["Transfer-Encoding: chunked"]),
        (chunked(gzip.compress(PAGE, mtime=0)), ["Transfer-Encoding: chunked", "content-encoding: GZIP"]),
        (PAGE, ["Transfer-Encoding: chunked", "Content-Encoding: gzip"]),  # decoded by the crawler already
    ],
)
def test_codings(tmp_path: Path, body: bytes, fields: list[str]) -> None:
    (row,) = data(extracted(warc(tmp_path / "x.warc", body, "Content-Type: text/html", *fields), "warc"))
    assert (row["url"], row["text"]) == ("http://a.example/b/c.jpg", TEXT)
    assert row["page_url"] == "http://a.example/b/"


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip"])
def test_unknown_or_broken_codings_are_counted(tmp_path: Path, coding: str) -> None:
    path = warc(tmp_path / "x.warc", b"\x8b" * 90, "Content-Type: text/html", f"Content-Encoding: {coding}")
    assert counts(extracted(path, "warc")) == {"note:records": 1, "note:pages": 1, "note:bad_http": 1}


@pytest.mark.parametrize(
    ("encoding", "header", "meta"),
    [
        ("utf-8", "", ""),
        ("utf-8-sig", "; charset=windows-1251", ""),
        ("utf-16", "", ""),
        ("cp1251", "; charset=windows-1251", ""),
        ("cp1251", '; charset="Windows-1251"', "<meta charset=utf-8>"),
        ("koi8-r", "", '<meta http-equiv="Content-Type" content="text/html; charset=koi8-r">'),
        ("utf-8", "", "<meta charset=utf-16>"),
        ("utf-8", "; charset=idna", "<meta charset=rot13>"),
        ("gb18030", "; charset=gb2312", ""),
        ("cp932", "", "<meta charset='Shift_JIS'>"),
    ],
)
def test_character_sets(tmp_path: Path, encoding: str, header: str, meta: str) -> None:
    body = f"{meta}<img src=c.jpg alt='{TEXT}'>".encode(encoding)
    frame = extracted(warc(tmp_path / "x.warc", body, f"Content-Type: text/html{header}"), "warc")
    assert [row["text"] for row in data(frame)] == [TEXT]


def test_latin_1_is_windows_1252(tmp_path: Path) -> None:
    body = b"<img src=c.jpg alt='\x93caf\xe9\x94 \x80 5'>"
    frame = extracted(warc(tmp_path / "x.warc", body, "Content-Type: text/html; charset=iso-8859-1"), "warc")
    assert [row["text"] for row in data(frame)] == ['"café" € 5']


def test_what_a_browser_does_not_show_is_no_image(tmp_path: Path) -> None:
    body = (
        b"<!-- <img src=1.jpg alt='in a comment'> --><script>'<img src=2.jpg alt=script>'</script>"
        b"<textarea><img src=3.jpg alt='as text'></textarea><noscript><img src=4.jpg alt='without script'>"
        b"</noscript><IMG SRC=5.jpg ALT=capitals><img src=6.jpg alt><img alt='no source'>"
    )
    frame = extracted(warc(tmp_path / "x.warc", body, "Content-Type: text/html"), "warc")
    assert [(row["text"], row["position"]) for row in data(frame)] == [("without script", 0), ("capitals", 1)]
    assert counts(frame) == {
        "in": 4,
        "drop:no_alt": 1,
        "drop:no_url": 1,
        "note:records": 1,
        "note:pages": 1,
    }


@pytest.mark.parametrize(
    ("links", "found"),
    [
        (
            "<a href='https://creativecommons.org/licenses/by/4.0/'>",
            "https://creativecommons.org/licenses/by/4.0/",
        ),
        (
            "<a href='//creativecommons.org/licenses/by/2.0/'><link rel='License' "
            "href='http://creativecommons.org/publicdomain/zero/1.0/'>",
            "http://creativecommons.org/publicdomain/zero/1.0/",
        ),
        ("<a href='https://share.example/?u=https://creativecommons.org/licenses/by/4.0/'>", None),
        ("<a href='https://creativecommons.org/about/'>", None),
        ("<p>https://creativecommons.org/licenses/by/4.0/", None),
        (
            f"<a href='https://creativecommons.org/licenses/{'x' * 90}'>",
            f"https://creativecommons.org/licenses/{'x' * 43}",
        ),
    ],
)
def test_license(tmp_path: Path, links: str, found: str | None) -> None:
    path = warc(tmp_path / "x.warc", links.encode() + PAGE, "Content-Type: text/html; charset=utf-8")
    assert [row["license"] for row in data(extracted(path, "warc"))] == [found]
