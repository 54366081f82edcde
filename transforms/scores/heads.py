"""LAION's small models on CLIP image embeddings: aesthetics, and unsafe pictures (punsafe).

Their weights are in `weights/`, whose README names sources and licences.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from transforms.scores.arrays import array_module, as_float32

WEIGHTS = Path(__file__).parent / "weights"

#: Keras' epsilon(), the least standard deviation that its Normalization layer divides by
KERAS_EPSILON = 1e-7


def head(name: str, vectors: Any) -> Any:
    """What the head `name` ("aesthetic_v2_l14", "punsafe_b32") says of each of `vectors`.

    `vectors`: [n, D] float, NumPy or CuPy, L2-normalised image embeddings of the CLIP model that the head was
    trained on. float32 [n]: an aesthetic rating, some 1 to 10, or the probability that the picture is unsafe;
    NaN where a vector is not finite. Raises FileNotFoundError for an unknown name.
    """
    xp = array_module(vectors)
    weights = {key: xp.asarray(value) for key, value in _weights(name).items()}
    x = as_float32(vectors)
    finite = None
    if "mean" in weights:  # a detector, whose look-up of categories would hide what is not finite
        finite = xp.isfinite(x.sum(axis=1))  # what is not finite stays so in a sum, and this is one pass
        x = x if finite.all() else xp.where(finite[:, None], x, 0)
        x = _normalise(_categories(x, weights), weights)
    depth = sum(key.startswith("kernel") for key in weights)
    for layer in range(depth):
        x = x @ weights[f"kernel{layer}"] + weights[f"bias{layer}"]
        if layer < depth - 1:  # only the detectors have more than one layer
            x = xp.maximum(x, 0)
    values = x[:, 0]
    if finite is not None:
        values = xp.exp(
            -xp.logaddexp(0, -values)
        )  # the sigmoid, which neither overflows nor loses small ones
    usable = xp.isfinite(values) if finite is None else finite
    return xp.where(usable, values, xp.nan).astype(xp.float32)


def ratings(model: str) -> npt.NDArray[np.float32] | None:
    """LAION's image embeddings of human ratings 0 to 9 under the CLIP model of that short name.

    float32 [10, D], each of length 1; None where there are none for the model.
    """
    name = f"ratings_{model}"
    return _weights(name)["vectors"] if _path(name).is_file() else None


def sha256(name: str) -> str:
    """Of the head's weights file, hex."""
    return hashlib.sha256(_path(name).read_bytes()).hexdigest()


def _path(name: str) -> Path:
    return WEIGHTS / f"{name}.safetensors"


@cache
def _weights(name: str) -> dict[str, npt.NDArray[Any]]:
    from safetensors.numpy import load_file

    return dict(load_file(_path(name)))


def _categories(x: Any, weights: dict[str, Any]) -> Any:
    """`x` with each column that AutoKeras took for a category replaced by its category's number.

    AutoKeras printed the value with six decimals and looked the string up among those it had seen in
    training: 1, 2, … by vocabulary, 0 for a string unseen. A float32 times a million is exact in float64, so
    rounding it gives the printed digits as a whole number. "-0.000000" is no "0.000000", and was never seen.
    """
    xp = array_module(x)
    x = x.copy()
    for key, vocabulary in weights.items():
        if not key.startswith("vocabulary_"):
            continue
        column = int(key.removeprefix("vocabulary_"))
        millionths = xp.rint(x[:, column].astype(xp.float64) * 1e6)
        order = xp.argsort(vocabulary)
        sorted_keys = vocabulary[order].astype(xp.float64)
        place = xp.minimum(xp.searchsorted(sorted_keys, millionths), len(order) - 1)
        minus_zero = (millionths == 0) & xp.signbit(millionths)
        seen = (sorted_keys[place] == millionths) & ~minus_zero
        x[:, column] = xp.where(seen, order[place] + 1, 0)
    return x


def _normalise(x: Any, weights: dict[str, Any]) -> Any:
    xp = array_module(x)
    return (x - weights["mean"]) / xp.maximum(xp.sqrt(weights["variance"]), KERAS_EPSILON)
