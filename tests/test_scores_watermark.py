"""Watermarks: by the small network that is carried, and by LAION's where its weights are given."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from checkpoint_folder import PHOTOS
from PIL import Image, ImageDraw, ImageFont

from transforms.embeddings.pictures import decode
from transforms.scores import Call, ScorerError
from transforms.scores.watermark import LAIONS, SMALL, _each, network, watermarked


def tiled(photo: bytes) -> bytes:
    """The photo with half-transparent words all over it."""
    picture = Image.open(io.BytesIO(photo)).convert("RGB")
    mask = Image.new("L", picture.size)
    draw, font = ImageDraw.Draw(mask), ImageFont.load_default(16)
    for y in range(10, picture.height, 36):
        for x in range(0, picture.width, 90):
            draw.text((x, y), "PREVIEW", font=font, fill=150)
    marked = Image.composite(Image.new("RGB", picture.size, "white"), picture, mask)
    file = io.BytesIO()
    marked.save(file, "PNG")
    return file.getvalue()


def test_words_over_real_photos_raise_the_probability() -> None:
    """Seven photos that training never saw, of a kind that it hardly saw."""
    before, after = watermarked(PHOTOS), watermarked([tiled(photo) for photo in PHOTOS])
    assert before.dtype == np.float32
    assert ((before >= 0) & (before <= 1)).all()
    assert (after > before).mean() > 0.8
    assert np.median(after) > 0.5 > np.median(before)


def test_a_picture_that_cannot_be_decoded_has_no_value_and_shifts_nobody() -> None:
    alone = np.concatenate([watermarked([photo]) for photo in PHOTOS[:3]])
    mixed = watermarked([PHOTOS[0], b"<html>", *PHOTOS[1:3]])
    assert np.isnan(mixed).tolist() == [False, True, False, False]
    np.testing.assert_allclose(mixed[[0, 2, 3]], alone, atol=1e-5)
    assert watermarked([]).shape == (0,)


def test_the_weights_are_small_and_fit_the_network() -> None:
    assert SMALL.stat().st_size < 1 << 20
    assert sum(value.numel() for value in network().parameters()) < 300_000


def test_what_a_network_sees_is_what_torchvision_makes() -> None:
    """LAION's detector was fed by torchvision's transforms."""
    from torchvision import transforms as vision

    theirs = vision.Compose(
        [
            vision.Resize((256, 256)),
            vision.ToTensor(),
            vision.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    picture = decode(PHOTOS[2])
    assert picture is not None
    np.testing.assert_allclose(LAIONS.pixels(picture), theirs(picture).numpy(), atol=1e-5)


def test_laions_network_with_weights_of_the_same_form(tmp_path: Path) -> None:
    """Random weights, saved and read again by their digest: the first of two softmax outputs."""
    import timm
    from torch import nn

    torch.manual_seed(4)
    model = timm.create_model("efficientnet_b3", pretrained=False, num_classes=2)
    model.classifier = nn.Sequential(
        nn.Linear(1536, 625), nn.ReLU(), nn.Dropout(0.3), nn.Linear(625, 256), nn.ReLU(), nn.Linear(256, 2)
    )
    path = tmp_path / "watermark.pt"
    torch.save(model.state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    frame = pd.DataFrame({"image": [PHOTOS[0], b"", PHOTOS[1]]})
    values = Call("transforms.scores.watermark:laion", None, str(path), digest).values(frame)
    model.eval()
    with torch.inference_mode():
        expected = _each([PHOTOS[0], PHOTOS[1]], lambda x: model(x).softmax(1)[:, 0], LAIONS)
    assert np.isnan(values[1])
    np.testing.assert_allclose(values[[0, 2]], expected, atol=1e-5)
    assert values[0] != values[2]
    with pytest.raises(ScorerError, match="have the sha256"):
        Call("transforms.scores.watermark:laion", None, str(path), "0" * 64).values(frame)
