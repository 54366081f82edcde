"""On a GPU the arrays give what they give on a CPU: heads, similarity, tags, near vectors."""

from __future__ import annotations

import numpy as np
import pytest
from checkpoint_folder import DATA

from transforms.duplicates.vectors import Block, _between
from transforms.scores import heads
from transforms.scores.arrays import on_device, on_host
from transforms.scores.similarity import cosine
from transforms.scores.tag import tags

cupy = pytest.importorskip("cupy", reason="CuPy is not installed: pairlake[gpu]", exc_type=ImportError)
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not cupy.is_available(), reason="there is no NVIDIA GPU on this machine"),
]

ANSWERS = np.load(DATA / "answers.npz")


@pytest.mark.parametrize(
    ("name", "rows"),
    [("punsafe_b32", "punsafe_b32_x"), ("punsafe_l14", "punsafe_l14_x"), ("aesthetic_v2_l14", "ratings_l14")],
)
def test_heads(name: str, rows: str) -> None:
    vectors = ANSWERS[rows].astype(np.float32)
    found = on_host(heads.head(name, on_device(vectors, "cuda")))
    np.testing.assert_allclose(found, heads.head(name, vectors), rtol=1e-3, atol=1e-5)


def test_similarity_and_tags() -> None:
    random = np.random.default_rng(0)
    images, texts = random.normal(size=(2, 100, 64)).astype(np.float16)
    images[3], texts[5] = 0, np.nan
    there = [on_device(vectors, "cuda") for vectors in (images, texts)]
    np.testing.assert_allclose(on_host(cosine(*there)), cosine(images, texts), atol=1e-5)
    prompts = random.normal(size=(36, 64)).astype(np.float32)
    np.testing.assert_array_equal(on_host(tags(there[0], prompts)), tags(images, prompts))


def test_near_vectors() -> None:
    random = np.random.default_rng(1)
    centres = random.normal(size=(20, 32))
    vectors = (centres[random.integers(0, 20, 3000)] + random.normal(size=(3000, 32)) * 0.2).astype(
        np.float16
    )
    block = Block(np.arange(3000), vectors)
    np.testing.assert_array_equal(_between(block, block, 0.94, "cuda"), _between(block, block, 0.94, "cpu"))
