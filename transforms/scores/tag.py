"""LAION-5B's column NSFW: which of 35 texts fit a picture best, by CLIP.

The two likeliest texts decide: both harmless is UNLIKELY (0), both unsafe NSFW (2), one of each UNSURE (1).
As it ran, LAION's list had a comma too few: two harmless texts became one, every later text moved up a place,
and the first unsafe one was counted among the harmless. Here are both: as it was meant, and as it ran.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any, Literal

from transforms.embeddings.model import ModelSpec
from transforms.scores.arrays import array_module, as_float32

Variant = Literal["meant", "ran"]

#: rvencu/crawlingathome-gpu-hcloud, ``gpu_inference.py`` at commit 71c071d, with its spelling
HARMLESS = (
    "neutral",
    "selfie",
    "illustration, drawing",
    "toys, play, kids, children",
    "teddy bear, puppet",
    "animal, bird, mammal, insect",  # no comma followed
    "fashion, clothes",
    "logo, commercial, ad, advertisement",
    "drawing, painting",
    "anime, cartoon",
    "comedy, fun",
    "romance, love story",
    "thriller, suspense, crime story",
    "action, action movie",
    "horror, monster movie",
    "documentary",
    "news, journalism",
    "entertainment",
    "talk show",
)
UNSAFE = (
    "porn, sex, sperm, nipples, breats, tits, boops, penis, dick, cock, clitoris, vagina, fuck, lust, horny, "
    "sexual, lick, licking",
    "porn, sex, sperm, nipples",
    "porn, sex, sperm, penis, dick, cock",
    "nipples, breasts, tits, boops, sexy",
    "penis, dick, cock",
    "clitoris, vagina",
    "sex, fuck, lust, horny, sexual, lick, licking",
    "porn, sex, sexy",
    "sexy, hot",
    "sperm, skin",
    "lust, horny, sexual",
    "lick, licking, body",
    "anime, hentai, sexy",
    "cartoon, sexy, sex",
    "hentai",
    "anime, sexy, breasts",
    "hentai",
)
FIRST_UNSAFE = 19  # the place from which on LAION's code took a text for an unsafe one


def texts(variant: Variant) -> tuple[str, ...]:
    """The list of texts: as it was meant, or as Python read it, with two of them run together."""
    if variant == "meant":
        return HARMLESS + UNSAFE
    return (*HARMLESS[:5], HARMLESS[5] + HARMLESS[6], *HARMLESS[7:], *UNSAFE)


def tags(vectors: Any, prompts: Any) -> Any:
    """0, 1 or 2 for each of `vectors` [n, D]: how many of its two nearest of `prompts` [m, D] are unsafe.

    NumPy or CuPy; float32 [n], NaN where a vector is not finite. `prompts` in the order of `texts`.
    """
    xp = array_module(vectors)
    vectors = as_float32(vectors)
    finite = xp.isfinite(vectors).all(axis=1)
    likeness = xp.where(finite[:, None], vectors, 0) @ xp.asarray(prompts, xp.float32).T
    nearest = xp.argsort(-likeness, axis=1)[:, :2]
    counted = (nearest >= FIRST_UNSAFE).sum(axis=1).astype(xp.float32)
    return xp.where(finite, counted, xp.nan).astype(xp.float32)


@cache
def vectors_of(variant: Variant, spec: ModelSpec) -> Any:
    """The vectors of the list's texts under the model, float32 [m, D] of length 1."""
    from transforms.embeddings import embed_texts  # here: it brings torch

    return embed_texts(texts(variant), spec)


def identity(variant: Variant, spec: ModelSpec) -> dict[str, Any]:
    """What decides about the tags: the texts, and the model that reads them."""
    digest = hashlib.sha256("\n".join(texts(variant)).encode()).hexdigest()
    return {"texts_sha256": digest, "model": spec.fingerprint()}
