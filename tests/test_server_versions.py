"""A server follows its lake: releases are open beside head, what is removed is gone from both at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from browsing import Visit, settled
from serving import TOKEN, Served, serving

from lakehouse import releases, removal, requests
from lakehouse.lake import Lake, open_lake


@pytest.fixture(scope="module")
def followed(demo: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A copy of the demo's lake with a release v1, served; tests change it."""
    root = tmp_path_factory.mktemp("followed") / "lake"
    copytree(Path(demo.storage.root), root)
    releases.create(open_lake(str(root)), "v1")
    with serving(open_lake(str(root))) as running:
        yield running


def counts(served: Served, release: str | None = None) -> int:
    """Pairs of a version, by the server."""
    found: dict[str, Any] = served.ask("/api/count", {"release": release}).json
    return int(found["all"])


def test_a_subset_saved_by_somebody_else_is_offered(followed: Served) -> None:
    before = {view["name"] for view in followed.ask("/api/lake").json["views"]}
    assert followed.ask("/api/subset", {"name": "mine", "search": {}}, TOKEN).status == 201
    now = {view["name"] for view in followed.ask("/api/lake").json["views"]}
    assert now - before == {"mine_v1"}
    assert "mine_v1" not in {v["name"] for v in followed.ask("/api/lake?release=v1").json["views"]}


def test_a_release_served_alone_is_whole_and_takes_no_writes(followed: Served) -> None:
    with serving(open_lake(followed.lake.storage.root, release="v1")) as alone:
        told = alone.ask("/api/lake").json
        assert (told["releases"], told["writes"]) == ([], False)
        row = alone.search(text="a bicycle", k=1)[0]
        assert "bike" in row["url"]
        assert alone.ask("/api/lake?release=v1").status == 422
        for path, body in (
            ("/api/subset", {"name": "other", "search": {}}),
            ("/api/removal", {"sample_id": row["sample_id"]}),
        ):
            refused = alone.ask(path, body, TOKEN)
            assert refused.status == 422
            assert "release v1 is read-only" in refused.json["error"]


@pytest.mark.slow
def test_what_is_removed_is_gone_at_once_and_the_page_tells_what_changed(
    followed: Served, visit: Visit
) -> None:
    page = visit("?release=v1&q=a+bicycle", at=followed)
    settled(page, "Nearest to")
    shown = page.locator(".card img").first.get_attribute("src")
    assert shown is not None
    assert "release=v1" in shown
    page.click("#changes")
    page.get_by_role("button", name="Compare").click()
    page.locator("#dialog-body", has_text="no difference").wait_for()

    first = followed.search(text="a bicycle", k=1)[0]
    all_before = counts(followed, "v1")
    captions = followed.ask(f"/api/row/{first['sample_id']}").json["captions"]
    lake = open_lake(followed.lake.storage.root)
    asked = requests.request(lake.settings.candidates, {"url_id": [first["url_id"]]})
    removal.remove(lake, asked, "a test")

    for release in (None, "v1"):
        assert counts(followed, release) == all_before - len(captions)
        found = followed.search(text="a bicycle", k=100, release=release)
        assert first["url_id"] not in {row["url_id"] for row in found}
        query = f"?release={release}" if release else ""
        assert followed.ask(f"/api/thumbnail/{first['url_id']}{query}").status == 404
        assert followed.ask(f"/api/row/{first['sample_id']}{query}").status == 404
    told = followed.ask("/knn-service", {"text": "a bicycle", "num_images": 1, "indice_name": "demo@v1"}).json
    assert told[0]["url"] != first["url"]
    assert followed.ask("/indices-list").json == ["demo", "demo@v1"]
