"""Searches steered towards pictures that people rated high or low, over both APIs."""

from __future__ import annotations

from collections.abc import Iterator

import huggingface_hub.constants
import numpy as np
import pytest
from serving import Served, serving

from lakehouse.lake import init
from tests import lakes
from transforms.scores import heads

N, SIZE = 200, 512
RNG = np.random.default_rng(11)
VECTORS = RNG.normal(size=(N, SIZE)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)
ROWS = [lakes.candidate(f"thing {i}", "en") for i in range(N)]
QUERY = VECTORS[0] + 0.2 * VECTORS[1]


@pytest.fixture(scope="module")
def rated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A lake under OpenAI's ViT-B/32, whose vectors LAION's raters saw; its weights are not fetched."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        yield from _served(tmp_path_factory)


def _served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    lake = init(str(tmp_path_factory.mktemp("rated") / "lake"))
    lakes.append(lake, {"candidates": ROWS})
    embeddings = [
        {
            "sample_id": row["sample_id"],
            "image_embedding": vector,
            "text_embedding": vector,
            "unit": lakes.UNIT,
        }
        for row, vector in zip(ROWS, VECTORS.astype(np.float16), strict=True)
    ]
    lakes.append(lake, {"embeddings_b32": embeddings})
    with serving(lake) as running:
        yield running


def expected(score: int, weight: float) -> list[int]:
    """clip_back.compute_query: query + embedding[score] * weight, then the nearest, by NumPy."""
    ratings = heads.ratings("b32")
    assert ratings is not None
    steered = QUERY / np.linalg.norm(QUERY) + ratings[score] * weight
    order = np.argsort(-(VECTORS.astype(np.float16).astype(np.float64) @ steered))
    return [ROWS[place]["sample_id"] for place in order[:10]]


def plain() -> list[int]:
    return expected(0, 0.0)


@pytest.mark.parametrize("score", [0, 9])
def test_by_the_page(rated: Served, score: int) -> None:
    rows = rated.search(
        embedding=QUERY.tolist(),
        k=10,
        collapse="none",
        filters={"safe": False},
        aesthetic_score=score,
        aesthetic_weight=1,
    )
    assert [int(row["sample_id"]) for row in rows] == expected(score, 1.0) != plain()
    assert rated.ask("/api/lake").json["models"][0]["steerable"] is True


@pytest.mark.parametrize("score", [0, 9])
def test_by_clip_retrievals_format(rated: Served, score: int) -> None:
    asked = {
        "embedding_input": QUERY.tolist(),
        "modality": "image",
        "num_images": 10,
        "indice_name": "b32",
        "aesthetic_score": score,
        "aesthetic_weight": 1.0,
    }
    told = rated.ask("/knn-service", asked)
    assert [row["id"] for row in told.json] == expected(score, 1.0) != plain()
