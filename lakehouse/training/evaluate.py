"""Zero-shot classification and retrieval on held-out pictures, each a class of its own under its name.

Chance is 1 in as many as there are pictures, for the first place; a tie counts against the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakehouse.demo.evaluate import recall
from lakehouse.demo.sentences import SENTENCES
from lakehouse.training.pictures import on_white

BATCH = 256

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Encoded:
    """What a model makes of n held-out pictures and their names: float32 [n, D], of length 1."""

    pictures: Vectors
    names: Vectors  # the bare names
    classes: Vectors  # the mean over the prompts, as zero-shot classification has it


def encode(model: Path, held_out: pa.Table) -> Encoded:
    """The vectors of `held_out` (columns name, picture) by the model in the folder `model`."""
    import open_clip
    import torch

    source = f"local-dir:{model}"
    network, _, preprocess = open_clip.create_model_and_transforms(source)
    network.eval()
    tokenizer = open_clip.get_tokenizer(source)
    names = held_out["name"].to_pylist()

    def texts(form: str) -> Any:
        batches = [names[start : start + BATCH] for start in range(0, len(names), BATCH)]
        encoded = [
            network.encode_text(tokenizer([form.format(n) for n in b]), normalize=True) for b in batches
        ]
        return torch.cat(encoded)

    with torch.inference_mode():
        pictures = []
        for start in range(0, len(held_out), BATCH):
            images = held_out["picture"][start : start + BATCH].to_pylist()
            tensors = torch.stack([preprocess(on_white(image)) for image in images])
            pictures.append(network.encode_image(tensors, normalize=True))
        # Radford et al. 2021, section 3.1.4: the mean of the normalised vectors of all prompts
        classes = torch.stack([texts(form) for form in SENTENCES["en"]]).mean(0)
        classes = torch.nn.functional.normalize(classes, dim=-1)
        return Encoded(torch.cat(pictures).numpy(), texts("{}").numpy(), classes.numpy())


def measure(encoded: Encoded) -> dict[str, float]:
    """Zero-shot top-1 and top-5, and R@1 and R@5 from text to picture and from picture to text."""
    zero_shot = recall(encoded.pictures, encoded.classes)
    to_picture = recall(encoded.names, encoded.pictures)
    to_text = recall(encoded.pictures, encoded.names)
    return {
        "zero_shot_top1": zero_shot["r1"],
        "zero_shot_top5": zero_shot["r5"],
        "text_to_picture_r1": to_picture["r1"],
        "text_to_picture_r5": to_picture["r5"],
        "picture_to_text_r1": to_text["r1"],
        "picture_to_text_r5": to_text["r5"],
    }


def resampled(encoded: Encoded, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of zero-shot top-1, by a bootstrap over the held-out pictures."""
    cosine = encoded.pictures @ encoded.classes.T
    hit = ((cosine >= np.diag(cosine)[:, None]).sum(axis=1) == 1).astype(float)
    chance = np.random.default_rng(seed)
    means = chance.choice(hit, (draws, len(hit))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
