"""A real browser for tests of the page: Debian's chromium, driven by Playwright.

A page fails its test at the end if anything was written to the console as an error, or asked of another host.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from serving import Served

SECONDS = 60.0  # for anything to come about, on a busy machine


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window. Skips where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no chromium: apt-get install chromium, or name one in CHROMIUM")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


Visit = Callable[..., Any]


@pytest.fixture
def visit(browser: Any, served: Served) -> Iterator[Visit]:
    """Opens the page at an address below the server's, in a browser that has never been there."""
    troubles: list[str] = []
    contexts: list[Any] = []

    def opened(address: str = "", *, at: Served = served, results: bool = True, **options: Any) -> Any:
        context = browser.new_context(
            viewport=options.pop("viewport", {"width": 1280, "height": 800}), **options
        )
        contexts.append(context)
        context.set_default_timeout(SECONDS * 1000)
        page = context.new_page()
        page.on("console", lambda message: message.type == "error" and troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: _is_foreign(request.url, at.url) and troubles.append(request.url))
        page.goto(f"{at.url}/{address}")
        if results:
            page.locator(".card").first.wait_for()
        return page

    opened.troubles = troubles  # type: ignore[attr-defined]
    yield opened
    for context in contexts:
        context.close()
    assert troubles == []


def _is_foreign(url: str, own: str) -> bool:
    return not url.startswith((f"{own}/", "data:", "blob:"))


def captions(page: Any) -> list[str]:
    """The captions of the results that the page shows."""
    found: list[str] = page.locator(".card .caption").all_text_contents()
    return found


def matching(page: Any) -> int:
    """How many pairs the page says that the filters leave, once it has counted."""
    page.locator("#count strong").wait_for()
    return int(page.locator("#count strong").text_content().replace(",", ""))


def counted(page: Any, wanted: int) -> None:
    """Waits until the page says that so many pairs are left."""
    from playwright.sync_api import expect

    expect(page.locator("#count strong")).to_have_text(f"{wanted:,}", timeout=SECONDS * 1000)


def settled(page: Any, summary: str) -> None:
    """Waits until the line above the results begins so."""
    until(page, "text => document.getElementById('summary').textContent.startsWith(text)", summary)


def until(page: Any, holds: str, given: Any = None) -> None:
    """Waits until JavaScript says that something holds.

    Playwright's own way evaluates text within the page, which the page's Content-Security-Policy forbids.
    """
    end = time.monotonic() + SECONDS
    while not page.evaluate(holds, given):
        assert time.monotonic() < end, f"still not so: {holds} {given or ''}"
        page.wait_for_timeout(50)
