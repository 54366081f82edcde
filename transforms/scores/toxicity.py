"""Toxic captions by alt-profanity-check: a linear model on words and their pieces, trained on English."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt


def toxicity(texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """Probability that each text is offensive, float32 [n]. It knows English only; other texts score low."""
    if not len(texts):
        return np.empty(0, np.float32)
    # imported here: it reads its model at import, and scikit-learn takes seconds
    from profanity_check import predict_prob

    return np.asarray(predict_prob(list(texts)), np.float32)


def identity() -> dict[str, str]:
    """The versions of the package and of scikit-learn that its model runs on, and the model's sha256."""
    package = importlib.metadata.distribution("alt-profanity-check")
    digest = hashlib.sha256()
    for name in ("vectorizer.joblib", "model.joblib"):
        digest.update(Path(str(package.locate_file(f"profanity_check/data/{name}"))).read_bytes())
    return {
        "alt-profanity-check": package.version,
        "scikit-learn": importlib.metadata.version("scikit-learn"),
        "weights_sha256": digest.hexdigest(),
    }
