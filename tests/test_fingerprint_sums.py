"""Fingerprints add up: order and cutting do not matter, every row counts, what leaves is subtracted."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse import fingerprints
from lakehouse.fingerprints import MODULUS, Fingerprint, fingerprint
from transforms import columns

SCHEMA = pa.schema(
    [
        columns.URL_ID,
        columns.column("text", pa.string(), "content", "a text"),
        columns.column("vector", pa.list_(pa.float16(), 2), "numeric", "a vector"),
        columns.column("seen", pa.timestamp("us", tz="UTC"), "observation", "a moment"),
    ]
)


def table(ids: list[int]) -> pa.Table:
    """One row per id; equal ids make equal rows."""
    vectors = pa.array(
        np.array([[i % 7, -i % 5] for i in ids], np.float16).reshape(-1).tolist(), pa.float16()
    )
    return pa.table(
        [
            pa.array(ids, pa.int64()),
            pa.array([None if i % 5 == 0 else f"text {i}" for i in ids], pa.string()),
            pa.FixedSizeListArray.from_arrays(vectors, 2),
            pa.array([i * 1_000_003 for i in ids], pa.timestamp("us", tz="UTC")),
        ],
        schema=SCHEMA,
    )


rows = st.lists(st.integers(0, 2**40), max_size=40)


@settings(max_examples=60, deadline=None)
@given(rows, st.randoms(use_true_random=False), st.lists(st.integers(0, 40), max_size=4))
def test_order_and_cuts_do_not_matter(ids: list[int], shuffler: random.Random, cuts: list[int]) -> None:
    shuffled = ids.copy()
    shuffler.shuffle(shuffled)
    bounds = [0, *sorted(min(cut, len(ids)) for cut in cuts), len(ids)]
    total = Fingerprint()
    for low, high in itertools.pairwise(bounds):
        total += fingerprint(table(shuffled[low:high]))
    assert total == fingerprint(table(ids))


@settings(max_examples=60, deadline=None)
@given(rows, rows)
def test_removed_rows_are_subtracted(kept: list[int], removed: list[int]) -> None:
    assert fingerprint(table(kept + removed)) - fingerprint(table(removed)) == fingerprint(table(kept))


@given(st.integers(0, MODULUS - 1), st.integers(0, MODULUS - 1))
def test_difference_undoes_the_sum(a: int, b: int) -> None:
    one, other = Fingerprint(a, b), Fingerprint(b, a)
    assert one + other - other == one
    assert 0 <= (one - other).whole < MODULUS


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=20), st.integers(0, 19))
def test_a_row_twice_is_not_a_row_once(ids: list[int], which: int) -> None:
    doubled = [*ids, ids[which % len(ids)]]
    assert fingerprint(table(doubled)) != fingerprint(table(ids))


def test_a_changed_cell_changes_it() -> None:
    before = table([1, 2, 3])
    later = before.set_column(3, SCHEMA.field("seen"), pa.array([1, 2, 3], pa.timestamp("us", tz="UTC")))
    other = before.set_column(1, SCHEMA.field("text"), pa.array(["text 1", "text 2", "text 3!"]))
    assert fingerprint(later).whole != fingerprint(before).whole
    assert fingerprint(later).content == fingerprint(before).content, "an observation is no content"
    assert fingerprint(other).content != fingerprint(before).content


def test_cells_cannot_run_into_each_other() -> None:
    """Lengths keep ("ab", "c") and ("a", "bc") apart, and NULL from the empty text."""
    variants = [("ab", "c"), ("a", "bc"), ("abc", ""), ("abc", None), (None, "abc"), ("", "abc")]
    sums = {
        fingerprint(pa.table({"a": pa.array([a], pa.string()), "b": pa.array([b], pa.string())})).whole
        for a, b in variants
    }
    assert len(sums) == len(variants)


def test_more_rows_than_are_hashed_at_once() -> None:
    count = fingerprints.ROWS_AT_ONCE + 10
    ids = pa.table({"id": pa.array(range(count), pa.int64())})
    half = count // 2
    assert fingerprint(ids) == fingerprint(ids.slice(0, half)) + fingerprint(ids.slice(half))
