"""Compares two batches of a table row by row: content exactly, numbers within a tolerance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.schema import TableSpec
from lakehouse.storage import Storage
from lakehouse.tables import Range, open_table

SHOWN = 10  # rows that differ are named, at most


@dataclass(frozen=True)
class Tolerance:
    """How far two numbers may lie apart: |a - b| <= absolute + relative * |a|.

    A model on another machine, with other threads or batches, gives vectors that differ in the last bits of
    float16: between 0.5 and 1 one step is 2^-11 = 0.00049. Four steps are allowed; what is computed from
    vectors inherits them.
    """

    absolute: float = 4 * 2.0**-11
    relative: float = 1e-3


@dataclass(frozen=True)
class Compared:
    """What two batches differ by."""

    rows: tuple[str, ...] = ()  # the first rows that differ, in words
    beyond: int = 0  # numbers that lie further apart than the tolerance, or are NULL on one side alone
    largest: float = 0.0  # difference of two numbers


def compare(
    before: Storage,
    after: Storage,
    spec: TableSpec,
    first: Range,
    second: Range,
    content: bool,
    tolerance: Tolerance | None = None,
) -> Compared:
    """Rows of `first` in the lake at `before` against those of `second` at `after`, matched by key.

    Numeric columns always, content columns if `content`. Stored pictures are left out: they stand for files
    whose sha256 is content of `downloads`. Runs on a worker, which holds both batches a column at a time.
    """
    keys = [name for name in spec.key if name != spec.partition_by]
    sides = (open_table(before, spec), [first]), (open_table(after, spec), [second])
    indices = [table.arrow(ranges, keys) for table, ranges in sides]
    places = [_order(index, keys) for index in indices]
    said, where = _unmatched(indices, keys)
    beyond, largest = 0, 0.0
    names = [
        f.name
        for f in spec.schema
        if f.name not in spec.key
        and not pa.types.is_large_binary(f.type)
        and _kind(f) in (("content", "numeric") if content else ("numeric",))
    ]
    for name in names:
        old, new = (
            table.arrow(ranges, [name])[name].combine_chunks().take(place).filter(mask)
            for (table, ranges), place, mask in zip(sides, places, where, strict=True)
        )
        named = indices[0].take(places[0]).filter(where[0])
        numeric = _kind(spec.schema.field(name)) == "numeric" and not pa.types.is_integer(old.type)
        if numeric:
            gaps, wrong = _apart(old, new, tolerance or Tolerance())
            largest = max(largest, float(gaps.max(initial=0.0)))
        else:
            wrong = _unequal(old, new)
        if _kind(spec.schema.field(name)) == "numeric":
            beyond += int(wrong.sum())
        for place in np.flatnonzero(wrong)[: SHOWN - len(said)]:
            what = f"{old[int(place)].as_py()!r} then, {new[int(place)].as_py()!r} now"
            said.append(f"{_name(named, keys, int(place))}: {name} was {_short(what)}")
    return Compared(tuple(said), beyond, largest)


def _kind(field: pa.Field) -> str:
    return str((field.metadata or {}).get(b"kind", b"").decode())


def _order(index: pa.Table, keys: Sequence[str]) -> pa.Array:
    return pc.sort_indices(index, sort_keys=[(name, "ascending") for name in keys])


def _unmatched(indices: Sequence[pa.Table], keys: Sequence[str]) -> tuple[list[str], list[pa.Array]]:
    """The first rows that one side has alone, in words; and per side, sorted, which rows both have."""
    said: list[str] = []
    masks = []
    tuples = [list(zip(*[index[k].to_pylist() for k in keys], strict=True)) for index in indices]
    for mine, theirs, word in ((*tuples, "no more"), (*reversed(tuples), "new")):
        others = set(theirs)
        ordered = sorted(mine)
        masks.append(pa.array([key in others for key in ordered], pa.bool_()))
        alone = [key for key in ordered if key not in others]
        for key in alone[: SHOWN - len(said)]:
            said.append(f"{', '.join(f'{n} {v}' for n, v in zip(keys, key, strict=True))}: {word}")
    return said, masks


def _apart(old: pa.Array, new: pa.Array, tolerance: Tolerance) -> tuple[np.ndarray, np.ndarray]:
    """Per row the largest difference, and whether it is beyond the tolerance."""
    one_sided = pc.not_equal(old.is_null(), new.is_null()).to_numpy(zero_copy_only=False)
    a, b = (_floats(column) for column in (old, new))
    gaps = np.abs(a - b)
    wrong = (gaps > tolerance.absolute + tolerance.relative * np.abs(a)).any(axis=1) | one_sided
    return gaps.max(axis=1, initial=0.0), wrong


def _floats(column: pa.Array) -> np.ndarray:
    """Rows of float64; NULL as 0, on both sides alike."""
    if pa.types.is_fixed_size_list(column.type):
        size = column.type.list_size
        flat: np.ndarray = column.flatten().to_numpy(zero_copy_only=False).astype(np.float64)
        return flat.reshape(len(column), size)
    numbers: np.ndarray = pc.fill_null(column.cast(pa.float64()), 0.0).to_numpy(zero_copy_only=False)
    return numbers.reshape(-1, 1)


def _unequal(old: pa.Array, new: pa.Array) -> np.ndarray:
    if pa.types.is_nested(old.type):
        return np.array([a != b for a, b in zip(old.to_pylist(), new.to_pylist(), strict=True)], bool)
    both = pc.and_(old.is_null(), new.is_null())
    same = pc.or_(pc.fill_null(pc.equal(old, new), False), both)
    return ~np.asarray(same.to_numpy(zero_copy_only=False), bool)


def _name(rows: pa.Table, keys: Sequence[str], place: int) -> str:
    return ", ".join(f"{name} {rows[name][place].as_py()}" for name in keys)


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:199] + "…"
