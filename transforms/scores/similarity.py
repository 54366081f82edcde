"""How well picture and caption fit: the cosine of their vectors."""

from __future__ import annotations

from typing import Any

from transforms.scores.arrays import array_module, as_float32


def cosine(images: Any, texts: Any) -> Any:
    """Cosine of each row of `images` with the same row of `texts`: two arrays [n, D], NumPy or CuPy.

    float32 [n]; NaN where a vector is zero or not finite. The vectors need not have length 1: those of the
    lake, rounded to float16, miss it by some 1e-4. Of float16 the sums are float32, which they cannot
    overflow; of anything else float64.
    """
    xp = array_module(images)
    if images.dtype == texts.dtype == xp.float16:
        images, texts = as_float32(images), as_float32(texts)
    else:
        images, texts = images.astype(xp.float64), texts.astype(xp.float64)
    lengths = xp.sqrt(_dots(images, images)) * xp.sqrt(_dots(texts, texts))
    usable = xp.isfinite(lengths) & (lengths > 0)
    cosines = _dots(images, texts) / xp.where(usable, lengths, 1)
    return xp.where(usable, cosines, xp.nan).astype(xp.float32)


def _dots(some: Any, others: Any) -> Any:
    return array_module(some).einsum("ij,ij->i", some, others)
