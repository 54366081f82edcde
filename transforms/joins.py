"""Joins of one batch against a whole table that cost one pass over the table's keys.

The batch's keys are bounded by the batch, so they go to the table's partitions as one array, and what
matches comes back: no shuffle of the table, and nothing of it passes through the client.
"""

from __future__ import annotations

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from dask.delayed import Delayed, delayed

from transforms import columns


def matches(rows: dd.DataFrame, table: dd.DataFrame, key: str) -> Delayed:
    """The rows of `table` whose `key` occurs in `rows`, as one delayed Arrow table."""
    keys = delayed(_distinct)([delayed(_keys)(part, key) for part in rows[[key]].to_delayed()])
    found = [delayed(_matching)(part, key, keys) for part in table.to_delayed()]
    joined: Delayed = delayed(pa.concat_tables)(found)
    return joined


def without(rows: dd.DataFrame, table: dd.DataFrame, key: str, reason: str) -> dd.DataFrame:
    """`rows` less those whose `key` is in `table`, which are counted as `reason` per unit.

    Bookkeeping rows (see `transforms.columns`) pass through.
    """
    known = matches(rows, table[[key]], key)
    kept: dd.DataFrame = rows.map_partitions(
        _drop, known, key, reason, meta=rows._meta, enforce_metadata=False
    )
    return kept


def _keys(part: pd.DataFrame, key: str) -> np.ndarray:
    keys: np.ndarray = part[key].dropna().to_numpy(np.int64)
    return keys


def _distinct(parts: list[np.ndarray]) -> np.ndarray:
    return np.unique(np.concatenate(parts))


def _matching(part: pd.DataFrame, key: str, keys: np.ndarray) -> pa.Table:
    table = pa.Table.from_pandas(part, preserve_index=False).replace_schema_metadata(None)
    return table.filter(pc.is_in(table[key], value_set=pa.array(keys, pa.int64())))


def _drop(part: pd.DataFrame, known: pa.Table, key: str, reason: str) -> pd.DataFrame:
    gone = part[key].isin(known[key].to_numpy()).fillna(False).to_numpy(bool)
    kept = part[~gone]
    counts = part[gone].groupby("unit", sort=False).size()
    schema = pa.Schema.from_pandas(part, preserve_index=False).remove_metadata()
    rows = [{"unit": unit, columns.COUNT: reason, columns.N: int(n)} for unit, n in counts.items()]
    extra = columns.to_pandas(pa.Table.from_pylist(rows, schema=schema))
    return pd.concat([kept, extra], ignore_index=True) if len(extra) else kept
