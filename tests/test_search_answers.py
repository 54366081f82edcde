"""What a search finds: against NumPy over the same vectors, for every way of asking."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lakehouse.errors import UsageError
from lakehouse.lake import Lake, init
from lakehouse.search import Query, Searcher, Steering, find
from tests import lakes
from transforms.scores import heads

N = 400
RNG = np.random.default_rng(5)
TOLERANCE = 2e-4  # of a cosine of float16 vectors with 512 elements


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float16)


IMAGES, TEXTS = (unit(RNG.normal(size=(N, 512))) for _ in range(2))
ROWS = [lakes.candidate(f"thing {i}", "en" if i % 4 else "de") for i in range(N)]
PLACE = {row["sample_id"]: place for place, row in enumerate(ROWS)}


def embedding(place: int) -> Mapping[str, Any]:
    return {
        "sample_id": ROWS[place]["sample_id"],
        "image_embedding": IMAGES[place],
        "text_embedding": TEXTS[place],
        "unit": lakes.UNIT,
    }


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """N pairs in two batches, without an index."""
    lake = init(str(tmp_path_factory.mktemp("search") / "lake"))
    for some in (range(N // 2), range(N // 2, N)):
        lakes.append(lake, {"candidates": [ROWS[i] for i in some]})
        lakes.append(lake, {"embeddings_b32": [embedding(i) for i in some]})
    return lake


def check(
    rows: pa.Table, vector: np.ndarray, k: int, vectors: np.ndarray = IMAGES, among: Any = range(N)
) -> None:
    """The rows are the `k` nearest by NumPy, but for vectors that are as near within float16."""
    unit = vector.astype(np.float64) / np.linalg.norm(vector)
    true = vectors.astype(np.float64) @ unit
    best = np.sort(true[list(among)])[::-1][:k]
    places = [PLACE[key] for key in rows["sample_id"].to_pylist()]
    assert len(set(places)) == len(places) == len(best)
    assert set(places) <= set(among)
    np.testing.assert_allclose(true[places], best, atol=TOLERANCE)
    np.testing.assert_allclose(rows["cosine"].to_numpy(), true[places], atol=TOLERANCE)
    assert (np.diff(rows["cosine"].to_numpy()) <= 0).all()


@pytest.mark.parametrize(("modality", "vectors"), [("image", IMAGES), ("text", TEXTS)])
def test_a_vector_of_any_length(filled: Lake, modality: Any, vectors: np.ndarray) -> None:
    vector = RNG.normal(size=512)
    found = find(filled, Query(vector=vector * 7, modality=modality, k=25))
    check(found.rows, vector, 25, vectors)
    assert found.matching is None
    assert {"embed", "nearest", "rows"} <= found.seconds.keys()


@pytest.mark.parametrize(("like", "vectors"), [("image", IMAGES), ("text", TEXTS)])
def test_a_pair_by_its_picture_or_its_caption(filled: Lake, like: Any, vectors: np.ndarray) -> None:
    found = find(filled, Query(sample_id=ROWS[7]["sample_id"], like=like, k=5))
    check(found.rows, vectors[7], 5)


@pytest.mark.parametrize("where", ["language = 'de'", "sample_id in (select sample_id from pairs limit 3)"])
@pytest.mark.parametrize("k", [1, 50, 1000])
def test_a_condition_leaves_as_many_as_satisfy_it(filled: Lake, where: str, k: int) -> None:
    vector = RNG.normal(size=512)
    found = find(filled, Query(vector=vector, where=where, k=k))
    if where.startswith("language"):
        german = [i for i in range(N) if i % 4 == 0]
        check(found.rows, vector, k, among=german)
        assert found.matching == len(german)
    else:
        assert len(found.rows) == min(k, 3)
        assert found.matching == 3


def test_columns_are_those_asked_for(filled: Lake) -> None:
    found = find(filled, Query(vector=IMAGES[3], k=1, columns=["url", "similarity", "width"]))
    assert found.rows.column_names == ["sample_id", "cosine", "url", "similarity", "width"]
    assert found.rows["url"].to_pylist() == [ROWS[3]["url"]]


def test_steering_is_clip_retrievals(filled: Lake) -> None:
    """clip_back.compute_query: query + embedding[score] * weight, divided by its length."""
    vector = IMAGES[11].astype(np.float32)
    ratings = heads.ratings("b32")
    assert ratings is not None
    for score, weight in ((9, 0.5), (0, 1.0)):
        steered = vector / np.linalg.norm(vector) + ratings[score] * weight
        found = find(filled, Query(vector=vector, steering=Steering(score, weight), k=30))
        check(found.rows, steered, 30)
    assert Searcher(filled).steerable


def test_a_searcher_follows_head(tmp_path: Path) -> None:
    lake = init(str(tmp_path / "lake"))
    lakes.append(lake, {"candidates": ROWS[:4]})
    lakes.append(lake, {"embeddings_b32": [embedding(i) for i in (0, 1)]})
    searcher = Searcher(lake)
    assert len(searcher.find(Query(vector=IMAGES[0])).rows) == 2
    lakes.append(lake, {"embeddings_b32": [embedding(i) for i in (2, 3)]})
    assert len(searcher.find(Query(vector=IMAGES[0])).rows) == 4


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({}, "search by one of a text, a picture, a vector and a sample_id"),
        ({"text": "a", "sample_id": 1}, "search by one of"),
        ({"text": "a", "k": 0}, "k = 0: expected 1 to 10,000"),
        ({"text": "a", "k": 10_001}, "expected 1 to 10,000"),
        ({"vector": [1.0, 2.0]}, "b32 has 512 elements"),
        ({"vector": np.zeros(512)}, "near to nothing"),
        ({"vector": np.full(512, np.nan)}, "near to nothing"),
        ({"sample_id": 1}, "no pair 1 with vectors of b32"),
        ({"vector": np.ones(512), "where": "height >"}, "SQL error"),
        ({"vector": np.ones(512), "where": "true; drop table pairs"}, "SQL error"),
        ({"vector": np.ones(512), "columns": ["nothing"]}, "does not have a column named .nothing."),
    ],
)
def test_what_cannot_be_meant(filled: Lake, query: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find(filled, Query(**query))


def test_a_steering_that_cannot_be_meant() -> None:
    for score, weight in ((10, 0.5), (-1, 0.5), (3, 1.5), (3, float("nan"))):
        with pytest.raises(UsageError, match="expected 0 to 9 and 0 to 1"):
            Steering(score, weight)
