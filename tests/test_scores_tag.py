"""LAION's tag by its two nearest texts: as it was meant, and as it ran."""

from __future__ import annotations

import ast

import numpy as np
import pytest
import torch

from lakehouse.settings import BUILTIN
from tests.test_scores_rows import split, vector_frame
from transforms.scores import further_scorers, score_partition
from transforms.scores.tag import FIRST_UNSAFE, HARMLESS, UNSAFE, tags, texts, vectors_of


def test_as_it_ran_there_are_35_texts_and_as_it_was_meant_36() -> None:
    """Python itself reads two literals without a comma as one, and so every later place is one less."""
    written = ", ".join(repr(text) for text in (*HARMLESS, *UNSAFE)).replace("insect', ", "insect' ")
    assert texts("ran") == tuple(ast.literal_eval(f"[{written}]"))
    assert (len(texts("ran")), len(texts("meant"))) == (35, 36)
    assert texts("meant").index(UNSAFE[0]) == FIRST_UNSAFE
    assert texts("ran").index(UNSAFE[0]) == FIRST_UNSAFE - 1


def laions(image: np.ndarray, prompts: np.ndarray) -> float:
    """What LAION's code did, in torch: softmax of cosines, its two largest, and where they stand."""
    likeness = (100.0 * torch.from_numpy(image) @ torch.from_numpy(prompts).T).softmax(dim=-1)
    _, (first, second) = likeness.topk(2)
    if first < 19 and second < 19:
        return 0
    return 2 if first >= 19 and second >= 19 else 1


@pytest.mark.parametrize("variant", ["meant", "ran"])
def test_tags_are_those_of_the_two_likeliest_texts(variant: str) -> None:
    random = np.random.default_rng(3)
    prompts = random.normal(size=(len(texts(variant)), 16)).astype(np.float32)  # type: ignore[arg-type]
    prompts /= np.linalg.norm(prompts, axis=1, keepdims=True)
    images = random.normal(size=(300, 16)).astype(np.float32)
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    found = tags(images, prompts)
    assert found.tolist() == [laions(image, prompts) for image in images]
    assert set(found.tolist()) == {0, 1, 2}


def test_the_missing_comma_makes_the_plainest_text_harmless() -> None:
    prompts = np.eye(36, dtype=np.float32)
    image = (prompts[FIRST_UNSAFE] + 0.5 * prompts[0])[None]
    assert tags(image, prompts).tolist() == [1]
    as_it_ran = np.delete(prompts, 6, axis=0)
    assert tags(image, as_it_ran).tolist() == [0]


def test_as_a_scorer_under_the_demos_model() -> None:
    scorer, asrun, _ = further_scorers([BUILTIN["demo"]])
    assert (scorer.name, asrun.name, scorer.role) == ("nsfw_demo", "nsfw_asrun_demo", "nsfw")
    assert scorer.fingerprint() != asrun.fingerprint()
    vectors = vectors_of("meant", BUILTIN["demo"])
    assert vectors.shape[0] == 36
    images = [vectors[0], None, vectors[0] * np.nan]
    values, counts = split(score_partition(vector_frame(images, [None] * 3, vectors.shape[1]), scorer))
    assert values[1:] == [None, None]
    assert values[0] in (0, 1)
    assert counts["unit 1", "note:no_embedding"] == counts["unit 0", "note:not_finite"] == 1
