"""A URL is valid where Django's validator says so: its own published lists of right and wrong ones."""

from pathlib import Path

import pytest

from transforms.candidates.rules import PRESETS
from transforms.candidates.validity import is_valid

LISTS = Path(__file__).parent / "data" / "urls"
SCHEMES = PRESETS["laion5b"].schemes


def urls(name: str) -> list[str]:
    return (LISTS / name).read_text("utf-8").splitlines()


@pytest.mark.parametrize("url", urls("valid.txt"))
def test_valid(url: str) -> None:
    assert is_valid(url, SCHEMES)


@pytest.mark.parametrize("url", urls("invalid.txt"))
def test_invalid(url: str) -> None:
    assert not is_valid(url, SCHEMES)


# Django 3.2.25's answers, asked once for links of kinds that pages have
@pytest.mark.parametrize(
    ("url", "valid"),
    [
        ("https://a.example/b c.jpg", False),
        ("https://a.example/b\tc.jpg", False),
        ("https://a.example/b\\c.jpg", True),
        ("https://a.example/é.jpg?x=[1]", True),
        ("https://a_b.example/c.jpg", False),
        ("https://a.example:8/c.jpg", False),
        ("https://a.example:80000/c.jpg", True),
        ("//a.example/c.jpg", False),
        ("/c.jpg", False),
        ("c.jpg", False),
        ("http:a.example/c.jpg", False),
        ("http:///a.example/c.jpg", False),
        ("http://٣.example/c.jpg", True),
        ("http://😀.ws/c.jpg", True),
        ("http://a。example/c.jpg", True),
        ("http://192.168.1.01/c.jpg", False),
        ("http://[::1]/c.jpg", True),
        ("http://a.example/\u3000c.jpg", False),
    ],
)
def test_links_of_pages(url: str, valid: bool) -> None:
    assert is_valid(url, SCHEMES) is valid


def test_schemes_are_those_given() -> None:
    assert is_valid("ftp://a.example/", SCHEMES)
    assert not is_valid("ftp://a.example/", ("http", "https"))
