"""Candidates that were taken out of the lake before do not come in again."""

from __future__ import annotations

from collections import Counter

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from dask.delayed import Delayed

from transforms import columns
from transforms.candidates.extract import ORDER, SCHEMA
from transforms.candidates.reasons import Drop
from transforms.tombstones import Tombstones


def not_withdrawn(rows: dd.DataFrame, tombstones: Delayed) -> dd.DataFrame:
    """`rows` (a frame of `extract.SCHEMA`) less what `tombstones` refuse, counted as ``drop:withdrawn``."""
    kept: dd.DataFrame = rows.map_partitions(
        without_withdrawn, tombstones, meta=columns.meta(SCHEMA), enforce_metadata=False
    )
    return kept


def without_withdrawn(frame: pd.DataFrame, tombstones: Tombstones) -> pd.DataFrame:
    """A partition of candidates less what is refused, with its counts at the end."""
    table = columns.to_arrow(frame, SCHEMA)
    counted = pc.is_valid(table[columns.COUNT]).to_numpy()
    data = table.filter(pa.array(~counted)).select(["sample_id", "url_id", "url", "host"])
    gone = np.zeros(len(table), bool)
    gone[~counted] = tombstones.candidates(data)
    if not gone.any():
        return frame
    tables = [table.filter(pa.array(~gone))]
    units = table.filter(pa.array(gone)).select(["unit", ORDER]).to_pylist()
    for (unit, order), n in Counter((row["unit"], row[ORDER]) for row in units).items():
        row = columns.count_rows(columns.CANDIDATES, unit, {f"drop:{Drop.WITHDRAWN}": n})
        tables.append(row.append_column(ORDER, pa.array([order], pa.int64())))
    return columns.to_pandas(pa.concat_tables(tables))
