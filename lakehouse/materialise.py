"""The rows of `stored_pairs`: the SQL of `joined_pairs`, a slice at a time, on workers.

A slice is a range of the sample_ids, which are hashes, of a batch of candidates, or some small batches. Of
the other tables it reads what it can meet: each slice costs one pass over the columns of `downloads` that
pairs have, and the batches of scores that say something about its candidates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import dask.dataframe as dd
import pandas as pd
import pyarrow as pa

from lakehouse import lineage, views
from lakehouse.events import Pins
from lakehouse.lake import Lake
from lakehouse.settings import Settings
from transforms import columns

ROWS = 1 << 19  # per slice: some 200 MB while they are joined, and a file of some 60 MB
#: within a file rows lie together that are asked for together, so that conditions on them skip row groups
ORDER = "language nulls first, similarity desc nulls last, sample_id"
_IDS = 1 << 64
_LEAST = -(1 << 63)


@dataclass(frozen=True)
class Slice:
    """Candidates of one batch or some with sample_ids from `low` to `high`, both included."""

    pins: Pins  # that the batches, and what can tell of them, are seen through
    low: int
    high: int


def pairs(lake: Lake, batches: Sequence[int]) -> dd.DataFrame:
    """Frame of STORED_PAIRS for the candidates of `batches`, as a run sees them."""
    pins = lake.pins(building=True)
    told = lineage.sources(lake.ledger.state(), pins, views.active_scorers(views.definitions(lake)))
    rows = {e["batch"]: e["rows"] for e in lake.ledger.done("candidates")}
    slices = []
    for low, high in _together(batches, rows):
        seen = {
            key: pins[key] for key in ("downloads",) if key in pins
        }  # a URL may have been fetched earlier
        for batch in range(low, high + 1):
            for key, some in told[batch].items():
                if key != "downloads":
                    first, last = seen.get(key, (some[0], some[-1]))
                    seen[key] = (min(first, some[0]), max(last, some[-1]))
        seen["candidates"] = (low, high)
        count = max(1, -(-sum(rows[batch] for batch in range(low, high + 1)) // ROWS))
        bounds = [_LEAST + _IDS * n // count for n in range(count + 1)]
        slices += [Slice(seen, least, most - 1) for least, most in pairwise(bounds)]
    frame: dd.DataFrame = dd.from_map(
        join,
        slices,
        settings=lake.settings,
        meta=columns.meta(columns.counted(columns.STORED_PAIRS)),
        enforce_metadata=False,
    )
    return frame


def _together(batches: Sequence[int], rows: Mapping[int, int]) -> list[tuple[int, int]]:
    """Runs of batches that follow one another, as long as one slice takes them all."""
    runs: list[tuple[int, int]] = []
    total = 0
    for batch in sorted(batches):
        total += rows[batch]
        if runs and runs[-1][1] == batch - 1 and total <= ROWS:
            runs[-1] = (runs[-1][0], batch)
        else:
            runs.append((batch, batch))
            total = rows[batch]
    return runs


def join(part: Slice, settings: Settings) -> pd.DataFrame:
    """Runs on a worker: the rows of one slice, by the very SQL of the views."""
    of_slice = f"sample_id between {part.low} and {part.high}"
    with views.connect(Lake(settings), part.pins, only=["joined_pairs"]) as connection:
        connection.execute("set threads = 1")  # other slices have the other cores
        connection.execute(f"create temp table slice as select * from candidates where {of_slice}")
        for name, key in (("downloads", "url_id"), ("scores", "sample_id")):
            connection.execute(
                f"create temp table of_{name} as select * from {name} semi join slice using ({key})"
            )
            connection.execute(f"create or replace view {name} as select * from of_{name}")
        connection.execute("create or replace view candidates as select * from slice")
        names = [
            "batch as candidates_batch" if n == "candidates_batch" else n for n in columns.STORED_PAIRS.names
        ]
        found = connection.sql(
            f"select {', '.join(names)} from joined_pairs order by {ORDER}"
        ).to_arrow_table()
    fields = [field.with_nullable(True) for field in columns.STORED_PAIRS]
    rows = found.cast(pa.schema(fields))
    units = Counter(rows["unit"].to_pylist())
    counts = [columns.count_rows(columns.STORED_PAIRS, unit, {"in": n}) for unit, n in sorted(units.items())]
    return columns.to_pandas(pa.concat_tables([columns.with_counts(rows, "", {}), *counts]))
