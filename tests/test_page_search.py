"""The page in a browser: searching, filtering with live counts, and its state in the address."""

from __future__ import annotations

from typing import Any

import pytest
from browsing import Visit, captions, counted, matching, settled, until
from serving import Served

from lakehouse import views


def held(served: Served, condition: str) -> int:
    """Pairs of the lake that satisfy a condition, as the lake itself counts them."""
    found = views.query(served.lake, f"select count(*) as n from pairs where {condition}")
    return int(found["n"][0].as_py())


SAFE = "punsafe <= 0.8::real"


def search(page: Any, text: str) -> None:
    page.fill("#text", text)
    page.press("#text", "Enter")
    settled(page, f"Nearest to “{text}”")


def test_a_search_shows_what_the_index_finds_and_its_address_shows_it_again(
    visit: Visit,
    served: Served,
) -> None:
    page = visit()
    search(page, "a bicycle")
    wanted = [row["text"] for row in served.search(text="a bicycle", k=60)]
    assert captions(page)[:60] == wanted
    assert "q=a+bicycle" in page.url
    again = visit(page.url.removeprefix(f"{served.url}/"))
    settled(again, "Nearest to “a bicycle”")
    assert captions(again)[:60] == wanted
    page.go_back()
    settled(page, "Pictures in no particular order")


def test_filters_count_at_once_and_hold_for_the_results(visit: Visit, served: Served) -> None:
    page = visit("?q=a+bicycle")
    counted(page, held(served, SAFE))
    page.fill('[data-facet="similarity"] input[type="number"] >> nth=0', "0.5")
    page.press('[data-facet="similarity"] input[type="number"] >> nth=0', "Tab")
    counted(page, held(served, f"{SAFE} and similarity >= 0.5::real"))
    page.locator('.languages label:has([data-language="en"])').click()
    english = f"{SAFE} and similarity >= 0.5::real and language = 'en'"
    counted(page, held(served, english))
    page.fill("#where", "text ilike '%emoji%'")
    counted(page, held(served, f"{english} and text ilike '%emoji%'"))
    again = visit(page.url.removeprefix(f"{served.url}/"))
    counted(again, held(served, f"{english} and text ilike '%emoji%'"))
    assert again.input_value("#where") == "text ilike '%emoji%'"
    page.click("#reset")
    counted(page, held(served, SAFE))


@pytest.mark.slow
def test_a_wrong_condition_is_told_beside_its_field(visit: Visit) -> None:
    page = visit()
    page.fill("#where", "colour = 'red'")
    page.locator("#where-error", has_text="no column colour").wait_for()
    assert page.get_attribute("#where", "aria-invalid") == "true"
    page.fill("#where", "width > 0")
    until(page, "document.getElementById('where-error').textContent === ''")
    # The browser itself notes the server's refusals (422) in its console
    visit.troubles[:] = [said for said in visit.troubles if "422" not in said]


@pytest.mark.slow
def test_sliders_move_by_keyboard(visit: Visit, served: Served) -> None:
    page = visit()
    before = matching(page)
    slider = page.locator('[data-facet="similarity"] input[type="range"]').first
    slider.focus()
    for _ in range(12):
        page.keyboard.press("PageUp")
    until(page, "location.search.includes('f.similarity')")
    least = page.input_value('[data-facet="similarity"] input[type="number"] >> nth=0')
    wanted = held(served, f"{SAFE} and similarity >= {least}::real")
    counted(page, wanted)
    assert wanted < before


@pytest.mark.slow
def test_results_go_on_as_one_scrolls(visit: Visit) -> None:
    page = visit()
    first = len(captions(page))
    for _ in range(20):
        page.mouse.wheel(0, 4000)
        page.wait_for_timeout(100)
        if len(captions(page)) > max(first, 60):
            break
    until(page, "document.querySelectorAll('.card').length > 60")


@pytest.mark.slow
def test_more_like_a_result_and_by_its_caption(visit: Visit) -> None:
    page = visit("?q=a+bicycle")
    first = captions(page)[0]
    page.locator(".card").first.hover()
    page.locator(".card .near button").first.click()
    settled(page, "Nearest to this picture")
    assert "near=" in page.url
    page.locator("#query-chip button").click()
    settled(page, "Pictures in no particular order")
    page.go_back()
    settled(page, "Nearest to this picture")
    page.locator(".open").first.click()
    page.get_by_role("button", name="Search by its caption").click()
    until(page, "new URLSearchParams(location.search).has('q')")
    assert page.input_value("#text") == first


@pytest.mark.slow
def test_a_picture_from_ones_own_machine(visit: Visit, served: Served) -> None:
    wanted = served.search(text="a bicycle", k=1)[0]
    picture = served.ask(f"/api/thumbnail/{wanted['url_id']}").body
    page = visit()
    page.click("#by-picture")
    page.set_input_files("#file", {"name": "mine.jpg", "mimeType": "image/jpeg", "buffer": picture})
    settled(page, "Nearest to your picture")
    assert captions(page)[0] == wanted["text"]


@pytest.mark.slow
def test_captions_and_safe_mode_are_switches_in_the_address(visit: Visit, served: Served) -> None:
    page = visit()
    page.uncheck("#captions")
    assert not page.locator(".card .caption").first.is_visible()
    page.uncheck("#safe")
    counted(page, held(served, "true"))
    again = visit(page.url.removeprefix(f"{served.url}/"))
    assert not again.is_checked("#captions")
    assert not again.is_checked("#safe")
