"""Members of groups as rows of the table: which group, and which member stays."""

from __future__ import annotations

from collections.abc import Mapping

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa

from transforms import columns

MEMBERS = ["sample_id", "unit", "position"]  # of a pair, and with them its `key`

NO_PICTURE = "drop:no_picture"  # a pair whose picture is not known: nothing to tell by
SINGLE = "drop:single"  # a pair that no other is like


def members(key: pa.DataType) -> pa.Schema:
    """Columns of a frame of pairs with the key that pairs of one group share."""
    fields = [columns.CANDIDATES.field(name).with_nullable(True) for name in MEMBERS]
    return pa.schema([*fields, pa.field("key", key)])


def rows(
    pairs: dd.DataFrame, method: str, order: Mapping[str, int], tasks: int, partial: bool = False
) -> dd.DataFrame:
    """`columns.DUPLICATES`: every row of `pairs` that shares its `key` with another, and counts of the rest.

    `pairs` has the columns of `members`, no key NULL. Of a group, the first in crawl order stays: by the
    unit's place in `order`, then position, then sample_id. With `partial` nothing is counted as having come
    in, because whoever made `pairs` has done it.
    """
    if tasks > 1 or pairs.npartitions > 1:
        pairs = pairs.shuffle("key", npartitions=tasks)
    meta = columns.meta(columns.counted(columns.DUPLICATES))
    grouped: dd.DataFrame = pairs.map_partitions(
        group, method, order, partial, meta=meta, enforce_metadata=False
    )
    return grouped


def group(pairs: pd.DataFrame, method: str, order: Mapping[str, int], partial: bool = False) -> pd.DataFrame:
    """`rows` of one partition, which has whole groups."""
    table = pa.Table.from_pandas(pairs[[*MEMBERS, "key"]], preserve_index=False)
    ids, position = table["sample_id"].to_numpy(), table["position"].to_numpy()
    _, place = np.unique(table["key"].to_numpy(), return_inverse=True)
    unit = np.array([order.get(name, len(order)) for name in table["unit"].to_pylist()], np.int64)
    queue = np.lexsort((ids, position, unit, place))
    first = np.ones(len(queue), bool)
    first[1:] = place[queue][1:] != place[queue][:-1]
    kept = np.zeros(len(queue), bool)
    kept[queue[first]] = True
    smallest = np.full(len(queue), np.iinfo(np.int64).max)  # there are no more groups than rows
    np.minimum.at(smallest, place, ids)
    shared = np.bincount(place, minlength=1)[place] > 1
    found = pa.table(
        [
            table["sample_id"],
            pa.repeat(pa.scalar(method, pa.string()), len(table)),
            pa.array(smallest[place]),
            pa.array(kept),
            table["unit"],
        ],
        schema=columns.DUPLICATES,
    ).filter(pa.array(shared))
    counts = [] if partial else [counted(table["unit"], "in")]
    counts.append(counted(table["unit"].filter(pa.array(~shared)), SINGLE))
    return columns.to_pandas(pa.concat_tables([columns.with_counts(found, "", {}), *counts]))


def counted(units: pa.ChunkedArray, *names: str) -> pa.Table:
    """Bookkeeping rows that count the rows of each of `units` under every one of `names`."""
    tallies = units.value_counts()
    full = columns.counted(columns.DUPLICATES)
    parts = [full.empty_table()]
    for name in names:
        told = {
            "unit": tallies.field("values"),
            columns.COUNT: pa.repeat(pa.scalar(name, pa.string()), len(tallies)),
            columns.N: tallies.field("counts"),
        }
        arrays = [told.get(field.name, pa.nulls(len(tallies), field.type)) for field in full]
        parts.append(pa.table(arrays, schema=full))
    return pa.concat_tables(parts)
