"""robots.txt as RFC 9309 says: asked once per host, first, and believed."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import replace

import pytest
from downloads_fixtures import JPEG, PATIENT, QUICK, fetched
from webserver import Page, answer, redirect, reset, serving

ALLOWED = "success"
DENIED = "robots_disallowed"


def text(body: str | bytes, **headers: str) -> bytes:
    return answer(body.encode() if isinstance(body, str) else body, Content_Type="text/plain", **headers)


@pytest.mark.parametrize(
    ("robots", "status"),
    [
        (answer(code="404 Not Found"), ALLOWED),
        (answer(code="401 Unauthorized"), ALLOWED),
        (answer(code="403 Forbidden"), ALLOWED),
        (answer(code="500 Oops"), DENIED),
        (answer(code="503 Busy"), DENIED),
        (text(""), ALLOWED),
        (text("User-agent: *\nDisallow: /"), DENIED),
        (text("User-agent: *\nDisallow:"), ALLOWED),
        (text("User-agent: *\nDisallow: /private/"), ALLOWED),
        (text("User-agent: *\nDisallow: /*.jpg$"), DENIED),
        (text("User-agent: *\nDisallow: /\nAllow: /pic"), ALLOWED),  # the longest match wins
        (text("User-agent: *\nDisallow: /\n\nUser-agent: Pairlake-Test\nAllow: /"), ALLOWED),
        (text("User-agent: pairlake-test\nDisallow: /"), DENIED),
        (text("User-agent: otherbot\nDisallow: /"), ALLOWED),
        (text(b"\xef\xbb\xbfUser-agent: *\r\nDisallow: /"), DENIED),
        (text("<!doctype html><p>we have no robots.txt"), ALLOWED),
        (text(bytes(range(256)) * 10), ALLOWED),
        (text("#" * 600_000 + "\nUser-agent: *\nDisallow: /"), ALLOWED),  # beyond the 500 KiB that count
        (text("User-agent: *\nDisallow: /\n" + "#" * 600_000), DENIED),
        (text(gzip.compress(b"User-agent: *\nDisallow: /", mtime=0), Content_Encoding="gzip"), DENIED),
        (redirect("/elsewhere"), DENIED),
        (redirect("http://b.test/robots.txt"), DENIED),
        (redirect("/robots.txt"), ALLOWED),  # a loop: RFC 9309 2.3.1.2 takes it for unavailable
        (redirect("http://10.0.0.1/robots.txt"), DENIED),
    ],
)
def test_what_robots_txt_decides(robots: Page, status: str) -> None:
    pages: dict[str | tuple[str, str], Page] = {
        ("a.test", "/robots.txt"): robots,
        "/elsewhere": text("User-agent: *\nDisallow: /"),
        ("b.test", "/robots.txt"): text("User-agent: *\nDisallow: /"),
        "/pic.jpg": answer(JPEG),
    }
    with serving(pages) as server:
        [row] = fetched(["http://a.test/pic.jpg"], server)
    assert row["status"] == status, row["error"]
    assert server.seen["a.test", "/pic.jpg"] == (status == ALLOWED)


def test_host_out_of_reach_is_told_as_it_is_and_not_fetched() -> None:
    async def silent(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(20)

    async def resetting(writer: asyncio.StreamWriter) -> None:
        reset(writer)

    pages: dict[str | tuple[str, str], Page] = {
        ("a.test", "/robots.txt"): silent,
        ("b.test", "/robots.txt"): resetting,
        "/pic.jpg": answer(JPEG),
    }
    with serving(pages) as server:
        found = fetched(["http://a.test/pic.jpg", "http://b.test/pic.jpg"], server, QUICK)
    assert [row["status"] for row in found] == ["timeout", "reset"]
    assert [row["error"] for row in found] == [
        "robots.txt: no data in time",
        "robots.txt: connection closed by the server",
    ]
    assert not {path for _, path in server.seen} & {"/pic.jpg"}


def test_asked_once_per_host() -> None:
    urls = [f"http://{host}.test/pic.jpg?{i}" for host in "ab" for i in range(5)]
    with serving({f"/pic.jpg?{i}": answer(JPEG) for i in range(5)}) as server:
        assert {row["status"] for row in fetched(urls, server)} == {"success"}
    assert server.seen["a.test", "/robots.txt"] == server.seen["b.test", "/robots.txt"] == 1


def test_kept_for_the_next_partition() -> None:
    with serving({"/pic.jpg": answer(JPEG)}) as server:
        url = f"http://127.0.0.1:{server.port}/pic.jpg"
        agents = [f"Pairlake/{server.port}.{i} (+https://pairlake.example/)" for i in (0, 0, 1)]
        for agent in agents:
            [row] = fetched([url], server, allow_loopback=True, user_agent=agent)
            assert row["status"] == ALLOWED
    assert server.seen["127.0.0.1", "/robots.txt"] == 2  # once for each name that we gave


def test_host_that_was_out_of_reach_is_asked_again_by_the_next_partition() -> None:
    pages: dict[str | tuple[str, str], Page] = {
        "/robots.txt": answer(code="500 Oops"),
        "/pic.jpg": answer(JPEG),
    }
    with serving(pages) as server:
        url = f"http://127.0.0.1:{server.port}/pic.jpg"
        agent = f"Pairlake/{server.port}.2 (+https://pairlake.example/)"
        for status in (DENIED, ALLOWED):
            [row] = fetched([url], server, allow_loopback=True, user_agent=agent)
            assert row["status"] == status
            pages["/robots.txt"] = answer(code="404 Not Found")


def test_the_target_of_a_redirect_has_its_own_robots_txt() -> None:
    pages: dict[str | tuple[str, str], Page] = {
        ("a.test", "/pic.jpg"): redirect("http://b.test/pic.jpg"),
        ("b.test", "/pic.jpg"): answer(JPEG),
        ("b.test", "/robots.txt"): text("User-agent: *\nDisallow: /"),
    }
    with serving(pages) as server:
        [row] = fetched(["http://a.test/pic.jpg"], server)
    assert row["status"] == DENIED
    assert server.seen["b.test", "/pic.jpg"] == 0


def test_not_asked_where_the_rules_say_so() -> None:
    pages: dict[str | tuple[str, str], Page] = {
        "/robots.txt": text("User-agent: *\nDisallow: /"),
        "/pic.jpg": answer(JPEG),
    }
    with serving(pages) as server:
        [row] = fetched(["http://a.test/pic.jpg"], server, replace(PATIENT, honour_robots_txt=False))
    assert row["status"] == ALLOWED
    assert server.seen["a.test", "/robots.txt"] == 0
