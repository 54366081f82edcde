"""DataComp's published filter rules, computed here by pandas, give the ids that the views give.

The rules are those of mlfoundations/datacomp, baselines/apply_filter.py, written down again from its source:
basic_filter, laion (gcld3 English and clip_b32 >= 0.28) and clip_score_*_30_percent (get_threshold). Two
things differ on purpose, and the test's pool makes them visible: languages are the lake's, and a pair without
a score or a picture is in no pool.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lakehouse import views
from lakehouse.lake import Lake, init
from tests import lakes

ROWS = 10_000
SPACES = [" ", "  ", "\t", "\n", "\x0b", "\x1c", "\x85", "\xa0", "\u2003", "\u2028", "\u3000", "\u200b"]
WORDS = ["a", "of", "kite", "über", "日本", "👩‍🚀", "e\u0301", "x" * 12]
LEAST = np.float32(0.28)
EDGES: dict[str, list[object]] = {
    "language": ["en", "de", None],
    "side": [199, 200, 201, 600, None],
    "ratio": [1, 3, 3.005, 2.995, 3.5],
    "similarity": [LEAST, np.nextafter(LEAST, np.float32(0)), np.nextafter(LEAST, np.float32(1)), None],
}


def pool() -> pd.DataFrame:
    """Ten thousand rows in DataComp's names, on both sides of each bound and on it, and NULL everywhere."""
    random = np.random.default_rng(11)

    def text() -> str:
        count = int(random.integers(1, 6))
        parts = [str(random.choice(WORDS)) + str(random.choice(SPACES)) for _ in range(count)]
        return (str(random.choice(SPACES)) + "".join(parts)) if random.random() < 0.2 else "".join(parts)

    def one(name: str) -> object:
        return EDGES[name][int(random.integers(len(EDGES[name])))]

    rows = []
    for number in range(ROWS):
        side, ratio = one("side"), one("ratio")
        sides = [side, None if side is None else int(side * ratio)]  # type: ignore[operator]
        random.shuffle(sides)
        spread = random.normal(0.25, 0.05)
        rows.append(
            {
                "uid": number,
                "text": text(),
                "language": one("language"),
                "original_width": sides[0],
                "original_height": sides[1],
                "b32": np.float32(spread) if random.random() < 0.6 else one("similarity"),
                "l14": np.float32(round(spread, 2)) if random.random() < 0.9 else None,  # with many ties
            }
        )
    return pd.DataFrame(rows).astype({"b32": "float32", "l14": "float32"})


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return pool()


@pytest.fixture(scope="module")
def lake(rows: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    made = init(str(tmp_path_factory.mktemp("datacomp")), "[models.b32]\n[models.l14]\n")
    candidates, downloads = [], []
    scores: dict[str, list[dict[str, object]]] = {"b32": [], "l14": []}
    for row in rows.itertuples():
        language = row.language if isinstance(row.language, str) else None
        candidate = lakes.candidate(str(row.uid), language, sample_id=row.uid, text=row.text)
        candidates.append(candidate)
        fetched = not np.isnan(row.original_width)
        if fetched:
            size = {"width": int(row.original_width), "height": int(row.original_height)}
            downloads.append(lakes.download(candidate, **size))
        for arch, some in scores.items():
            value = getattr(row, arch)
            some.append(
                lakes.score(candidate, None if np.isnan(value) else float(value), f"similarity_{arch}")
            )
    lakes.append(made, {"candidates": candidates})
    lakes.append(made, {"downloads": downloads})
    for arch, values in scores.items():
        lakes.append(made, {f"scores/similarity_{arch}": values})
    return made


def ids(lake: Lake, view: str) -> list[int]:
    found: pa.Table = views.query(lake, f"select sample_id from {view} order by sample_id")
    return found["sample_id"].to_pylist()  # type: ignore[no-any-return]


def clip_score(rows: pd.DataFrame, arch: str, fraction: float) -> list[int]:
    """load_uids_with_clip_score, of the pairs that have one."""
    scored = rows[rows[arch].notna()]
    threshold = -np.sort(-scored[arch].to_numpy())[int(len(scored) * fraction)]
    return scored[scored[arch] >= threshold]["uid"].tolist()


def test_basic_filter(rows: pd.DataFrame, lake: Lake) -> None:
    some = rows[rows["original_width"].notna()]
    words, characters = some["text"].apply(lambda x: len(x.split())), some["text"].apply(len)
    short = np.minimum(some["original_width"], some["original_height"])
    long = np.maximum(some["original_width"], some["original_height"])
    kept = (
        (some["language"] == "en") & (words > 2) & (characters > 5) & (short >= 200) & (long / short <= 3.0)
    )
    wanted = some[kept]["uid"].tolist()
    assert 200 < len(wanted) < ROWS / 3
    assert ids(lake, "datacomp_basic") == wanted


def test_laion_filter(rows: pd.DataFrame, lake: Lake) -> None:
    wanted = rows[(rows["language"] == "en") & (rows["b32"] >= np.float32(0.28))]["uid"].tolist()
    assert 200 < len(wanted) < ROWS / 3
    assert ids(lake, "datacomp_laion2b") == wanted


@pytest.mark.parametrize("arch", ["b32", "l14"])
def test_clip_score_filter(rows: pd.DataFrame, lake: Lake, arch: str) -> None:
    wanted = clip_score(rows, arch, 0.3)
    assert len(wanted) > 0.29 * rows[arch].notna().sum()
    assert ids(lake, f"datacomp_clip_score_{arch}_30_percent") == wanted


@pytest.mark.parametrize("fraction", [0.0, 0.05, 0.1, 0.7, 0.999])
def test_clip_score_filter_at_other_fractions(rows: pd.DataFrame, lake: Lake, fraction: float) -> None:
    found = views.query(
        lake,
        "select sample_id from datacomp_clip_score_l14_30_percent order by sample_id",
        thresholds={"datacomp_clip_score": fraction},
    )
    assert found["sample_id"].to_pylist() == clip_score(rows, "l14", fraction)
