"""The demo's model: loads as any folder does, and knows pictures in a style that it was not trained on."""

from __future__ import annotations

import numpy as np
import pytest

from lakehouse.demo.evaluate import FOLDER, captions, recall
from lakehouse.demo.pages import build
from lakehouse.demo.pictures import carried
from transforms.embeddings import ModelSpec, dimension, embed_images, embed_texts

SPEC = ModelSpec("demo", str(FOLDER))


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return embed_images([picture.data for picture in carried()], SPEC)


def names(language: str) -> np.ndarray:
    return embed_texts([picture.names[language] for picture in carried()], SPEC)


def test_vectors_have_the_size_that_the_configuration_says(pictures: np.ndarray) -> None:
    assert pictures.shape == (400, dimension(SPEC))
    np.testing.assert_allclose(np.linalg.norm(pictures, axis=1), 1, atol=1e-4)


@pytest.mark.parametrize(
    ("language", "least"),
    [
        ("en", 0.4),
        *((code, 0.25) for code in ("de", "fr", "es", "it", "pt", "nl", "pl", "ru", "tr", "ja", "zh")),
    ],
)
def test_a_name_finds_its_unseen_picture(pictures: np.ndarray, language: str, least: float) -> None:
    """Among 400; chance is 5 in 400. The figures asked for are those for 1,852 pictures, which are harder."""
    assert recall(names(language), pictures)["r5"] >= least


def test_names_given_to_other_pictures_find_nothing(pictures: np.ndarray) -> None:
    """The same measure over names moved by one place, each to another's picture: near chance, 5 in 400."""
    assert recall(np.roll(names("en"), 1, axis=0), pictures)["r5"] < 0.1


def test_right_captions_score_above_wrong_ones() -> None:
    found = captions(build(), SPEC)
    for group in ("en", "others"):
        assert found[group]["right"]["p50"] > found[group]["wrong"]["p95"]


def test_recall_by_hand() -> None:
    """Two of three texts are nearest to their own picture; the third has it last."""
    pictures = np.eye(3, dtype=np.float32)
    texts = np.array([[1, 0, 0], [0, 1, 0], [0.5, 0.4, 0.1]], np.float32)
    assert recall(texts, pictures) == {"r1": pytest.approx(2 / 3), "r5": 1.0}
    equal = np.ones((6, 3), np.float32)
    assert recall(equal, equal) == {"r1": 0.0, "r5": 0.0}
