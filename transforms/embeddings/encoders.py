"""The two encoders of a CLIP model: pictures and texts to vectors of length 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL.Image import Image

Vectors = npt.NDArray[np.float32]

#: open_clip's tokenizer remembers every word it has met; a web's worth of words would fill the memory.
TOKENIZER_MEMORY = 100_000


class Model:
    """A loaded CLIP model.

    Its encoders take one batch at a time, compute no gradients, and may be called from several threads.
    """

    def __init__(
        self, network: Any, preprocess: Callable[[Image], Any], tokenizer: Any, device: str, dimension: int
    ) -> None:
        self._network = network.to(device).eval()
        self._preprocess = preprocess
        self._tokenizer = tokenizer
        self._device = device
        self.dimension = dimension

    def encode_pictures(self, pictures: Sequence[Image]) -> Vectors:
        """Vectors of RGB pictures, float32 [n, dimension], L2-normalised; NaN where that is not possible."""
        import torch

        tensors = torch.stack([self._preprocess(picture) for picture in pictures])
        return self._encode(self._network.encode_image, tensors)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Vectors of texts cut to the model's context, float32 [n, dimension], L2-normalised or NaN."""
        tokens = self._tokenizer(list(texts))
        cache = getattr(self._tokenizer, "cache", None)
        if cache is not None and len(cache) > TOKENIZER_MEMORY:
            special = self._tokenizer.all_special_ids
            self._tokenizer.cache = {self._tokenizer.decoder[i]: self._tokenizer.decoder[i] for i in special}
        return self._encode(self._network.encode_text, tokens)

    def _encode(self, encoder: Callable[[Any], Any], batch: Any) -> Vectors:
        """`batch` through `encoder`; a batch too large for the device's memory goes in halves."""
        import torch

        try:
            with torch.inference_mode():
                return normalise(encoder(batch.to(self._device)).float().cpu().numpy())
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
        half = len(batch) // 2
        return np.concatenate([self._encode(encoder, batch[:half]), self._encode(encoder, batch[half:])])


def normalise(vectors: npt.NDArray[Any]) -> Vectors:
    """Each row of `vectors` [n, D] at length 1; a row that is zero or not finite becomes NaN."""
    wide = vectors.astype(np.float64)
    finite = np.asarray(np.isfinite(wide).all(axis=1))
    length = np.sqrt((np.where(finite[:, None], wide, 0.0) ** 2).sum(axis=1))
    usable = np.flatnonzero(length)
    unit = np.full(vectors.shape, np.nan, np.float32)
    unit[usable] = wide[usable] / length[usable, None]
    return unit
