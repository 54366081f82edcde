"""Every kind of dirt in the demo's web is really served: asked over HTTP, on a loopback socket."""

from __future__ import annotations

import http.client
import io
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from PIL import Image, ImageChops, ImageOps, ImageStat

from lakehouse.demo.dirt import SLOW_SECONDS, STUCK_SECONDS
from lakehouse.demo.pages import build
from lakehouse.demo.server import serve
from lakehouse.demo.sites import Web

LEAST = 5_000  # bytes: LAION's limit

Ask = Callable[[str], tuple[http.client.HTTPResponse, bytes]]


@pytest.fixture(scope="module")
def site() -> Web:
    return build()


@pytest.fixture(scope="module")
def address(site: Web) -> Iterator[tuple[str, int]]:
    with serve(site) as address:
        yield address


@pytest.fixture
def ask(address: tuple[str, int]) -> Ask:
    def ask(url: str, timeout: float = 5.0) -> tuple[http.client.HTTPResponse, bytes]:
        parts = urlsplit(url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        connection = http.client.HTTPConnection(*address, timeout=timeout)
        try:
            connection.request("GET", path, headers={"Host": parts.netloc})
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    return ask


def urls(site: Web, kind: str) -> list[str]:
    """The URLs of one kind of link; there must be some."""
    found = [row["url"] for row in site.truth.to_pylist() if row["kind"] == kind]
    assert found
    return found


def opened(body: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(body))
    image.load()
    return image


def test_loopback_and_a_port_of_its_own(site: Web) -> None:
    with serve(site) as one, serve(site) as two:
        assert one[0] == two[0] == "127.0.0.1"
        assert one[1] != two[1]


def test_no_one_listens_afterwards(site: Web) -> None:
    with serve(site) as address:
        pass
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection(*address, timeout=1).connect()


def test_every_page_is_served_as_crawled(site: Web, ask: Ask) -> None:
    for page in site.pages:
        response, body = ask(page.url)
        assert (response.status, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert body == page.html


@pytest.mark.parametrize("kind", ["right", "wrong", "second", "duplicate", "file name"])
def test_ordinary_pictures_come(site: Web, ask: Ask, kind: str) -> None:
    sizes = []
    for url in urls(site, kind):
        response, body = ask(url)
        assert response.status == 200
        image = opened(body)
        assert response.headers["Content-Type"] == Image.MIME[image.format or ""]
        assert 240 <= min(image.size) <= max(image.size) <= 272
        sizes.append(len(body))
    assert sum(size >= LEAST for size in sizes) >= 0.95 * len(sizes)


def test_pictures_that_are_gone(site: Web, ask: Ask) -> None:
    assert {ask(url)[0].status for url in urls(site, "404")} == {404}
    assert {ask(url)[0].status for url in urls(site, "500")} == {500}


def test_pages_instead_of_pictures(site: Web, ask: Ask) -> None:
    answers = [ask(url) for url in urls(site, "html")]
    assert all(body.startswith(b"<!DOCTYPE html>") and len(body) > LEAST for _, body in answers)
    types = [response.headers["Content-Type"] for response, _ in answers]
    assert types.count("image/jpeg") == 1
    assert types.count("text/html; charset=utf-8") == len(types) - 1


def test_jpegs_that_end_in_the_middle(site: Web, ask: Ask) -> None:
    for url in urls(site, "half a JPEG"):
        response, body = ask(url)
        assert response.status == 200
        assert len(body) > LEAST
        with pytest.raises(OSError, match="truncated"):
            opened(body)


def test_a_connection_that_ends_in_the_middle(site: Web, ask: Ask) -> None:
    for url in urls(site, "cut off"):
        with pytest.raises(http.client.IncompleteRead) as raised:
            ask(url)
        assert len(raised.value.partial) > 0


def test_an_artist_opts_out(site: Web, ask: Ask) -> None:
    for url in urls(site, "opt-out"):
        response, body = ask(url)
        assert response.headers["X-Robots-Tag"] == "noai, noimageai"
        opened(body)


def test_one_host_forbids_robots(site: Web, ask: Ask) -> None:
    hosts = {urlsplit(url).netloc for url in urls(site, "robots.txt")}
    for host in {host for host, _ in site.answers}:
        response, body = ask(f"http://{host}/robots.txt")
        assert (response.status, response.headers["Content-Type"]) == (200, "text/plain")
        assert (b"\nDisallow: /\n" in body) == (host in hosts)
    for url in urls(site, "robots.txt"):
        opened(ask(url)[1])  # who does not ask first gets it


def test_slow_answers_come_and_stuck_ones_do_not(site: Web, ask: Ask) -> None:
    for url in urls(site, "slow"):
        began = time.monotonic()
        opened(ask(url)[1])
        assert time.monotonic() - began >= SLOW_SECONDS
    for url in urls(site, "stuck"):
        with pytest.raises(TimeoutError):
            ask(url, timeout=3 * SLOW_SECONDS)  # type: ignore[call-arg]
    assert STUCK_SECONDS > 60


def test_the_server_ends_while_an_answer_is_stuck(site: Web) -> None:
    (url,) = urls(site, "stuck")
    with serve(site) as address:
        connection = http.client.HTTPConnection(*address, timeout=5)
        connection.request("GET", urlsplit(url).path, headers={"Host": urlsplit(url).netloc})
        time.sleep(0.2)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    connection.close()


def test_pictures_that_have_moved(site: Web, ask: Ask) -> None:
    for url in urls(site, "moved"):
        response, _ = ask(url)
        assert response.status == 301
        opened(ask(response.headers["Location"])[1])


def test_a_redirect_goes_round_in_circles(site: Web, ask: Ask) -> None:
    (start,) = urls(site, "redirect loop")
    url = start
    for _ in range(2):
        response, _ = ask(url)
        assert response.status == 302
        url = response.headers["Location"]
    assert url == start


def test_icons_are_under_laions_limit(site: Web, ask: Ask) -> None:
    for url in urls(site, "icon"):
        body = ask(url)[1]
        opened(body)
        assert len(body) < LEAST


def test_exif_turns_a_picture_upright(site: Web, ask: Ask) -> None:
    """Upright it looks like the same emoji on its own page, as it lies it does not."""
    from lakehouse.demo.pictures import carried

    plain = {picture.name: picture for picture in carried()}
    for url in urls(site, "turned"):
        image = opened(ask(url)[1])
        assert image.getexif()[0x0112] == 6
        name = url.rsplit("/", 1)[1].partition(".")[0]
        own = opened(plain[name].data).convert("RGBA")
        white = Image.new("RGBA", own.size, "white")
        white.alpha_composite(own)

        def distance(seen: Image.Image, white: Image.Image = white) -> float:
            return sum(ImageStat.Stat(ImageChops.difference(seen.convert("RGB"), white.convert("RGB"))).mean)

        assert distance(ImageOps.exif_transpose(image)) < distance(image) / 2


def test_unknown_paths_and_hosts(ask: Ask) -> None:
    assert ask("http://shop.test/nothing.jpg")[0].status == 404
    assert ask("http://elsewhere.test/")[0].status == 404


def test_the_web_is_of_the_size_that_is_told(site: Web) -> None:
    rows = site.truth.to_pylist()
    assert 400 <= sum(row["url"] is not None for row in rows) <= 700
    assert len(site.pages) > 36
    assert len({host for host, _ in site.answers}) >= 6
    polyglot = [row for row in rows if row["url"] == rows[0]["url"]]
    assert len({(row["text"], row["language"]) for row in polyglot if row["right"]}) >= 10
    forms = {link.src.partition("/")[0] for page in site.pages for link in page.links if link.url}
    assert {"http:", ""} < forms  # absolute; //host and /path
    relative = [link.src for page in site.pages if page.base for link in page.links]
    assert relative
    assert all("/" not in src for src in relative)


def test_odd_texts_are_odd(site: Web) -> None:
    links = {link.kind: link for page in site.pages for link in page.links}
    assert "Ã" in (links["mojibake"].alt or "")
    assert "\n" in (links["line breaks"].alt or "")
    assert "&uuml;" in (links["entities"].alt or "")
    assert len(links["overlong"].alt or "") > 2000
