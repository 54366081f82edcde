"""The same picture, shown once: by URL, and by how near the pictures' vectors are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lakehouse.lake import Lake, init
from lakehouse.search import Query, find
from tests import lakes
from tests.removal_lakes import caption


def turned(degrees: float) -> np.ndarray:
    """A vector at that angle from the first axis."""
    vector = np.zeros(512)
    vector[:2] = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return vector.astype(np.float16)


def made(root: Path, angles: list[float]) -> Lake:
    """A lake with a picture at each angle, and a second caption for the first picture."""
    lake = init(str(root))
    rows = [lakes.candidate(f"{number}") for number in range(len(angles))]
    rows.append(caption(rows[0], "again"))
    lakes.append(lake, {"candidates": rows})
    vectors = [turned(angle) for angle in [*angles, angles[0]]]
    embedded = [
        {"sample_id": row["sample_id"], "image_embedding": v, "text_embedding": v, "unit": lakes.UNIT}
        for row, v in zip(rows, vectors, strict=True)
    ]
    lakes.append(lake, {"embeddings_b32": embedded})
    return lake


def names(lake: Lake, **query: object) -> list[str]:
    rows = find(lake, Query(vector=turned(0), **query)).rows  # type: ignore[arg-type]
    return [url.rsplit("/", 1)[1].removesuffix(".jpg") for url in rows["url"].to_pylist()]


def test_each_url_once(tmp_path: Path) -> None:
    lake = made(tmp_path / "lake", [0, 40])
    assert names(lake) == ["0", "0", "1"]
    assert names(lake, collapse="same") == ["0", "1"]


def test_near_duplicates_are_chains(tmp_path: Path) -> None:
    """Cosine 0.94 is 19.95 degrees: 0-15-30 is one chain, 55 stands alone, 80 and 90 are one."""
    lake = made(tmp_path / "lake", [0, 15, 30, 55, 80, 90])
    assert names(lake, collapse="near") == ["0", "3", "4"]
    assert names(lake, collapse="same") == ["0", "1", "2", "3", "4", "5"]


def test_k_counts_what_is_left(tmp_path: Path) -> None:
    """Fifty copies come first; five others are asked for, and found."""
    copies, others = [float(i) / 100 for i in range(50)], [25.0, 50.0, 75.0, 100.0, 125.0]
    lake = made(tmp_path / "lake", copies + others)
    for k in (3, 6, 60):
        first, *rest = names(lake, collapse="near", k=k)
        assert int(first) < 50
        assert rest == ["50", "51", "52", "53", "54"][: k - 1]
