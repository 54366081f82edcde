"""LAION's heads give the answers that were published for them."""

from __future__ import annotations

import numpy as np
import pytest
from checkpoint_folder import DATA
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from transforms.scores import heads

ANSWERS = np.load(DATA / "answers.npz")

#: from LAION-AI/aesthetic-predictor's ten rating embeddings, computed with its own torch layers
AESTHETIC_V1 = {
    "l14": [-2.458, -0.138, 1.895, 3.585, 5.100, 6.470, 7.787, 9.048, 10.226, 11.304],
    "b32": [-1.470, 0.273, 1.990, 3.611, 5.087, 6.393, 7.668, 8.915, 9.917, 11.006],
}


@pytest.mark.parametrize("model", ["l14", "b32"])
def test_aesthetic_v1_of_the_rating_embeddings(model: str) -> None:
    values = heads.head(f"aesthetic_v1_{model}", ANSWERS[f"ratings_{model}"])
    np.testing.assert_allclose(values, AESTHETIC_V1[model], atol=6e-4)  # three decimals are published


def test_aesthetic_v2_of_the_rating_embeddings() -> None:
    values = heads.head("aesthetic_v2_l14", ANSWERS["ratings_l14"])
    np.testing.assert_allclose(values, ANSWERS["aesthetic_v2_l14_y"], atol=1e-4)
    np.testing.assert_allclose(values[[0, -1]], [1.655, 5.747], atol=6e-4)
    assert (np.diff(values) > 0).all()


@pytest.mark.parametrize("model", ["l14", "b32"])
def test_punsafe_of_the_reference_rows(model: str) -> None:
    values = heads.head(f"punsafe_{model}", ANSWERS[f"punsafe_{model}_x"])
    np.testing.assert_allclose(values, ANSWERS[f"punsafe_{model}_y"], atol=1e-6)


def test_seven_photos_have_the_scores_of_clip_retrieval() -> None:
    vectors = ANSWERS["seven_b32"].astype(np.float32)
    aesthetic = heads.head("aesthetic_v1_b32", vectors)
    np.testing.assert_allclose(aesthetic, ANSWERS["seven_aesthetic_v1_b32"], atol=1e-4)
    unsafe = heads.head("punsafe_b32", vectors)
    np.testing.assert_allclose(unsafe, ANSWERS["seven_punsafe_b32"], rtol=1e-3, atol=1e-12)


@pytest.mark.parametrize(
    ("model", "rows", "hits"),
    [("b32", "seven_b32", 7 * 3), ("b32", "punsafe_b32_x", 1), ("l14", "punsafe_l14_x", 6)],
)
def test_the_reference_vectors_meet_the_vocabularies(model: str, rows: str, hits: int) -> None:
    """Else a look-up that finds nothing would pass the two tests above."""
    found = 0
    for key, vocabulary in load_file(heads.WEIGHTS / f"punsafe_{model}.safetensors").items():
        if key.startswith("vocabulary_"):
            seen = {f"{millionths / 1e6:.6f}" for millionths in vocabulary}
            column = ANSWERS[rows][:, int(key.removeprefix("vocabulary_"))]
            found += sum(f"{value:.6f}" in seen for value in column.tolist())
    assert found == hits


@given(st.lists(st.floats(-1, 1, width=32) | st.integers(-(10**6), 10**6).map(lambda n: n / 1e6), min_size=1))
@settings(deadline=None)
def test_categories_are_looked_up_as_printed_with_six_decimals(values: list[float]) -> None:
    column = np.array(values, np.float32)
    printed = [f"{value:.6f}" for value in column.tolist()]
    vocabulary = [*dict.fromkeys(key for key in printed[::2] if key != "-0.000000"), "0.123456"]
    millionths = np.array([int(key.replace(".", "")) for key in vocabulary], np.int32)
    found = heads._categories(column[:, None], {"vocabulary_0": millionths})[:, 0]
    expected = [vocabulary.index(key) + 1 if key in vocabulary else 0 for key in printed]
    assert found.tolist() == expected


def test_a_vector_that_is_not_finite_has_no_value() -> None:
    """Not even where the fault is in a column that a detector takes for a category."""
    vectors = np.repeat(ANSWERS["ratings_b32"][:1], 4, axis=0)
    vectors[1, 92], vectors[2, 0], vectors[3, 5] = np.nan, np.inf, -np.inf
    for name in ("punsafe_b32", "aesthetic_v1_b32"):
        assert np.isfinite(heads.head(name, vectors)).tolist() == [True, False, False, False]


def test_values_do_not_depend_on_the_neighbours() -> None:
    for name, vectors in [
        ("punsafe_l14", ANSWERS["punsafe_l14_x"]),
        ("aesthetic_v2_l14", ANSWERS["ratings_l14"]),
    ]:
        alone = np.concatenate([heads.head(name, vector[None]) for vector in vectors])
        np.testing.assert_allclose(heads.head(name, vectors), alone, rtol=1e-4, atol=1e-7)


def test_no_vectors_no_values() -> None:
    assert heads.head("punsafe_b32", np.empty((0, 512), np.float32)).shape == (0,)


def test_weights_are_small_enough_to_carry() -> None:
    assert sum(path.stat().st_size for path in heads.WEIGHTS.iterdir()) < 2_000_000
