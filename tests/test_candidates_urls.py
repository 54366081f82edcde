"""What stands in `src` becomes the URL that a browser would fetch, or is dropped for a reason."""

from urllib.parse import urljoin, urlsplit

import pytest
from crawl_units import RULES
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transforms.candidates.reasons import Drop
from transforms.candidates.urls import resolver

PAGE = "http://www.example.com/dir/page.html?q=a/b#top"
resolve = resolver(RULES)


@pytest.mark.parametrize(
    ("src", "url"),
    [
        ("a.jpg", "http://www.example.com/dir/a.jpg"),
        ("/a.jpg", "http://www.example.com/a.jpg"),
        ("../a.jpg", "http://www.example.com/a.jpg"),
        ("./x/../a.jpg", "http://www.example.com/dir/a.jpg"),
        ("?id=1", "http://www.example.com/dir/page.html?id=1"),
        ("//cdn.example/a.jpg", "http://cdn.example/a.jpg"),
        ("https://cdn.example:8443/a.jpg", "https://cdn.example:8443/a.jpg"),
        ("HTTP://cdn.example/A.JPG", "HTTP://cdn.example/A.JPG"),
        ("  http://cdn.example/a.jpg\n", "http://cdn.example/a.jpg"),
        ("http://cdn.example/\ta\r\n.jpg", "http://cdn.example/a.jpg"),
        ("http://cdn.example/my photo.jpg", "http://cdn.example/my photo.jpg"),
        ("my photo.jpg", "http://www.example.com/dir/my photo.jpg"),
        ("http://cdn.example/a.jpg#crop", "http://cdn.example/a.jpg#crop"),
        ("\\img\\a.jpg", "http://www.example.com/img/a.jpg"),
        ("http://[2001:db8::1]/a.jpg", "http://[2001:db8::1]/a.jpg"),
        ("http://192.0.2.7/a.jpg", "http://192.0.2.7/a.jpg"),
        ("http://www.gifts.example/a.jpg", "http://www.gifts.example/a.jpg"),
        ("http://cdn.example/gift.gifts/a.jpg", "http://cdn.example/gift.gifts/a.jpg"),
        ("http://cdn.example/pixel-art/one.png", "http://cdn.example/pixel-art/one.png"),
    ],
)
def test_resolved(src: str, url: str) -> None:
    assert resolve(src, PAGE) == (url, urlsplit(url).netloc.rsplit(":8443")[0])


@pytest.mark.parametrize(
    ("src", "host"),
    [
        ("http://CDN.Example/a.jpg", "cdn.example"),
        ("http://bücher.example/ü.jpg", "xn--bcher-kva.example"),
        ("http://BÜCHER.example:80/", "xn--bcher-kva.example"),
        ("http://a.example./a.jpg", "a.example."),
    ],
)
def test_the_host_has_one_form_and_the_url_stays_as_written(src: str, host: str) -> None:
    assert resolve(src, PAGE) == (src, host)


@pytest.mark.parametrize(
    ("src", "reason"),
    [
        (" \t\n", Drop.NO_URL),
        ("data:image/png;base64,iVBORw0KGgo=", Drop.DATA_URL),
        ("DATA:image/png;base64," + "A" * 100_000, Drop.DATA_URL),
        ("javascript:void(0)", Drop.SCHEME),
        ("java\nscript:void(0)", Drop.SCHEME),
        ("file:///etc/passwd", Drop.SCHEME),
        ("ftp://ftp.example/a.jpg", Drop.SCHEME),
        ("blob:http://a.example/1", Drop.SCHEME),
        ("http://", Drop.BAD_URL),
        ("http:///a.jpg", Drop.BAD_URL),
        ("http://a..example/a.jpg", Drop.BAD_URL),
        ("http://exa mple/a.jpg", Drop.BAD_URL),
        ("http://a.example:port/a.jpg", Drop.BAD_URL),
        ("http://a.example:99999/a.jpg", Drop.BAD_URL),
        ("http://[::1/a.jpg", Drop.BAD_URL),
        ("http://user:secret@a.example/a.jpg", Drop.BAD_URL),
        ("http://a.example/\ud800.jpg", Drop.BAD_URL),
        ("http://\ud800.example/a.jpg", Drop.BAD_URL),
        ("http://a.example/" + "a" * 2_000, Drop.LONG_URL),
        ("http://" + "a" * 57 + ".com/a.jpg", Drop.HOST),
        ("http://a.example/a.gif", Drop.EXCLUDED_FORMAT),
        ("http://a.example/A.GIF?v=2", Drop.EXCLUDED_FORMAT),
        ("http://a.example/thumb.php?src=logo.svg&w=20", Drop.EXCLUDED_FORMAT),
        ("logo.svgz", Drop.EXCLUDED_FORMAT),
        ("https://www.facebook.com/tr?id=1&ev=PageView&noscript=1", Drop.TRACKING_PIXEL),
        ("http://b.scorecardresearch.com/p?c1=2", Drop.TRACKING_PIXEL),
        ("//counter.yadro.ru/hit?t44.6", Drop.TRACKING_PIXEL),
        ("/images/spacer.png", Drop.TRACKING_PIXEL),
        ("/piwik/piwik.php?idsite=1", Drop.TRACKING_PIXEL),
    ],
)
def test_dropped(src: str, reason: Drop) -> None:
    assert resolve(src, PAGE) is reason


def test_limits_are_inclusive() -> None:
    assert resolve("http://a.example/" + "a" * 1_983, None) == (
        "http://a.example/" + "a" * 1_983,
        "a.example",
    )
    host = "a" * 52 + ".example"
    assert resolve(f"http://{host}/a.jpg", None) == (f"http://{host}/a.jpg", host)


def test_without_a_page_a_url_must_be_absolute() -> None:
    assert resolve("a.jpg", None) is Drop.BAD_URL
    assert resolve("//a.example/a.jpg", None) is Drop.BAD_URL
    assert resolve("http://a.example/a.jpg", None) == ("http://a.example/a.jpg", "a.example")


# without ";", as urljoin loses one that stands at the end of a path
PATHS = st.text("abA0._-~/?#%&=:@!$'()*+,\\ü| ", max_size=12)
BASES = st.builds("http://www.example.com{}".format, st.text("ab./?=", max_size=8).map("/{}".format))


@settings(deadline=None, max_examples=400)
@given(PATHS, BASES)
@example("a//b", "http://www.example.com/x/y")
@example("a.jpg", "http://www.example.com/x;y/z?b/c")
def test_relative_urls_are_what_the_standard_library_makes_of_them(src: str, base: str) -> None:
    found = resolve(src, base)
    if not isinstance(found, Drop):
        expected = urljoin(base, src.strip().replace("\\", "/"))
        assert found[0].rstrip("?") == expected.rstrip("?")


@settings(deadline=None, max_examples=400)
@given(st.text() | PATHS.map("http://a.example/{}".format), BASES | st.none() | st.text())
def test_any_string_is_resolved_or_dropped(src: str, base: str | None) -> None:
    found = resolve(src, base)
    if not isinstance(found, Drop):
        url, host = found
        url.encode()
        assert url.lower().startswith(("http://", "https://"))
        assert len(url) <= 2_000
        assert 0 < len(host) <= 60
        assert not set(url) & set("\t\r\n\0")
        assert resolve(url, None) == found, "resolving is idempotent"
