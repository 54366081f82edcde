"""What the methods group is what holding every two pairs against each other groups, however it is cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transforms import columns
from transforms.duplicates import by_file, by_phash, by_vectors, by_vectors_in_clusters
from transforms.duplicates.components import stars
from transforms.duplicates.hashes import masks, near

ORDER = {"b": 0, "a": 1}  # the crawl read unit b first
VECTOR = pa.list_(pa.float16(), 6)


def joined(ids: Sequence[int], same: Callable[[int, int], bool]) -> set[frozenset[int]]:
    """The components of two or more, by joining sets until nothing is left to join."""
    sets = [{i} for i in range(len(ids))]
    for i, j in combinations(range(len(ids)), 2):
        if same(i, j):
            one, other = (next(s for s in sets if k in s) for k in (i, j))
            if one is not other:
                sets.remove(other)
                one |= other
    return {frozenset(ids[i] for i in s) for s in sets if len(s) > 1}


def cut(frame: pd.DataFrame, partitions: int) -> dd.DataFrame:
    return dd.from_pandas(frame, npartitions=max(1, min(partitions, len(frame))), sort=False)


def pairs_of(ids: Sequence[int]) -> pa.Table:
    units = ["ab"[i % 2] for i in ids]
    return pa.table(
        {"sample_id": pa.array(ids, pa.int64()), "unit": units, "position": [i * 7 % 13 for i in ids]}
    )


@pytest.fixture(autouse=True, scope="module")
def _shuffles_here() -> Iterator[None]:
    """Whatever client another test has left open: these frames are computed in this process."""
    with dask.config.set({"dataframe.shuffle.method": "tasks"}):
        yield


def compute(frames: Iterable[dd.DataFrame]) -> tuple[dict[int, dict[str, Any]], Counter[str]]:
    """Rows by sample_id, and counts; every row in is a row out or counted."""
    rows: dict[int, dict[str, Any]] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for frame in frames:
        meta = columns.meta(columns.counted(columns.DUPLICATES))
        assert frame.dtypes.to_dict() == meta.dtypes.to_dict()
        made = frame.compute(scheduler="sync")
        for row in columns.to_arrow(made, columns.counted(columns.DUPLICATES)).to_pylist():
            if row[columns.COUNT] is None:
                assert row["sample_id"] not in rows
                rows[row["sample_id"]] = row
            else:
                counts[row["unit"], row[columns.COUNT]] += row[columns.N]
    for unit in ORDER:
        out = sum(row["unit"] == unit for row in rows.values())
        dropped = sum(n for (u, name), n in counts.items() if u == unit and name.startswith("drop:"))
        assert counts[unit, "in"] == out + dropped
    total: Counter[str] = Counter()
    for (_, name), n in counts.items():
        total[name] += n
    return rows, total


def assert_groups(rows: dict[int, dict[str, Any]], expected: set[frozenset[int]], method: str) -> None:
    """The groups are these; each is called by its smallest member, and its first in the crawl is kept."""
    found: dict[int, set[int]] = {}
    for key, row in rows.items():
        found.setdefault(row["group_id"], set()).add(key)
        assert row["method"] == method
    assert {frozenset(members) for members in found.values()} == expected
    for name, members in found.items():
        assert name == min(members)
        (kept,) = [key for key in members if rows[key]["kept"]]
        assert kept == min(members, key=lambda i: (ORDER["ab"[i % 2]], i * 7 % 13, i))


def downloads_of(urls: Sequence[tuple[int, str, str | None, int | None]], attempts: int = 1) -> pa.Table:
    """Attempts at URLs: url_id, status, sha256, phash; each earlier attempt had another file."""
    made = []
    for url, status, sha256, phash in urls:
        for attempt in range(1, attempts + 1):
            last = attempt == attempts
            made.append(
                {
                    "url_id": url,
                    "attempt": attempt,
                    "status": status if last else "success",
                    "sha256": sha256 if last else "0" * 64,
                    "phash": phash if last else 0,
                }
            )
    names = ("url_id", "attempt", "status", "sha256", "phash")
    return pa.Table.from_pylist(
        made, pa.schema([columns.DOWNLOADS.field(n).with_nullable(True) for n in names])
    )


urls_of_pairs = st.lists(st.integers(0, 8), min_size=1, max_size=24)


@given(
    urls_of_pairs, st.lists(st.sampled_from(["f00", "bad", "c0de", None]), min_size=9, max_size=9), st.data()
)
@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.too_slow])
def test_the_same_file_by_any_url(urls: list[int], files: list[str | None], data: st.DataObject) -> None:
    ids = [5 * n - 40 for n in range(len(urls))]
    status = ["success" if file else "timeout" for file in files]
    downloads = downloads_of([(u, status[u], files[u], None) for u in range(9)], attempts=2)
    pairs = pairs_of(ids).append_column("url_id", pa.array(urls, pa.int64()))
    parts, tasks = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    made = by_file(
        cut(columns.to_pandas(pairs), parts), cut(columns.to_pandas(downloads), parts), ORDER, tasks
    )
    rows, counts = compute(made)
    file = [files[u] for u in urls]
    assert_groups(rows, joined(ids, lambda i, j: file[i] is not None and file[i] == file[j]), "sha256")
    assert counts["in"] == len(ids)
    assert counts["drop:no_picture"] == file.count(None)


near_hashes = st.lists(
    st.tuples(st.sampled_from([0, 2**64 - 1, 0x0123456789ABCDEF]), st.sets(st.integers(0, 63), max_size=5)),
    min_size=2,
    max_size=20,
)


@given(near_hashes, st.integers(0, 7), st.sampled_from([1, 10**4, 10**7]))
@settings(deadline=None)
def test_masks_find_every_two_hashes_that_are_near(
    flipped: list[tuple[int, set[int]]], distance: int, most: int
) -> None:
    """Nothing is missed however many hashes the masks are chosen for."""
    hashes = np.unique(np.array([base ^ sum(1 << bit for bit in bits) for base, bits in flipped], np.uint64))
    edges = [near(hashes, distance, mask) for mask in masks(most, distance)]
    found = stars(np.concatenate(edges))
    groups: dict[int, set[int]] = {}
    for member, root in found.tolist():
        groups.setdefault(root, {root}).add(member)
    ids = hashes.view(np.int64).tolist()
    expected = joined(ids, lambda i, j: (int(hashes[i]) ^ int(hashes[j])).bit_count() <= distance)
    assert {frozenset(members) for members in groups.values()} == expected


@pytest.mark.parametrize(("parts", "tasks"), [(1, 1), (3, 2)])
def test_near_hashes_as_rows(parts: int, tasks: int) -> None:
    """Chains of four bits a step; one caption more on a picture; one URL that brought nothing."""
    steps = [0, 0b1111, 0b1111_1111, 0b1_1111 << 40, 0b11 << 62]
    signed = np.array(steps, np.uint64).view(np.int64).tolist()
    urls = [(n, "success", str(n), phash) for n, phash in enumerate(signed)] + [(9, "dns", None, None)]
    asked = [0, 1, 1, 2, 3, 4, 9]
    ids = [-3, 8, 1, 4, 10, 6, 5]
    pairs = pairs_of(ids).append_column("url_id", pa.array(asked, pa.int64()))
    frames = by_phash(
        cut(columns.to_pandas(pairs), parts),
        cut(columns.to_pandas(downloads_of(urls)), parts),
        ORDER,
        4,
        6,
        tasks,
    )
    rows, counts = compute(frames)
    assert_groups(rows, {frozenset({-3, 8, 1, 4, 6})}, "phash")  # 2 bits from the first of the chain
    assert counts == {"in": 7, "drop:no_picture": 1, "drop:single": 1}


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float16).astype(np.longdouble), b.astype(np.float16).astype(np.longdouble)
    lengths = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / lengths) if lengths > 0 and np.isfinite(lengths) else -1.0


def embedded(vectors: np.ndarray, ids: Sequence[int]) -> tuple[pd.DataFrame, pd.DataFrame]:
    pairs = pairs_of(ids)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float16).ravel()), vectors.shape[1])
    frame = pa.table({"sample_id": pairs["sample_id"], "image_embedding": lists, "unit": pairs["unit"]})
    return columns.to_pandas(frame), columns.to_pandas(pairs.select(["sample_id", "position"]))


@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.sampled_from([0.8, 0.94, 0.999]))
@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.too_slow])
def test_near_vectors_are_those_of_exact_cosines(seed: int, n: int, threshold: float) -> None:
    random = np.random.default_rng(seed)
    centres = random.normal(size=(1 + n // 6, 6))
    vectors = centres[random.integers(0, len(centres), n)] + random.normal(size=(n, 6)) * 0.2
    vectors[0] = 0
    if n > 3:
        vectors[1] = np.nan
    ids = random.choice(1000, n, replace=False).tolist()
    frame, candidates = embedded(vectors, ids)
    expected = joined(ids, lambda i, j: cosine(vectors[i], vectors[j]) >= threshold)
    for parts, tasks in ((1, 1), (4, 3)):
        found = by_vectors(
            cut(frame, parts), cut(candidates, parts), "embedding_x", ORDER, threshold, "cpu", tasks
        )
        rows, counts = compute(found)
        assert_groups(rows, expected, "embedding_x")
        assert counts["in"] == n


def test_a_cosine_at_the_threshold_counts_whatever_float32_makes_of_it() -> None:
    """Vectors whose cosine is the threshold to the last bit, of lengths that float32 has to round."""
    ids, threshold = [1, 2], 0.6
    vectors = np.array([[1, 0, 0, 0, 0, 0], [3 / 4, 1, 0, 0, 0, 0]])  # 3-4-5
    frame, candidates = embedded(vectors, ids)
    for scale in (1, 3, 1 / 3):
        scaled, _ = embedded(np.array([[scale, 0, 0, 0, 0, 0], [3 / 4, 1, 0, 0, 0, 0]]), ids)
        rows, _ = compute(by_vectors(cut(scaled, 2), cut(candidates, 1), "e", ORDER, threshold, "cpu", 1))
        assert rows.keys() == {1, 2}
    rows, _ = compute(by_vectors(cut(frame, 2), cut(candidates, 1), "e", ORDER, 0.6000001, "cpu", 1))
    assert not rows


def test_clusters_find_what_lies_together_and_the_same_however_it_is_cut() -> None:
    """Tight bunches far from each other: clusters miss nothing of them, and join nothing else."""
    random = np.random.default_rng(5)
    bunches = random.normal(size=(60, 6))
    which = np.repeat(np.arange(60), 5)
    vectors = bunches[which] + random.normal(size=(300, 6)) * 0.003
    ids = random.choice(10_000, 300, replace=False).tolist()
    frame, candidates = embedded(vectors, ids)
    exact = joined(ids, lambda i, j: cosine(vectors[i], vectors[j]) >= 0.9995)
    answers = []
    for parts, tasks in ((1, 1), (5, 4)):
        made = by_vectors_in_clusters(
            cut(frame, parts), cut(candidates, parts), "clusters_x", ORDER, 0.9995, "cpu", tasks, 300
        )
        rows, counts = compute(made)
        assert counts["in"] == 300
        answers.append({key: (row["group_id"], row["kept"]) for key, row in rows.items()})
    assert answers[0] == answers[1]
    groups: dict[int, set[int]] = {}
    for key, (name, _) in answers[0].items():
        groups.setdefault(name, set()).add(key)
    found = {frozenset(g) for g in groups.values()}
    assert all(any(g <= e for e in exact) for g in found)
    assert len(found & exact) > 0.9 * len(exact)


def test_no_pairs_no_groups() -> None:
    frame, candidates = embedded(np.zeros((0, 6)), [])
    empty = cut(frame, 1)
    for made in (
        by_vectors(empty, cut(candidates, 1), "e", ORDER, 0.94, "cpu", 1),
        by_vectors_in_clusters(empty, cut(candidates, 1), "c", ORDER, 0.94, "cpu", 1, 0),
    ):
        assert compute(made) == ({}, Counter())
