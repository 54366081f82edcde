"""The packaged models tell the harmless from the rest."""

from __future__ import annotations

import io

import numpy as np
import pytest
from checkpoint_folder import PHOTOS
from PIL import Image

from transforms.scores.opennsfw import unsafe
from transforms.scores.toxicity import toxicity

#: what alt-profanity-check gives for captions of photographs, and for insults, when it was chosen
HARMLESS = [
    "a dog runs on the beach",
    "Red bicycle leaning on a wall",
    "IMG_2034.JPG",
    "un chat sur une chaise",
]
INSULTS = ["you are a stupid idiot", "go to hell you piece of shit", "what a fucking moron"]


def test_photos_of_clip_retrieval_are_safe() -> None:
    """The whole photos score at most 0.0091; these are their middles, of 224 pixels."""
    values = unsafe(PHOTOS)
    assert values.dtype == np.float32
    assert ((values > 0) & (values < 0.0092)).all(), values


def test_a_picture_that_cannot_be_decoded_has_no_value_and_shifts_nobody() -> None:
    alone = [unsafe([photo])[0] for photo in PHOTOS]
    mixed = unsafe([PHOTOS[0], b"<html>", *PHOTOS[1:3], b"", PHOTOS[3]])
    assert np.isnan(mixed).tolist() == [False, True, False, False, True, False]
    np.testing.assert_allclose(mixed[[0, 2, 3, 5]], alone[:4], rtol=1e-3)


def test_more_pictures_than_a_batch_keep_their_order() -> None:
    order = [n % len(PHOTOS) for n in range(0, 7 * 11, 2)]
    np.testing.assert_allclose(unsafe([PHOTOS[n] for n in order]), unsafe(PHOTOS)[order], rtol=1e-3)


def test_transparency_counts_as_white() -> None:
    """Pillow alone would show the hidden colour."""
    hidden = Image.open(io.BytesIO(PHOTOS[0])).convert("RGBA")
    hidden.putalpha(0)
    white = Image.new("RGB", hidden.size, "white")
    files = [io.BytesIO(), io.BytesIO()]
    for picture, file in zip((hidden, white), files, strict=True):
        picture.save(file, "PNG")
    assert len(set(unsafe([file.getvalue() for file in files]).tolist())) == 1


def test_no_pictures_and_no_texts_have_no_values() -> None:
    assert unsafe([]).shape == toxicity([]).shape == (0,)


def test_insults_are_toxic_and_captions_are_not() -> None:
    assert toxicity(INSULTS).min() > 0.9
    assert toxicity(HARMLESS).max() < 0.2


@pytest.mark.parametrize("text", ["", " ", "🦊", "漢字", "x" * 100_000, "\0"])
def test_any_text_has_a_probability(text: str) -> None:
    (value,) = toxicity([text])
    assert 0 <= value <= 1
