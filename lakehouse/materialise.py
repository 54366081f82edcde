"""The rows of `stored_pairs`: the SQL of `joined_pairs`, a slice at a time, on workers.

A slice is a range of the sample_ids, which are hashes, of a batch of candidates, or some small batches. Of
the other tables it reads what it can meet: the batches of downloads and scores that say something about its
candidates. Where some of their URLs had been fetched before, by the ledger, one pass over the keys of all
downloads finds the batches that did.
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
from lakehouse.events import Event, Pins
from lakehouse.lake import Lake
from lakehouse.settings import Settings
from transforms import columns

ROWS = 1 << 19  # per slice: some 200 MB while they are joined, and a file of some 60 MB
_IDS = 1 << 64
_LEAST = -(1 << 63)


@dataclass(frozen=True)
class Slice:
    """Candidates of one batch or some with sample_ids from `low` to `high`, both included."""

    pins: Pins  # that the batches, and what can tell of them, are seen through
    low: int
    high: int
    downloads: frozenset[int] | None  # the batches that can have its URLs; None where any may


def pairs(lake: Lake, batches: Sequence[int]) -> dd.DataFrame:
    """Frame of STORED_PAIRS for the candidates of `batches`, as a run sees them."""
    frame: dd.DataFrame = dd.from_map(
        join,
        slices(lake, batches),
        settings=lake.settings,
        meta=columns.meta(columns.counted(columns.STORED_PAIRS)),
        enforce_metadata=False,
    )
    return frame


def slices(lake: Lake, batches: Sequence[int]) -> list[Slice]:
    """What the tasks for the candidates of `batches` have to read."""
    pins = lake.pins(building=True)
    told = lineage.sources(lake.ledger.state(), pins, views.active_scorers(views.definitions(lake)))
    rows = {e["batch"]: e["rows"] for e in lake.ledger.done("candidates")}
    fetched = {e["batch"]: e for e in lake.ledger.done("downloads")}
    found = []
    for low, high in _together(batches, rows):
        seen: Pins = {"candidates": (low, high)}
        own: set[int] = set()
        for batch in range(low, high + 1):
            own.update(told[batch].get("downloads", ()))
            for key, some in told[batch].items():
                first, last = seen.get(key, (some[0], some[-1]))
                seen[key] = (min(first, some[0]), max(last, some[-1]))
        anywhere = any(_met_before(fetched[batch]) for batch in own)
        if anywhere:
            seen["downloads"] = pins["downloads"]
        count = max(1, -(-sum(rows[batch] for batch in range(low, high + 1)) // ROWS))
        bounds = [_LEAST + _IDS * n // count for n in range(count + 1)]
        where = None if anywhere else frozenset(own)
        found += [Slice(seen, least, most - 1, where) for least, most in pairwise(bounds)]
    return found


def _met_before(event: Event) -> bool:
    """Whether the candidates behind a batch of downloads had URLs that earlier batches had asked for."""
    return any(count["name"] == lineage.FETCHED_BEFORE for count in event["counts"])


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
        numbers = part.downloads
        if numbers is None:  # 9 bytes a row, where all columns are some hundred
            keys = "(select url_id, batch from downloads)"
            met = f"select distinct batch from {keys} semi join slice using (url_id)"
            numbers = frozenset(batch for (batch,) in connection.execute(met).fetchall())
        listed = ", ".join(map(str, sorted(numbers))) or "null"
        for name, key, where in (
            ("downloads", "url_id", f"batch in ({listed})"),
            ("scores", "sample_id", "true"),
        ):
            connection.execute(
                f"create temp table of_{name} as "
                f"select * from (select * from {name} where {where}) semi join slice using ({key})"
            )
            connection.execute(f"create or replace view {name} as select * from of_{name}")
        connection.execute("create or replace view candidates as select * from slice")
        names = [
            "batch as candidates_batch" if n == "candidates_batch" else n for n in columns.STORED_PAIRS.names
        ]
        found = connection.sql(f"select {', '.join(names)} from joined_pairs").to_arrow_table()
    fields = [field.with_nullable(True) for field in columns.STORED_PAIRS]
    rows = found.cast(pa.schema(fields))
    units = Counter(rows["unit"].to_pylist())
    counts = [columns.count_rows(columns.STORED_PAIRS, unit, {"in": n}) for unit, n in sorted(units.items())]
    return columns.to_pandas(pa.concat_tables([columns.with_counts(rows, "", {}), *counts]))
