"""What a host says of its pace and its rights is kept to by every request to it, and noted."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from downloads_fixtures import JPEG, PATIENT, QUICK, fetched, frame, network
from hypothesis import given
from hypothesis import strategies as st
from webserver import Page, answer, redirect, serving
from yarl import URL

from transforms.downloads import Network, UnnamedCrawlerError, fetch_partition
from transforms.downloads.policy import Policy, opt_outs, parse_tdmrep, refuse_opt_outs
from transforms.downloads.resolve import VettedResolver
from transforms.downloads.status import DownloadError


def tdmrep(*entries: object) -> bytes:
    return answer(json.dumps(entries).encode(), Content_Type="application/json")


def text(body: str) -> bytes:
    return answer(body.encode(), Content_Type="text/plain")


# ---------------------------------------------------------------------- TDM Reservation Protocol


@pytest.mark.parametrize(
    ("file", "reserved"),
    [
        ([{"location": "/", "tdm-reservation": 1}], True),
        ([{"location": "/", "tdm-reservation": 1, "tdm-policy": "https://p.example/p.json"}], True),
        ([{"location": "/", "tdm-reservation": 0}], False),
        ([{"location": "/other/", "tdm-reservation": 1}], False),
        ([{"location": "/img/", "tdm-reservation": 1}], True),
        ([{"location": "/*.jpg$", "tdm-reservation": 1}], True),
        ([{"location": "/", "tdm-reservation": 1}, {"location": "/img/", "tdm-reservation": 0}], False),
        ([{"location": "/img/"}], False),
        ([{"tdm-reservation": 1}], False),
        ([{"location": "/\nDisallow: /", "tdm-reservation": 1}], False),
        ({"location": "/", "tdm-reservation": 1}, False),
        ([1, None, "x"], False),
        ([], False),
    ],
)
def test_which_pictures_a_tdmrep_file_reserves(file: object, reserved: bool) -> None:
    found = Policy(reserved=parse_tdmrep(json.dumps(file).encode()))
    assert found.reserves(URL("http://a.test/img/a.jpg")) == reserved


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.text(), st.lists).map(lambda x: json.dumps(x).encode())
)
def test_any_tdmrep_file_is_read(body: bytes) -> None:
    Policy(reserved=parse_tdmrep(body)).reserves(URL("http://a.test/x"))


def test_reserved_pictures_are_not_asked_for() -> None:
    pages: dict[str | tuple[str, str], Page] = {
        "/.well-known/tdmrep.json": tdmrep({"location": "/mine/", "tdm-reservation": 1}),
        "/mine/a.jpg": answer(JPEG),
        "/free.jpg": answer(JPEG),
    }
    urls = ["http://a.test/mine/a.jpg", "http://a.test/free.jpg"]
    with serving(pages) as server:
        mine, free = fetched(urls, server)
        assert (mine["status"], mine["error"], mine["opt_out"]) == (
            "opt_out",
            "tdmrep.json: 1",
            ["tdmrep.json: 1"],
        )
        assert (free["status"], free["opt_out"]) == ("success", [])
        assert server.seen["a.test", "/mine/a.jpg"] == 0
        assert server.seen["a.test", "/.well-known/tdmrep.json"] == 1
        noted, _ = fetched(urls, server, replace(PATIENT, honour_opt_outs=False))
        assert (noted["status"], noted["opt_out"]) == ("success", ["tdmrep.json: 1"])
        server.seen.clear()
        unasked, _ = fetched(urls, server, replace(PATIENT, ask_tdmrep=False))
        assert unasked["status"] == "success"
        assert server.seen["a.test", "/.well-known/tdmrep.json"] == 0


@pytest.mark.parametrize(
    "page", [answer(code="500 Oops"), answer(code="404 Not Found"), text("<html>"), redirect("//b.test/x")]
)
def test_no_tdmrep_file_reserves_nothing(page: bytes) -> None:
    with serving({"/.well-known/tdmrep.json": page, "/a.jpg": answer(JPEG)}) as server:
        [row] = fetched(["http://a.test/a.jpg"], server)
    assert (row["status"], row["opt_out"]) == ("success", [])


# ---------------------------------------------------------------------- headers


@pytest.mark.parametrize(
    ("value", "refused"),
    [
        ("unavailable_after: 25 Jun 2010 15:00:00 GMT", True),
        ("unavailable_after: Friday, 25-Jun-10 15:00:00 GMT, nofollow", True),
        ("unavailable_after: 2010-06-25T15:00:00+00:00", True),
        ("unavailable_after: 2010-06-25", True),
        ("unavailable_after: 25 Jun 2099 15:00:00 GMT", False),
        ("unavailable_after: soon", False),
        ("otherbot: unavailable_after: 2010-06-25", False),
        ("max-image-preview: none", False),
    ],
)
def test_a_date_that_is_past_is_an_opt_out(value: str, refused: bool) -> None:
    signals = opt_outs([value], None, "pairlake")
    if not refused:
        refuse_opt_outs(signals, PATIENT)
        return
    with pytest.raises(DownloadError) as caught:
        refuse_opt_outs(signals, PATIENT)
    assert caught.value.status == "opt_out"


def test_content_usage_is_noted() -> None:
    with serving({"/a": answer(JPEG, Content_Usage="train-ai=n")}) as server:
        [row] = fetched(["http://a.test/a"], server)
    assert (row["status"], row["opt_out"]) == ("success", ["content-usage: train-ai=n"])


def test_too_many_headers() -> None:
    many = {f"X_{n}": "y" for n in range(200)}
    with serving({"/a": answer(JPEG, **many)}) as server:
        [row] = fetched(["http://a.test/a"], server)
    assert row["status"] == "bad_response"


# ---------------------------------------------------------------------- pace


def test_crawl_delay_is_kept_to() -> None:
    times: list[float] = []

    async def page(writer: asyncio.StreamWriter) -> None:
        times.append(time.monotonic())
        writer.write(answer(JPEG))
        await writer.drain()

    pages: dict[str | tuple[str, str], Page] = {f"/{n}.jpg": page for n in range(4)}
    pages["/robots.txt"] = text("User-agent: *\nCrawl-delay: 0.5")
    with serving(pages) as server:
        found = fetched([f"http://a.test/{n}.jpg" for n in range(4)], server)
    assert {row["status"] for row in found} == {"success"}
    assert min(b - a for a, b in pairwise(times)) > 0.4
    assert server.most["a.test"] == 1


@pytest.mark.parametrize("asked", ["1", "date"])
def test_retry_after_holds_back_all_of_the_host_and_no_other(asked: str) -> None:
    times: dict[str, float] = {}
    begin = time.monotonic()

    async def busy(writer: asyncio.StreamWriter) -> None:
        first = "busy" not in times
        times.setdefault("busy", time.monotonic())
        after = asked
        if asked == "date":
            after = f"{datetime.now(UTC) + timedelta(seconds=2):%a, %d %b %Y %H:%M:%S} GMT"
        writer.write(answer(code="429 Slow down", Retry_After=after) if first else answer(JPEG))
        await writer.drain()

    def noting(name: str) -> Any:
        async def page(writer: asyncio.StreamWriter) -> None:
            times[name] = time.monotonic()
            writer.write(answer(JPEG))
            await writer.drain()

        return page

    pages: dict[str | tuple[str, str], Page] = {
        "/0": busy,
        ("a.test", "/1"): noting("same"),
        ("b.test", "/1"): noting("other"),
    }
    with serving(pages) as server:
        urls = ["http://a.test/0", "http://a.test/1", "http://b.test/1"]
        found = fetched(urls, server, per_host=1)
    assert [row["status"] for row in found] == ["success"] * 3
    assert times["same"] - times["busy"] > 0.9
    assert times["other"] < times["same"]
    assert begin < times["busy"]


def test_a_host_that_asks_for_a_long_wait_is_put_off() -> None:
    pages: dict[str | tuple[str, str], Page] = {
        "/0": answer(code="503 Busy", Retry_After="86400"),
        "/ok": answer(JPEG),
    }
    urls = ["http://a.test/0", *(f"http://a.test/ok?{n}" for n in range(5)), "http://b.test/ok"]
    pages |= {f"/ok?{n}": answer(JPEG) for n in range(5)}
    with serving(pages) as server:
        found = fetched(urls, server, per_host=1)
    assert [row["status"] for row in found] == ["http_error", *["put_off"] * 5, "success"]
    assert found[1]["error"] == "host asked us to wait more than 30 s"


def test_a_host_that_does_not_answer_is_put_off_and_no_other_waits() -> None:
    async def silent(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(20)

    pages: dict[str | tuple[str, str], Page] = {f"/s{n}": silent for n in range(200)}
    pages["/ok"] = answer(JPEG)
    urls = [*(f"http://dead.test/s{n}" for n in range(200)), "http://b.test/ok"]
    with serving(pages) as server:
        begin = time.monotonic()
        found = fetched(urls, server, replace(QUICK, host_failures=8, retries=0, read_seconds=1.0))
    assert time.monotonic() - begin < 20
    statuses = [row["status"] for row in found[:-1]]
    assert statuses.count("timeout") <= 8 + 4  # those that were on their way
    assert set(statuses) == {"timeout", "put_off"}
    assert found[-1]["status"] == "success"


def test_robots_txt_that_fails_once_is_asked_again() -> None:
    left = [answer(code="503 Busy"), text("User-agent: *\nAllow: /")]

    async def robots(writer: asyncio.StreamWriter) -> None:
        writer.write(left.pop(0))
        await writer.drain()

    with serving({"/robots.txt": robots, "/a.jpg": answer(JPEG)}) as server:
        [row] = fetched(["http://a.test/a.jpg"], server)
    assert row["status"] == "success"


def test_a_url_with_many_captions_is_asked_for_once() -> None:
    with serving({"/a.jpg": answer(JPEG), "/b.jpg": answer(JPEG)}) as server:
        found = fetched(["http://a.test/a.jpg"] * 50 + ["http://a.test/b.jpg"], server)
    assert {row["status"] for row in found} == {"success"}
    assert len(found) == 51
    assert server.seen["a.test", "/a.jpg"] == 1


# ---------------------------------------------------------------------- names


def test_the_open_web_is_not_crawled_without_a_name() -> None:
    with serving({"/a.jpg": answer(JPEG), "/away.jpg": redirect("http://open.example/")}) as server:
        nobody = network(server, user_agent=None)
        [row] = fetched(["http://a.test/a.jpg"], server, user_agent=None)
        assert row["status"] == "success"
        for url in ("http://open.example/a.jpg", "http://a.test/away.jpg"):
            with pytest.raises(UnnamedCrawlerError, match=r"set `user_agent` in section \[network\]"):
                fetch_partition(frame([url]), PATIENT, nobody)
    assert Network().is_open
    assert not nobody.is_open


def test_a_name_is_looked_up_once_and_vetted_at_every_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rebinding: what DNS says later does not count, and what it said is judged by who uses it."""
    asked: list[str] = []

    def getaddrinfo(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        answers = {"inner.example": "127.0.0.1", "outer.example": "93.184.216.34"}
        if host not in answers:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers[host], 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    VettedResolver._kept.clear()

    async def ask(host: str, **changes: Any) -> list[str]:
        resolver = VettedResolver(Network(**changes))
        many = await asyncio.gather(*(resolver.resolve(host) for _ in range(5)))
        return [each["host"] for each in many[0]]

    assert asyncio.run(ask("outer.example")) == ["93.184.216.34"]
    assert asyncio.run(ask("outer.example")) == ["93.184.216.34"]
    assert asyncio.run(ask("inner.example", allow_loopback=True)) == ["127.0.0.1"]
    with pytest.raises(OSError, match="address is not public"):
        asyncio.run(ask("inner.example"))
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            asyncio.run(ask("nobody.example"))
    assert asked == ["outer.example", "inner.example", "nobody.example"]
    VettedResolver._kept.clear()
