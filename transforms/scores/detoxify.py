"""Toxic captions in many languages, by Detoxify's model: its weights are in no package, and are given."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

BATCH = 32
TOKENS = 128  # of a caption that are read


def toxicity(frame: pd.DataFrame, weights: Path) -> npt.NDArray[np.float32]:
    """Probability that each text is toxic, float32 [n]: a scorer of [scorers.NAME] in lake.toml.

    `frame` has the column text. `weights`: `model.safetensors` of a folder as transformers keeps Detoxify's
    multilingual model (unitary/multilingual-toxic-xlm-roberta), its configuration and tokenizer beside it.
    The first output is the toxicity, by a sigmoid, as in `predict` of Detoxify.
    Needs the extra `multilingual`.
    """
    import torch

    tokenizer, model = _loaded(weights.parent)
    texts = ["" if text is None else str(text) for text in frame["text"].tolist()]
    values = np.empty(len(texts), np.float32)
    for start in range(0, len(texts), BATCH):
        some = texts[start : start + BATCH]
        tokens = tokenizer(some, return_tensors="pt", padding=True, truncation=True, max_length=TOKENS)
        with torch.inference_mode():
            values[start : start + BATCH] = model(**tokens).logits[:, 0].sigmoid().numpy()
    return values


@cache
def _loaded(folder: Path) -> tuple[Any, Any]:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True)
    return tokenizer, model.eval()
