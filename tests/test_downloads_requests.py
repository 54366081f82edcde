"""What we send, what we follow and keep: redirects, spelling of URLs, retries, limits per host."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import zlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from downloads_fixtures import AGENT, JPEG, PATIENT, fetched, network
from hypothesis import given
from hypothesis import strategies as st
from webserver import Handler, Page, answer, redirect, serving

from transforms.downloads import DownloadStatus, Network
from transforms.downloads.fetch import redirected
from transforms.downloads.resolve import target
from transforms.downloads.status import DownloadError


def in_turn(*answers: bytes) -> Handler:
    """One answer after the other, the last one for ever."""
    left = list(answers)

    async def handler(writer: asyncio.StreamWriter) -> None:
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        await writer.drain()

    return handler


def test_success_has_every_fact() -> None:
    before = datetime.now(UTC)
    with serving({"/a.jpg": answer(JPEG)}) as server:
        [row] = fetched(["http://pictures.a.test/a.jpg"], server)
    assert row["status"] == "success"
    assert row["error"] is None
    assert row["host"] == "pictures.a.test"
    assert row["http_status"] == 200
    assert row["final_url"] is None
    assert row["content_type"] == "image/jpeg"
    assert (row["width"], row["height"]) == (400, 300)
    assert row["bytes"] == len(JPEG)
    assert row["sha256"] == hashlib.sha256(JPEG).hexdigest()
    assert row["md5"] == hashlib.md5(JPEG).hexdigest()
    assert row["opt_out"] == []
    assert before <= row["fetched_at"] <= datetime.now(UTC)
    assert server.agents == {AGENT}


@pytest.mark.parametrize("content_type", ["text/html", "", "image/jpeg; q=\udcff", "x" * 5_000])
def test_content_type_is_stored_and_not_believed(content_type: str) -> None:
    with serving({"/a": answer(JPEG, Content_Type=content_type)}) as server:
        [row] = fetched(["http://a.test/a"], server)
    assert row["status"] == "success"
    assert row["content_type"] == (content_type.replace("\udcff", "�")[:200] or None)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("gzip", gzip.compress(JPEG)),
        ("x-gzip", gzip.compress(JPEG[:4000]) + gzip.compress(JPEG[4000:])),
        ("deflate", zlib.compress(JPEG)),
        ("deflate", zlib.compress(JPEG)[2:-4]),
        ("identity", JPEG),
    ],
)
def test_body_that_came_encoded_unasked(name: str, body: bytes) -> None:
    with serving({"/a": answer(body, Content_Encoding=name)}) as server:
        [row] = fetched(["http://a.test/a"], server)
    assert (row["status"], row["bytes"]) == ("success", len(JPEG))


def test_redirects_are_followed_across_hosts() -> None:
    pages: dict[str | tuple[str, str], Page] = {
        ("a.test", "/a"): redirect("/b"),
        ("a.test", "/b"): redirect("//b.test/c?x=%2F#part", 301),
        ("b.test", "/c?x=%2F"): answer(JPEG),
    }
    with serving(pages) as server:
        [row] = fetched(["http://a.test/a"], server)
    assert (row["status"], row["final_url"]) == ("success", "http://b.test/c?x=%2F")


def test_redirects_up_to_the_limit() -> None:
    pages: dict[str | tuple[str, str], Page] = {f"/{i}": redirect(f"/{i - 1}") for i in range(1, 5)}
    with serving(pages | {"/0": answer(JPEG)}) as server:
        rules = replace(PATIENT, redirects=3)
        found = fetched([f"http://a.test/{i}" for i in (3, 4)], server, rules)
    assert [row["status"] for row in found] == ["success", "too_many_redirects"]


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://a.test/a%7Eb/~?sig=%2b%2F+=&x=a%20b", "/a%7Eb/~?sig=%2b%2F+=&x=a%20b"),  # a signature holds
        ("http://a.test/a b.jpg", "/a%20b.jpg"),
        ("http://a.test/fotos/ñandú.jpg", "/fotos/%C3%B1and%C3%BA.jpg"),
        ("http://a.test/a.jpg#part", "/a.jpg"),
        ("http://name:word@a.test/a.jpg", "/a.jpg"),
        ("http://A.TEST/a.jpg", "/a.jpg"),
        ("http://a.test", "/"),
        ("http://a.test/a\r\nX-Bad: 1", "/aX-Bad:%201"),  # no header of the URL's making
    ],
)
def test_spelling_of_a_url_as_requested(url: str, path: str) -> None:
    with serving({("a.test", path): answer(JPEG)}) as server:
        [row] = fetched([url], server)
    assert row["status"] == "success", dict(server.seen)
    assert row["url"] == url


@given(
    st.text(max_size=80),
    st.sampled_from(["", "http://", "https://a.test/", "http://a.test:", "//", "http://[", "http://xn--"]),
)
def test_any_text_as_a_url_or_as_a_location(text: str, start: str) -> None:
    """Either a URL that may be requested comes out, or the one exception that becomes a row."""
    world = Network(user_agent=AGENT, resolve={"*.test": ("127.0.0.1", 1)})
    for make in (lambda: start + text, lambda: redirected("http://a.test/x", start + text)):
        try:
            url = target(make(), world)
        except DownloadError as failure:
            status = failure.status
        else:
            status = DownloadStatus.SUCCESS
            assert url.scheme in ("http", "https")
            assert not url.user
            assert str(url).isascii()
            assert not set(str(url)) & set(" \r\n\t")
        assert status in ("success", "bad_url", "forbidden_address")


@pytest.mark.parametrize(
    ("first", "tries", "status"),
    [
        (answer(code="503 Busy"), 2, "success"),
        (answer(code="429 Slow down", Retry_After="0"), 2, "success"),
        (answer(code="429 Slow down", Retry_After="Wed, 01 Jan 2020 00:00:00 GMT"), 2, "success"),
        (answer(code="429 Slow down", Retry_After="soon"), 2, "success"),
        (answer(code="429 Slow down", Retry_After="3600"), 1, "http_error"),
        (answer(code="404 Not Found"), 1, "http_error"),
        (answer(code="410 Gone"), 1, "http_error"),
        (answer(b"x" * 6_000), 1, "not_image"),
        (b"", 2, "success"),
    ],
)
def test_only_what_may_pass_is_tried_again(first: bytes, tries: int, status: str) -> None:
    async def closing(writer: asyncio.StreamWriter) -> None:
        if server.seen["a.test", "/a"] > 1:
            writer.write(answer(JPEG))
        else:
            writer.close()

    page = in_turn(first, answer(JPEG)) if first else closing
    with serving({"/a": page}) as server:
        [row] = fetched(["http://a.test/a"], server)
    assert row["status"] == status
    assert server.seen["a.test", "/a"] == tries


def test_what_fails_every_time_is_tried_as_often_as_the_rules_say() -> None:
    with serving({"/a": answer(code="500 Oops")}) as server:
        [row] = fetched(["http://a.test/a"], server, replace(PATIENT, retries=3))
    assert row["http_status"] == 500
    assert server.seen["a.test", "/a"] == 4


def test_limits_per_host_and_in_all_and_no_host_starves_another() -> None:
    order: list[str] = []

    def slow(host: str) -> Handler:
        async def handler(writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.05)
            order.append(host)
            writer.write(answer(JPEG))
            await writer.drain()

        return handler

    flood = [f"http://flood.test/{i}" for i in range(30)]
    others = [f"http://h{i}.test/0" for i in range(4)]
    pages: dict[str | tuple[str, str], Page] = {("flood.test", f"/{i}"): slow("flood") for i in range(30)}
    pages |= {(f"h{i}.test", "/0"): slow("other") for i in range(4)}
    with serving(pages) as server:
        found = fetched(flood + others, server, per_host=3, in_flight=4)
    assert {row["status"] for row in found} == {"success"}
    assert server.most["flood.test"] == 3
    assert max(server.most.values()) == 3
    assert order.index("other") < 8  # though thirty stood before it
    assert len(order) - order[::-1].index("other") < 20


@pytest.mark.parametrize(
    "agent", ["", "Mozilla/5.0", "Pairlake/1.0", "Pairlake/1.0 (nobody)", "(a@b.example)"]
)
def test_user_agent_without_a_contact_is_wrong_use(agent: str) -> None:
    with pytest.raises(ValueError, match="names no contact"):
        Network(user_agent=agent)


def test_product_name() -> None:
    with serving({}) as server:
        assert network(server).product == "pairlake-test"
    assert Network(user_agent="Some_Bot (mailto:a@b.example)").product == "some_bot"
