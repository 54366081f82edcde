"""The study's noisy web: its faults come at the stated rates, and the truth tells them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from PIL import Image

from lakehouse.errors import UsageError
from lakehouse.training.noise import BOILERPLATE, CLEAN, Rates, build, caption
from lakehouse.training.pictures import Picture

PICTURES = [Picture("twemoji", f"thing number {i}", Image.new("RGB", (8, 8), (i, 0, 0))) for i in range(200)]


def test_faults_come_at_their_rates() -> None:
    """Of 5,714 links a share differs from its rate by more than 0.04 once in a billion webs."""
    rates = Rates(links=20)
    truth = build(PICTURES, rates).truth
    assert len(truth) == round(200 * 20 / 0.7)
    kinds = Counter(truth["kind"].to_pylist())
    for kind, rate in rates.kinds().items():
        assert kinds[kind] / len(truth) == pytest.approx(rate, abs=0.04)
    assert sum(truth["copy"].to_pylist()) / len(truth) == pytest.approx(rates.copies, abs=0.001)


def test_the_truth_says_what_a_caption_is() -> None:
    for row in build(PICTURES, Rates()).truth.to_pylist():
        shown = PICTURES[int(row["url"].rpartition("/")[2].removesuffix(".jpg"))]
        own = {caption(shown, which) for which in range(5)}
        assert (row["text"] in own) == (row["kind"] == "right")
        assert (row["text"] in BOILERPLATE) == (row["kind"] == "boilerplate")
        assert row["copy"] == row["url"].startswith("http://copies.test/")


def test_every_link_is_on_a_page_and_is_answered() -> None:
    noisy = build(PICTURES, Rates())
    links = [link.src for page in noisy.web.pages for link in page.links]
    assert links == noisy.truth["url"].to_pylist()
    for link in links:
        host, _, path = link.removeprefix("http://").partition("/")
        assert noisy.web.answers[host, f"/{path}"].body.startswith(b"\xff\xd8\xff")


def test_a_few_pictures_have_most_of_the_copies() -> None:
    """As 1/k: of 200 pictures the first ten have half of all, a tenth of them were it even."""
    truth = build(PICTURES, Rates(links=20)).truth
    copied = Counter(url.rpartition("/")[2] for url in truth["url"].to_pylist() if "//copies." in url)
    assert 0.4 < sum(n for _, n in copied.most_common(10)) / copied.total() < 0.6


def test_the_same_seed_gives_the_same_web() -> None:
    one, same, other = (build(PICTURES, Rates(), seed) for seed in (1, 1, 2))
    assert one == same
    assert one.truth != other.truth


def test_a_clean_web_has_right_captions_alone() -> None:
    truth = build(PICTURES, CLEAN).truth
    assert set(truth["kind"].to_pylist()) == {"right"}
    assert not any(truth["copy"].to_pylist())


def test_rates_that_do_not_sum_to_one_are_refused() -> None:
    with pytest.raises(UsageError, match="sum to 1"):
        replace(Rates(), right=0.5)
