"""Results that show the same picture, shown once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakehouse.vectors import Vectors
from transforms.duplicates.rules import COSINE

Collapse = Literal["none", "same", "near"]  # every pair; each URL once; near-duplicate pictures once, too


@dataclass(frozen=True)
class CollapseRules:
    """What counts as the same picture."""

    cosine: float = COSINE  # of image vectors, from which on two pictures are one


def keep(
    rows: pa.Table, how: Collapse, vectors: Vectors, rules: CollapseRules = CollapseRules()
) -> npt.NDArray[np.bool_]:
    """Which of `rows` (sample_id, url_id; nearest first) are shown: bool [n], of each group the first.

    Near-duplicates are grouped as clip-retrieval does: what is linked by a chain of pictures, each near to
    the next, is one group.
    """
    kept = np.ones(len(rows), bool)
    if how == "none" or not len(rows):
        return kept
    _, first = np.unique(rows["url_id"].to_numpy(), return_index=True)
    kept = np.isin(np.arange(len(rows)), first)
    if how == "near":
        places = np.flatnonzero(kept)
        ids = rows["sample_id"].to_numpy()[places]
        found = vectors.of(ids, "image")
        have = [place for place, key in zip(places, ids.tolist(), strict=True) if key in found]
        near = np.stack([found[int(rows["sample_id"][int(place)].as_py())] for place in have])
        kept[np.array(have)[~_leaders(near, rules.cosine)]] = False
    return kept


def _leaders(vectors: npt.NDArray[np.float32], cosine: float) -> npt.NDArray[np.bool_]:
    """Which of `vectors` [n, D] come first in their connected component: bool [n]."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    leader = np.ones(len(unit), bool)
    waiting = np.ones(len(unit), bool)
    for place in range(len(unit)):
        if not waiting[place]:
            continue
        waiting[place] = False
        edge = np.array([place])
        while len(edge):
            others = np.flatnonzero(waiting)
            near = others[(unit[others] @ unit[edge].T >= cosine).any(axis=1)]
            waiting[near] = False
            leader[near] = False
            edge = near
    return leader
