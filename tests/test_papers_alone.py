"""Report, gallery and card are single files that stand alone and tell the lake's own numbers."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import pytest
from distributed import Client
from PIL import Image

from lakehouse import removal, requests, views
from lakehouse.errors import UsageError
from lakehouse.lake import Lake
from lakehouse.papers.card import card
from lakehouse.papers.gallery import gallery
from lakehouse.papers.report import report
from tests import lakes

FETCHED = re.compile(r"""(?:src|href|url)\s*[=(]\s*["']?(?!data:|#)([^"')\s>]+)""")


@pytest.fixture(scope="module")
def near(demo: Lake) -> str:
    return gallery(demo, "pairs", "similarity", 0.46, 6)


def test_nothing_is_fetched_from_elsewhere(demo: Lake, near: str) -> None:
    for page in (report(demo), near):
        styles_and_markup = re.sub(r"<figcaption>.*?</figcaption>", "", page, flags=re.S)
        assert FETCHED.findall(styles_and_markup) == []


def test_a_report_has_a_section_and_the_rows_of_each_file(demo: Lake) -> None:
    page = report(demo)
    for path in Path(__file__).parents[1].glob("sql/reports/*.sql"):
        assert f'<section id="{path.stem}">' in page
    kept = views.query(demo, "select count(*) as n from laion2b_en").to_pylist()[0]["n"]
    assert re.search(rf"<td>laion2b_en</td>\s*<td class=n>{kept}</td>", page)
    scorers = views.query(demo, "select distinct scorer from scores").num_rows
    # hosts, languages, repeated_pictures, safety, similarity_by_language, size_histogram, and one per scorer
    assert page.count("<svg") == 6 + scorers


def test_a_gallery_shows_the_pairs_nearest_to_the_threshold(demo: Lake, near: str) -> None:
    found = [float(text) for text in re.findall(r"<figcaption><strong>([\d.]+)</strong>", near)]
    scores = views.query(
        demo, "select similarity::double as s from pairs where similarity is not null and status = 'success'"
    )["s"].to_pylist()
    above = sorted(s for s in scores if s >= 0.46)[:6]
    below = sorted((s for s in scores if s < 0.46), reverse=True)[:6]
    assert found == pytest.approx([*above, *below], abs=1e-4)


def test_its_pictures_are_the_stored_ones(demo: Lake, near: str) -> None:
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', near)
    assert len(pictures) == 12
    for text in pictures:
        with Image.open(io.BytesIO(base64.b64decode(text))) as picture:
            assert max(picture.size) <= 256


def test_a_gallery_names_what_it_does_not_know(demo: Lake) -> None:
    with pytest.raises(UsageError, match="no score 'beauty'"):
        gallery(demo, "pairs", "beauty", 1.0)
    with pytest.raises(UsageError, match="no view 'laion9b'"):
        gallery(demo, "laion9b", "similarity", 0.3)


def test_a_card_tells_rules_models_and_counts(demo: Lake) -> None:
    text = card(demo)
    languages = views.query(demo, "select language, count(*) as n from pairs group by 1").to_pylist()
    for row in languages:
        assert f"| {row['language'] or '(none)'} | {row['n']} |" in text
    assert "| `min_bytes` | 5,000 |" in text  # LAION's, in bytes
    assert re.search(r"`weights_sha256` \| [0-9a-f]{64}", text)
    assert "similarity_demo | 0.46" in text


def test_a_card_tells_what_was_removed(tmp_path: Path, client: Client) -> None:
    lake = lakes.small(tmp_path / "lake")
    assert "## Removals\n\nNone." in card(lake)
    asked = requests.request(lake.settings.candidates, {"url": [lakes.candidate("apple")["url"]]}, [])
    removal.remove(lake, asked, "", client)
    assert re.search(r"\| removals:1 \| \d{4}-\d\d-\d\d \| 1 \| 1 \|", card(lake))


def test_text_from_the_web_stays_text(demo: Lake, near: str) -> None:
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", near, re.S)
    assert captions
    assert not any(re.search(r"<(?!/?(?:strong|span|code)\b)", caption) for caption in captions)
