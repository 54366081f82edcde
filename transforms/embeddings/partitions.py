"""What every transform over pairs does with the Arrow columns of one partition."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms import columns


def distinct(column: pa.ChunkedArray) -> tuple[list[Any], npt.NDArray[np.int64]]:
    """The n different values of `column`, and for each row the place of its value among them, n for NULL."""
    encoded = column.combine_chunks().dictionary_encode()
    different = encoded.dictionary.to_pylist()
    return different, encoded.indices.cast(pa.int64()).fill_null(len(different)).to_numpy()


def is_null(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Which rows of `column` are NULL."""
    return column.is_null().combine_chunks().to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def with_reasons(rows: pa.Table, unit: pa.ChunkedArray, reason: npt.NDArray[np.str_]) -> pa.Table:
    """`rows` followed by the bookkeeping rows of each unit: ``in``, and how many rows had each reason.

    `unit` and `reason`, of equal length, tell of each row that came in where it belongs and the name of the
    count that it adds to ("drop:…", "note:…"), or "".
    """
    tables = [columns.with_counts(rows, "", {})]
    units = np.array(unit.to_pylist(), dtype=str)
    for name in dict.fromkeys(units.tolist()):
        here = units == name
        reasons, numbers = np.unique(reason[here & (reason != "")], return_counts=True)
        counts = {"in": int(here.sum()), **dict(zip(reasons.tolist(), numbers.tolist(), strict=True))}
        tables.append(columns.count_rows(rows.schema, name, counts))
    return pa.concat_tables(tables)
