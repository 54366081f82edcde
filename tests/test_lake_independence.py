"""The same crawl, whatever the workers, the batches and the tasks: equal content, numbers within bounds."""

from __future__ import annotations

from pathlib import Path

import demo_lake
import numpy as np
import pytest
from demo_lake import Crawl
from distributed import Client

from lakehouse import cluster, settings
from lakehouse.lake import Lake

pytestmark = pytest.mark.slow  # two lakes are built

# How far what models compute may differ between batches of another shape on one machine.
LEAST_COSINE = 0.9999  # between two embeddings of one pair: float16 keeps 11 bits
SCORE_DIFFERENCE = 2e-3  # of a similarity or a probability
LANGUAGE_DIFFERENCE = 1e-6  # CLD3 sees one text at a time
PHASH_BITS = 0  # one decoder, one picture


@pytest.fixture(scope="module")
def other(few_crawl: Crawl, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Built by one worker, both files in one batch, in tasks of 512 rows."""
    made = few_crawl.lake(tmp_path_factory.mktemp("other") / "lake", units=4, rows=512)
    with cluster.connect(settings.Cluster(workers=1)) as client:
        demo_lake.built(made, client)
    return made


@pytest.fixture(scope="module")
def one(few_crawl: Crawl, client: Client, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Built by two workers, a batch per file, in tasks of 64 rows or fewer."""
    made = few_crawl.lake(tmp_path_factory.mktemp("one") / "lake", units=1, rows=64)
    demo_lake.built(made, client)
    return made


def test_they_were_cut_differently(one: Lake, other: Lake) -> None:
    following = "stored_pairs"  # cut by what it follows from
    batches = [
        {key: high for key, (_, high) in lake.pins().items() if key != following} for lake in (one, other)
    ]
    assert set(batches[0].values()) == {2}
    assert set(batches[1].values()) == {1}


def test_the_content_is_equal(one: Lake, other: Lake) -> None:
    assert demo_lake.content(one) == demo_lake.content(other)


def test_what_was_dropped_is_equal(one: Lake, other: Lake) -> None:
    """A repetition within a batch has another name than one of an earlier batch; nothing else differs."""
    same = {"drop:known": "drop:duplicate", "drop:fetched_before": "drop:same_url"}
    for key in one.pins():
        found = [{}, {}]
        for told, lake in zip(found, (one, other), strict=True):
            for name, n in demo_lake.counts(lake, key).items():
                told[same.get(name, name)] = told.get(same.get(name, name), 0) + n
        assert found[0] == found[1], key


def test_numbers_are_within_their_tolerance(one: Lake, other: Lake) -> None:
    pairs = zip(_by_key(one, "embeddings_demo"), _by_key(other, "embeddings_demo"), strict=True)
    for mine, theirs in pairs:
        for name in ("image_embedding", "text_embedding"):
            cosine = np.dot(np.float32(mine[name]), np.float32(theirs[name]))
            assert cosine / np.linalg.norm(mine[name]) / np.linalg.norm(theirs[name]) >= LEAST_COSINE
    for scorer in ("similarity_demo", "punsafe_opennsfw", "toxicity_profanity_check"):
        for mine, theirs in zip(*[_by_key(lake, f"scores/{scorer}") for lake in (one, other)], strict=True):
            assert mine["value"] == pytest.approx(theirs["value"], abs=SCORE_DIFFERENCE)
    for mine, theirs in zip(_by_key(one, "candidates"), _by_key(other, "candidates"), strict=True):
        assert mine["language_probability"] == pytest.approx(
            theirs["language_probability"], abs=LANGUAGE_DIFFERENCE
        )
    for mine, theirs in zip(_by_key(one, "downloads"), _by_key(other, "downloads"), strict=True):
        if mine["phash"] is not None:
            assert ((mine["phash"] ^ theirs["phash"]) & (2**64 - 1)).bit_count() <= PHASH_BITS


def test_both_are_sound(one: Lake, other: Lake) -> None:
    demo_lake.assert_sound(one)
    demo_lake.assert_sound(other)


@pytest.mark.parametrize(("units", "rows"), [(1, 64), (4, 512)])
def test_the_whole_demo(
    units: int, rows: int, demo: Lake, demo_crawl: Crawl, client: Client, tmp_path: Path
) -> None:
    made = demo_crawl.lake(tmp_path / "lake", units, rows)
    demo_lake.built(made, client)
    assert demo_lake.content(made) == demo_lake.content(demo)
    demo_lake.assert_sound(made)


def _by_key(lake: Lake, key: str) -> list[dict[str, object]]:
    """The rows of a ledger key, in the order of their keys."""
    names = lake.spec(key.partition("/")[0]).key
    rows = demo_lake.read(lake, key).to_pylist()
    return sorted(rows, key=lambda row: tuple(row[name] for name in names))
