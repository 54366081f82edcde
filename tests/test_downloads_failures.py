"""Every way in which a real server can fail a picture ends within its deadline, with its own status."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from downloads_fixtures import JPEG, QUICK, fetched
from webserver import Handler, Page, answer, redirect, reset, serving

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"
LONG = 20.0  # seconds, far beyond every deadline of QUICK


def trickle(head: bytes, piece: bytes, seconds: float) -> Handler:
    """`head`, then `piece` again and again, with a rest of `seconds` between."""

    async def handler(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(seconds)

    return handler


def then(data: bytes, end: Callable[[asyncio.StreamWriter], None] | None) -> Handler:
    """`data`, then `end`; without one, silence."""

    async def handler(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if end is None:
            await asyncio.sleep(LONG)
        else:
            await asyncio.sleep(0.05)  # let the bytes arrive, or a reset would overtake them
            end(writer)

    return handler


def close(writer: asyncio.StreamWriter) -> None:
    writer.close()


BOMB = gzip.compress(bytes(5_000_000))
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
CASES: dict[str, tuple[Page, str, str | None, int | None]] = {
    # name: answer, status, error, http_status
    "silence": (then(b"", None), "timeout", "no data in time", None),
    "half a head": (then(HEAD, None), "timeout", "no data in time", None),
    "slow-loris head": (trickle(HEAD, b"X-A: b\r\n", 0.1), "timeout", "not done in time", None),
    "stalled body": (then(answer(JPEG)[:3000], None), "timeout", "no data in time", 200),
    "slow body": (
        trickle(HEAD + b"\r\n", b"0123456789", 0.1),
        "timeout",
        "under 1000 bytes per second",
        200,
    ),
    "endless body": (trickle(HEAD + b"\r\n", bytes(4_000), 0.1), "timeout", "not done in time", 200),
    "endless fast body": (
        trickle(HEAD + b"\r\n", bytes(50_000), 0),
        "too_large",
        "more than 200000 bytes",
        200,
    ),
    "endless chunks": (
        trickle(CHUNKED, b"4000\r\n" + bytes(0x4000) + b"\r\n", 0),
        "too_large",
        "more than 200000 bytes",
        200,
    ),
    "announced too large": (
        then(answer(length=10_000_000), None),
        "too_large",
        "more than 200000 bytes announced",
        200,
    ),
    "gzip bomb": (
        answer(BOMB, Content_Encoding="gzip"),
        "too_large",
        "more than 200000 bytes once decoded",
        200,
    ),
    "length too long": (then(answer(JPEG, length=50_000), close), "truncated", None, 200),
    "reset in the body": (then(answer(JPEG, length=50_000), reset), "truncated", None, 200),
    "reset in a body without length": (
        then(HEAD + b"\r\n" + JPEG[:9_000], reset),
        "bad_image",
        "JPEG, cut short",
        200,
    ),
    "chunks without end": (then(CHUNKED + b"10\r\n" + bytes(16) + b"\r\n", close), "truncated", None, 200),
    "closed at once": (then(b"", close), "reset", None, None),
    "reset at once": (then(b"", reset), "reset", None, None),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "bad_response", "not a valid HTTP answer", None),
    "huge header": (answer(JPEG, X_Big="x" * 20_000), "bad_response", "not a valid HTTP answer", None),
    "unknown encoding": (
        answer(JPEG, Content_Encoding="br"),
        "bad_response",
        "content encoding is neither gzip nor deflate",
        200,
    ),
    "damaged gzip": (
        answer(JPEG, Content_Encoding="gzip"),
        "bad_response",
        "content encoding is damaged",
        200,
    ),
    "204": (answer(code="204 No Content", Content_Length=""), "http_error", "HTTP 204", 204),
    "206": (answer(JPEG, code="206 Partial Content"), "http_error", "HTTP 206", 206),
    "304": (answer(code="304 Not Modified"), "http_error", "HTTP 304", 304),
    "403": (answer(b"no", code="403 Forbidden"), "http_error", "HTTP 403", 403),
    "404": (answer(b"no", code="404 Not Found"), "http_error", "HTTP 404", 404),
    "500": (answer(b"no", code="500 Oops"), "http_error", "HTTP 500", 500),
    "redirect without Location": (answer(code="302 Found"), "http_error", "HTTP 302", 302),
    "redirect loop": (redirect("/page"), "too_many_redirects", "more than 10 redirects", 302),
    "redirect to a file": (redirect("file:///etc/passwd"), "bad_url", None, 302),
    "redirect to nonsense": (redirect("http://[::"), "bad_url", "redirect to what is not a valid URL", 302),
    "empty": (answer(b""), "too_small", "fewer than 5000 bytes", 200),
    "small": (answer(JPEG[:4_999]), "too_small", "fewer than 5000 bytes", 200),
    "HTML as a picture": (answer(b"<!doctype html><p>sorry" + b" " * 6_000), "not_image", None, 200),
    "truncated JPEG": (answer(JPEG[:-3_000]), "bad_image", "JPEG, cut short", 200),
}


@pytest.mark.parametrize("name", CASES)
def test_failure(name: str) -> None:
    page, status, error, http_status = CASES[name]
    with serving({"/page": page}) as server:
        begin = time.monotonic()
        [row] = fetched(["http://a.test/page"], server, replace(QUICK, retries=0))
    assert time.monotonic() - begin < 10
    assert row["status"] == status
    assert row["http_status"] == http_status
    if error is not None:
        assert row["error"] == error
    assert row["error"]
    assert row["image"] is None
    assert row["fetched_at"] is not None


def test_length_too_short_gives_no_picture() -> None:
    """The rest of the body stands where the next answer would: seen at once or not, by how it arrives."""
    with serving({"/page": then(answer(JPEG, length=6_000), close)}) as server:
        [row] = fetched(["http://a.test/page"], server)
    assert row["status"] in ("bad_image", "bad_response")
    assert row["image"] is None


def test_all_failures_at_once_and_none_keeps_the_others() -> None:
    pages: dict[str | tuple[str, str], Page] = {
        (f"h{i}.test", "/page"): case[0] for i, case in enumerate(CASES.values())
    }
    pages["/ok"] = answer(JPEG)
    urls = [f"http://h{i}.test/{path}" for i in range(len(CASES)) for path in ("page", "ok")]
    with serving(pages) as server:
        rules = replace(QUICK, retries=0, read_seconds=2.0, total_seconds=4.0)  # a busy machine is to keep up
        found = fetched(urls, server, rules)
    assert [row["url"] for row in found] == urls
    assert [row["status"] for row in found[::2]] == [case[1] for case in CASES.values()]
    assert {row["status"] for row in found[1::2]} == {"success"}


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("", "bad_url"),
        ("no url", "bad_url"),
        ("/relative.jpg", "bad_url"),
        ("data:image/png;base64,AAAA", "bad_url"),
        ("javascript:alert(1)", "bad_url"),
        ("ftp://a.test/a.jpg", "bad_url"),
        ("http://", "bad_url"),
        ("http:///a.jpg", "bad_url"),
        ("http://a.test:99999/", "bad_url"),
        ("http://[::1/", "bad_url"),
        (f"http://{'a' * 300}.test/", "bad_url"),
        (f"http://{'a' * 64}.example/", "dns"),
        ("http://a..example/", "dns"),
        ("http://nobody.invalid/", "dns"),
        ("http://a.test:22/", "forbidden_address"),
    ],
)
def test_urls_that_lead_nowhere(url: str, status: str) -> None:
    with serving({}) as server:
        [row] = fetched([url], server)
    assert row["status"] == status


def test_nobody_listens() -> None:
    with serving({}) as server:
        pass
    [row] = fetched(["http://a.test/a.jpg"], server)
    assert (row["status"], row["error"]) == ("connect", "robots.txt: ECONNREFUSED")
