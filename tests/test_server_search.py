"""The API's searches over the demo's lake: by text, picture, pair and nothing, with conditions and counts."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from serving import Served

from lakehouse import views

BICYCLE = "a bicycle"


def everything(served: Served, condition: str) -> Any:
    """The same question, asked of the lake itself."""
    return views.query(served.lake, f"select count(*) as n from pairs where {condition}")["n"][0].as_py()


def test_the_nearest_to_a_text_come_first_with_what_a_page_shows(served: Served) -> None:
    rows = served.search(text=BICYCLE, k=5)
    assert len(rows) == 5
    assert "bike" in rows[0]["url"]
    assert [row["cosine"] for row in rows] == sorted((row["cosine"] for row in rows), reverse=True)
    assert len({row["url_id"] for row in rows}) == 5  # each picture once
    assert isinstance(rows[0]["sample_id"], str)


def test_pages_continue_one_another(served: Served) -> None:
    whole = [row["sample_id"] for row in served.search(text=BICYCLE, k=20)]
    parts = [row["sample_id"] for at in (0, 10) for row in served.search(text=BICYCLE, k=10, offset=at)]
    assert parts == whole
    browsed = [row["sample_id"] for row in served.search(k=20)]
    assert [row["sample_id"] for at in (0, 10) for row in served.search(k=10, offset=at)] == browsed


def test_conditions_hold_for_every_result_and_leave_as_many_as_there_are(served: Served) -> None:
    filters = {"ranges": {"similarity": [0.4, None], "words": [None, 9]}, "languages": ["en"], "safe": False}
    rows = served.search(text=BICYCLE, k=500, filters=filters, collapse="none")
    held = "similarity >= 0.4::real and len(string_split(text, ' ')) <= 9 and language = 'en'"
    assert len(rows) == everything(served, held) > 10
    assert all(row["similarity"] >= 0.4 and row["language"] == "en" for row in rows)
    counted = served.ask("/api/count", {"filters": filters}).json
    assert counted["matching"] == len(rows)
    assert counted["all"] == everything(served, "true")
    assert everything(served, counted["where"]) == len(rows)  # the SQL that is told is the SQL that was used


def test_a_condition_in_sql_and_a_view_are_conditions_too(served: Served) -> None:
    filters = {"where": "width = height and text ilike '%a%' -- square", "view": "laion2b_en", "safe": False}
    rows = served.search(text=BICYCLE, k=500, filters=filters, collapse="none")
    wanted = "width = height and text ilike '%a%' and sample_id in (select sample_id from laion2b_en)"
    assert len(rows) == everything(served, wanted) > 10


def test_a_picture_finds_itself_by_upload_and_by_its_pair(served: Served) -> None:
    first = served.search(text=BICYCLE, k=1)[0]
    thumbnail = served.ask(f"/api/thumbnail/{first['url_id']}")
    assert (thumbnail.status, thumbnail.headers["content-type"]) == (200, "image/jpeg")
    by_upload = served.search(image=base64.b64encode(thumbnail.body).decode(), k=1)[0]
    by_pair = served.search(sample_id=first["sample_id"], k=1)[0]
    assert by_upload["url_id"] == by_pair["url_id"] == first["url_id"]
    assert by_upload["cosine"] > 0.99
    assert by_pair["cosine"] == pytest.approx(1, abs=1e-3)


def test_histograms_count_every_pair_with_a_value(served: Served) -> None:
    filters = {"languages": ["en"], "safe": False}
    found = served.ask(
        "/api/histogram", {"filters": filters, "facets": ["similarity", "aesthetic", "language"], "bins": 10}
    ).json
    assert sum(found["similarity"]["counts"]) == everything(
        served, "language = 'en' and similarity is not null"
    )
    low, high = found["similarity"]["low"], found["similarity"]["high"]
    half = everything(served, f"language = 'en' and similarity >= {low + (high - low) / 2}")
    assert sum(found["similarity"]["counts"][5:]) == half
    assert found["aesthetic"] == {"low": None, "high": None, "known": 0, "counts": [0] * 10}
    counts = dict(zip(found["language"]["values"], found["language"]["counts"], strict=True))
    assert counts["en"] == everything(served, "language = 'en'")
    assert counts["de"] == everything(served, "language = 'de'")  # as if it were chosen in place of the other


def test_a_pair_tells_where_it_comes_from(served: Served) -> None:
    first = served.search(text=BICYCLE, k=1)[0]
    told = served.ask(f"/api/row/{first['sample_id']}").json
    assert told["crawl_file"].endswith(".warc.wat.gz")
    assert told["page_url"] == first["page_url"]
    assert told["attempts"][-1]["status"] == "success"
    assert {row["scorer"] for row in told["scores"]} >= {"similarity_demo", "punsafe_opennsfw"}
    keys = {batch["key"] for batch in told["batches"]}
    assert keys >= {"candidates", "downloads", "embeddings_demo", "scores/similarity_demo"}
    assert [model["name"] for model in told["models"]] == ["demo"]
    assert served.lake.storage.root not in str(told)


def test_what_is_not_there_is_told(served: Served) -> None:
    assert served.ask("/api/thumbnail/5").status == 404
    assert served.ask("/api/row/5").status == 404
    assert served.ask("/api/lake?release=v1").json == {
        "error": "no release 'v1'; there is none yet: `lake release create NAME`"
    }


def test_metrics_count_requests_and_steps(served: Served) -> None:
    served.search(text=BICYCLE, k=1)
    told = served.ask("/metrics").body.decode()
    assert 'pairlake_requests_total{route="/api/search",status="200"}' in told
    assert 'pairlake_search_seconds_count{step="nearest"}' in told
