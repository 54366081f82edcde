"""Scores that LAION published beside its URLs and texts, taken over from the lists that have them.

A row of `scores` says what the list's row at the candidate's position says: NULL where that has nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import dask.dataframe as dd
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from transforms import columns
from transforms.candidates import lists
from transforms.candidates.errors import UnreadableUnit
from transforms.files import READS, Reads
from transforms.scores.scorers import NEEDS, Scorer, scored

#: What LAION's tables call their links and texts; a list without both is somebody else's, and so its scores
LAIONS = frozenset({"URL", "TEXT"})

#: The columns of LAION's tables that are scores. `similarity` is the cosine of OpenAI's ViT-B/32 (of mCLIP
#: where the text is not English), `aesthetic` stands in laion2B-en-aesthetic and its sisters (predictor V1),
#: `AESTHETIC_SCORE` in the improved_aesthetics sets (predictor V2), `NSFW` in the first release.
PUBLISHED = tuple(
    Scorer(name, name.partition("_")[0], "lists", column=column)
    for name, column in (
        ("similarity_laion", "similarity"),
        ("punsafe_laion", "punsafe"),
        ("pwatermark_laion", "pwatermark"),
        ("aesthetic_v1_laion", "aesthetic"),
        ("aesthetic_v2_laion", "AESTHETIC_SCORE"),
        ("nsfw_laion", "NSFW"),
    )
)

#: What LAION's words in the column NSFW become: how many of the two likeliest categories are unsafe ones
#: (rvencu/crawlingathome-gpu-hcloud, ``gpu_inference.py``)
WORDS = {"UNLIKELY": 0.0, "UNSURE": 1.0, "NSFW": 2.0}

Place = tuple[str, int | None, int | None]  # a list's path, and the rows [start, stop) of a unit


def score_columns(names: Iterable[str]) -> tuple[str, ...]:
    """The columns that are scores of LAION's, where `names` are those of one of its tables."""
    there = set(names)
    return tuple(s.column for s in PUBLISHED if s.column in there and there >= LAIONS and s.column)


def published(
    inputs: dd.DataFrame, scorer: Scorer, places: Mapping[str, Place], reads: Reads = READS
) -> dd.DataFrame:
    """`columns.SCORES` with one row for each row of `inputs` whose unit is in `places`, in their order.

    `inputs` has the columns NEEDS["lists"]. The lists are read again, each slice's one column, by the tasks.
    NULL is counted per unit: ``note:not_published`` where the list has nothing, ``note:not_finite`` where it
    has no number. A task raises UnreadableUnit where a list has fewer rows than its units.
    """
    meta = columns.meta(columns.counted(columns.SCORES))
    rows: dd.DataFrame = inputs[NEEDS["lists"]].map_partitions(
        published_partition, scorer, places, reads, meta=meta
    )
    return rows


def published_partition(
    frame: pd.DataFrame, scorer: Scorer, places: Mapping[str, Place], reads: Reads = READS
) -> pd.DataFrame:
    """`published` of one pandas partition."""
    ours = frame[frame["unit"].isin(list(places))]
    if not len(ours):
        return columns.meta(columns.counted(columns.SCORES))
    table = pa.Table.from_pandas(ours[NEEDS["lists"]], preserve_index=False)
    units, position = ours["unit"].to_numpy(object), ours["position"].to_numpy(np.int64)
    raw = np.empty(len(table), object)
    for unit in dict.fromkeys(units.tolist()):
        here = units == unit
        raw[here] = _column(places[unit], str(scorer.column), reads)[position[here]]
    return scored(table, scorer, *numbers(raw, scorer))


def numbers(
    raw: npt.NDArray[np.object_], scorer: Scorer
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """What a list has for a score, as float32, not finite where that is no number; where it has nothing."""
    words = WORDS if scorer.column == "NSFW" else {}
    missing = np.array([value is None or value == "" for value in raw], bool)
    with np.errstate(over="ignore"):  # beyond float32: not finite, and so NULL
        values = np.array([_number(value, words) for value in raw], np.float64).astype(np.float32)
    return values, missing


def _column(place: Place, name: str, reads: Reads) -> npt.NDArray[np.object_]:
    """One column of a unit's rows, read again from its list."""
    path, start, stop = place
    found = [row[0] for batch in lists.rows(path, start, stop, [[name]], reads) for row in batch]
    if stop is not None and len(found) != stop - (start or 0):
        raise UnreadableUnit(
            f"{path} ends before row {stop}, which it had when it was added: put the same file back"
        )
    return np.array([*found, None], object)[:-1]  # the None keeps NumPy from looking into lists


def _number(value: Any, words: Mapping[str, float]) -> float:
    """The number that a list has for a score; NaN where it has none."""
    if isinstance(value, str):
        with suppress(ValueError):
            return words[value] if value in words else float(value)
        return math.nan
    return float(value) if isinstance(value, int | float) else math.nan
