"""The page by keyboard alone, on a phone, in the dark, and with captions that mean harm."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote_plus

import pytest
from browsing import Visit, settled
from serving import Served


def focused(page: Any) -> str:
    """The id, or else the class, of what has the focus."""
    found: str = page.evaluate("document.activeElement.id || document.activeElement.className")
    return found


@pytest.mark.slow
def test_a_search_a_card_and_back_by_keyboard_alone(visit: Visit) -> None:
    page = visit()
    page.keyboard.press("/")
    assert focused(page) == "text"
    page.keyboard.type("a bicycle")
    page.keyboard.press("Enter")
    settled(page, "Nearest to “a bicycle”")
    page.reload()
    settled(page, "Nearest to “a bicycle”")
    page.keyboard.press("Tab")
    assert focused(page) == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert focused(page) == "open"
    page.keyboard.press("ArrowRight")
    second = page.evaluate("document.activeElement.querySelector('img').alt")
    assert second == page.locator(".card .caption").nth(1).text_content()
    page.keyboard.press("Enter")
    page.locator("#dialog[open]").wait_for()
    assert page.locator("#dialog .text").text_content() == second
    page.keyboard.press("Escape")
    assert not page.locator("#dialog").is_visible()
    assert focused(page) == "open"


@pytest.mark.slow
def test_every_control_has_a_name_and_every_picture_a_text(visit: Visit) -> None:
    page = visit()
    page.locator(".facet").first.wait_for()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, textarea, a')]
          .filter(e => !(e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim()
                         || e.querySelector('img')?.alt))
          .map(e => e.outerHTML)"""
    )
    assert nameless == []
    assert page.locator(".card img:not([alt])").count() == 0
    assert page.get_attribute("html", "lang") == "en"


@pytest.mark.slow
def test_a_phone_has_all_of_it_in_its_width(visit: Visit) -> None:
    page = visit("?q=a+bicycle", viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert not page.locator("#filters").is_visible()
    page.locator("#show-filters").tap()
    assert page.locator("#filters").is_visible()
    assert page.get_attribute("#show-filters", "aria-expanded") == "true"
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator("#show-filters").tap()
    page.locator(".open").first.tap()
    page.locator("#dialog[open]").wait_for()
    assert page.evaluate("document.querySelector('dialog').scrollWidth") <= 360


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(visit: Visit, scheme: Any) -> None:
    """WCAG 2.2, 1.4.3: a contrast of 4.5 at least."""
    page = visit(color_scheme=scheme)
    for selector in ("body", ".summary", "#filters h2", "button[type=submit]"):
        assert page.evaluate(CONTRAST, selector) >= 4.5, selector


CONTRAST = """(selector) => {
  const numbers = (c) => c.match(/[0-9.]+/g).map(Number);
  const light = (c) => {
    const [r, g, b] = numbers(c).slice(0, 3).map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  let ground = document.querySelector(selector);
  const ink = getComputedStyle(ground).color;
  const clear = (e) => { const n = numbers(getComputedStyle(e).backgroundColor); return n.length === 4 && n[3] === 0; };
  while (clear(ground) && ground.parentElement) ground = ground.parentElement;
  const [a, b] = [light(ink), light(getComputedStyle(ground).backgroundColor)].sort((x, y) => y - x);
  return (a + .05) / (b + .05);
}"""  # noqa: E501


SCRIPT = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


def test_markup_in_captions_addresses_and_searches_is_text(visit: Visit, served: Served) -> None:
    """The server's answers say what a page's author put there: the page shows it letter by letter."""
    page = visit(f"?q={quote_plus(SCRIPT)}", results=False)

    def harmful(route: Any) -> None:
        answer = route.fetch()
        told = answer.json()
        for row in told["rows"]:
            row |= {"text": SCRIPT, "url": "javascript:document.title='owned'", "page_url": "javascript:1"}
        route.fulfill(response=answer, json=told)

    def harmful_row(route: Any) -> None:
        answer = route.fetch()
        told = answer.json()
        told["pair"] |= {"text": SCRIPT, "url": "javascript:document.title='owned'", "license": SCRIPT}
        told |= {"page_url": "javascript:1", "crawl_file": SCRIPT}
        route.fulfill(response=answer, json=told)

    page.route("**/api/search", harmful)
    page.route("**/api/row/*", harmful_row)
    page.reload()
    settled(page, f"Nearest to “{SCRIPT}”")
    assert page.locator(".card .caption").first.text_content() == SCRIPT
    page.locator(".open").first.click()
    page.locator("#dialog", has_text="crawl file").wait_for()
    assert page.locator("#dialog .text").text_content() == SCRIPT
    assert page.locator("a[href^='javascript']").count() == 0
    assert page.locator("#summary img, .caption img, #dialog .text img, #dialog dd img").count() == 0
    assert page.title() == f"{SCRIPT} · Pairlake"
