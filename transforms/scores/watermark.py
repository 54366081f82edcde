"""Pictures with a visible watermark, by LAION's network: its weights are in no package, and are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from transforms.embeddings.pictures import decode

BATCH = 64


@dataclass(frozen=True)
class View:
    """How a network looks at a picture: squeezed to a square, its colours shifted and scaled."""

    side: int
    how: Image.Resampling
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]

    def pixels(self, picture: Image.Image) -> npt.NDArray[np.float32]:
        """float32 [3, side, side]."""
        small = np.asarray(picture.convert("RGB").resize((self.side, self.side), self.how), np.float32)
        normal = (small / 255 - np.array(self.mean, np.float32)) / np.array(self.deviation, np.float32)
        return np.ascontiguousarray(normal.transpose(2, 0, 1))


#: LAION-5B-WatermarkDetection: 256 pixels, ImageNet's mean and deviation
LAIONS = View(256, Image.Resampling.BILINEAR, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def laion(frame: pd.DataFrame, weights: Path) -> npt.NDArray[np.float32]:
    """Probability that each picture has a watermark: a scorer of [scorers.NAME] in lake.toml.

    `frame` has the column image, encoded; float32 [n], NaN where one cannot be decoded. The weights are a
    state dict of torch for timm's efficientnet_b3a; its first output is the watermark's.
    """
    return _each(list(frame["image"]), _laion(weights), LAIONS)


def _each(pictures: Sequence[bytes], model: Any, view: View) -> npt.NDArray[np.float32]:
    import torch

    values = np.full(len(pictures), np.nan, np.float32)
    for start in range(0, len(pictures), BATCH):
        batch = enumerate(pictures[start : start + BATCH], start)
        decoded = {place: picture for place, data in batch if (picture := decode(data)) is not None}
        if decoded:
            stacked = np.stack([view.pixels(picture) for picture in decoded.values()])
            with torch.inference_mode():
                values[list(decoded)] = model(torch.from_numpy(stacked)).numpy()
    return values


@cache
def _laion(weights: Path) -> Any:
    import timm
    import torch
    from torch import nn

    model = timm.create_model("efficientnet_b3", pretrained=False, num_classes=2)
    model.classifier = nn.Sequential(
        nn.Linear(1536, 625), nn.ReLU(), nn.Dropout(0.3), nn.Linear(625, 256), nn.ReLU(), nn.Linear(256, 2)
    )
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    model.eval()
    return lambda pictures: model(pictures).softmax(1)[:, 0]
