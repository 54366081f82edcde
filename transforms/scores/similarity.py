"""How well picture and caption fit: the cosine of their vectors."""

from __future__ import annotations

from typing import Any

from transforms.scores.arrays import array_module


def cosine(images: Any, texts: Any) -> Any:
    """Cosine of each row of `images` with the same row of `texts`: two arrays [n, D], NumPy or CuPy.

    float32 [n]; NaN where a vector is zero or not finite. The vectors need not have length 1: those of the
    lake, rounded to float16, miss it by some 1e-4.
    """
    xp = array_module(images)
    images, texts = images.astype(xp.float64), texts.astype(xp.float64)
    finite = xp.isfinite(images).all(axis=1) & xp.isfinite(texts).all(axis=1)
    images, texts = xp.where(finite[:, None], images, 0), xp.where(finite[:, None], texts, 0)
    lengths = xp.linalg.norm(images, axis=1) * xp.linalg.norm(texts, axis=1)
    usable = lengths > 0
    cosines = (images * texts).sum(axis=1) / xp.where(usable, lengths, 1)
    return xp.where(usable, cosines, xp.nan).astype(xp.float32)
