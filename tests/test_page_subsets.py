"""The page in a browser: a subset saved, its export command, a card's provenance, a request for removal."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from browsing import Visit, counted
from commands import lake as command
from serving import TOKEN, Served

from lakehouse import views


def save(page: Any, name: str) -> str:
    """Saves what the page shows; the command it then tells."""
    page.click("#save")
    page.fill("#subset-name", name)
    page.fill("#token", TOKEN)
    page.get_by_role("button", name="Save", exact=True).click()
    page.locator("#dialog-title", has_text="Saved as").wait_for()
    told: str = page.locator(".command").text_content()
    return told


@pytest.mark.slow
def test_a_subset_is_a_view_of_the_lake_and_its_command_exports_it(
    visit: Visit,
    served: Served,
    tmp_path: Path,
) -> None:
    page = visit("?f.similarity=0.5..&lang=en")
    assert save(page, "english") == "lake export webdataset --view english_v1 --to english_v1-webdataset"
    rows = views.query(served.lake, "select similarity, language from english_v1").to_pylist()
    assert len(rows) > 10
    assert all(row["language"] == "en" and row["similarity"] >= 0.5 for row in rows)
    page.locator(".subset select").select_option("urls")
    words = page.locator(".command").text_content().split()
    assert words[:3] == ["lake", "export", "urls"]
    words[-1] = str(tmp_path / "out")
    answer = command("--root", served.lake.storage.root, *words[1:], "--workers", "1")
    assert answer.code == 0, answer
    assert answer.out.startswith(f"{len(rows):,} pairs")


def test_saving_again_makes_the_next_version_and_keeps_the_one_before(
    visit: Visit,
    served: Served,
) -> None:
    page = visit("?lang=de")
    save(page, "german")
    before = views.query(served.lake, "select sample_id from german_v1").num_rows
    page.get_by_role("button", name="Show").click()
    counted(page, before)
    page.goto(f"{served.url}/?q=a+bicycle&lang=de")
    page.locator(".card").first.wait_for()
    page.click("#save")
    page.fill("#subset-name", "german")
    page.fill("#subset-results", "7")
    page.get_by_role("button", name="Save", exact=True).click()
    page.locator("#dialog-title", has_text="Saved as german_v2").wait_for()
    assert views.query(served.lake, "select sample_id from german_v2").num_rows == 7
    assert views.query(served.lake, "select sample_id from german_v1").num_rows == before


@pytest.mark.slow
def test_a_wrong_token_is_told_and_nothing_saved(visit: Visit, served: Served) -> None:
    page = visit()
    page.click("#save")
    page.fill("#subset-name", "mine")
    page.fill("#token", "wrong")
    page.get_by_role("button", name="Save", exact=True).click()
    page.locator("#dialog .error", has_text="token").wait_for()
    assert not (Path(served.lake.storage.root) / "sql" / "mine_v1.sql").exists()
    visit.troubles[:] = [said for said in visit.troubles if "403" not in said]


@pytest.mark.slow
def test_a_card_tells_where_a_pair_comes_from_and_takes_a_request(
    visit: Visit,
    served: Served,
) -> None:
    page = visit("?q=a+bicycle")
    page.locator(".open").first.click()
    page.locator("#dialog", has_text="crawl file").wait_for()
    told = page.locator("#dialog-body").text_content()
    assert ".warc.wat.gz" in told
    assert "similarity_demo" in told
    page.get_by_role("button", name="Ask for removal…").click()
    page.fill("#removal-reason", "it is mine")
    page.fill("#token", TOKEN)
    page.get_by_role("button", name="Ask for removal", exact=True).click()
    page.locator("#dialog-title", has_text="Asked for removal").wait_for()
    words = page.locator(".command").text_content().split()
    assert words[:3] == ["lake", "remove", "--hash-list"]
    kept = Path(served.lake.storage.root) / words[3]
    first = served.search(text="a bicycle", k=1)[0]
    assert kept.read_text() == f"# it is mine\nurl_id:{first['url_id']}\n"
    answer = command("--root", served.lake.storage.root, "remove", "--hash-list", kept, "--workers", "1")
    assert answer.code == 0, answer
    assert "would remove" in answer.out
    waiting = served.ask("/api/removal", token=TOKEN).json
    assert [request["reason"] for request in waiting] == ["it is mine"]


@pytest.mark.slow
def test_what_is_shown_can_be_downloaded(visit: Visit, served: Served, tmp_path: Path) -> None:
    page = visit("?q=a+bicycle&lang=en")
    page.click("#download")
    page.fill("#download-count", "5")
    page.select_option("#download-form", "csv")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download", exact=True).click()
    download.value.save_as(tmp_path / "pairs.csv")
    with (tmp_path / "pairs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = served.search(text="a bicycle", k=5, filters={"languages": ["en"]})
    assert [row["sample_id"] for row in rows] == [row["sample_id"] for row in wanted]
    assert [row["text"] for row in rows] == [row["text"] for row in wanted]
