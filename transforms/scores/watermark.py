"""Pictures with a visible watermark, by a small network that this project trained, or by LAION's own.

The small one was trained by `scripts/train_watermark.py` on a few thousand drawings and photos with generated
watermarks; docs/benchmarks.md says how well it does, and on what.
"""

from __future__ import annotations

import hashlib
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

SMALL = Path(__file__).parent / "weights" / "watermark_small.safetensors"
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


OURS = View(160, Image.Resampling.BICUBIC, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
#: LAION-5B-WatermarkDetection: 256 pixels, ImageNet's mean and deviation
LAIONS = View(256, Image.Resampling.BILINEAR, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def watermarked(pictures: Sequence[bytes]) -> npt.NDArray[np.float32]:
    """Probability that each encoded picture has a watermark: float32 [n]; NaN where it cannot be decoded."""
    return _each(pictures, _small(), OURS)


def laion(frame: pd.DataFrame, weights: Path) -> npt.NDArray[np.float32]:
    """The same by LAION's detector, from its published weights: a scorer of [scorers.NAME] in lake.toml.

    `frame` has the column image. The weights are a state dict of torch; its first output is the watermark's.
    """
    return _each(list(frame["image"]), _laion(weights), LAIONS)


def identity() -> dict[str, str]:
    """The small network's weights, by their sha256."""
    return {"weights_sha256": hashlib.sha256(SMALL.read_bytes()).hexdigest()}


def network() -> Any:
    """The small network: pictures as OURS makes them, [n, 3, 160, 160], to logits [n, 1]."""
    from torch import nn

    def block(ins: int, outs: int, stride: int) -> list[Any]:
        return [nn.Conv2d(ins, outs, 3, stride, 1, bias=False), nn.BatchNorm2d(outs), nn.ReLU(inplace=True)]

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths = [(3, 16, 2), (16, 32, 2), (32, 64, 2), (64, 64, 1), (64, 96, 2), (96, 96, 1)]
            self.features = nn.Sequential(*[layer for width in widths for layer in block(*width)])
            self.head = nn.Linear(2 * 96, 1)

        def forward(self, pictures: Any) -> Any:
            found = self.features(pictures)
            import torch

            return self.head(torch.cat([found.mean((2, 3)), found.amax((2, 3))], 1))

    return Network()


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
def _small() -> Any:
    from safetensors.torch import load_file

    model = network()
    model.load_state_dict({name: value.float() for name, value in load_file(SMALL).items()})
    model.eval()
    return lambda pictures: model(pictures)[:, 0].sigmoid()


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
