"""Fetching that can be killed: every row is kept as it comes, and what was kept is not fetched again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

import pandas as pd
import pyarrow as pa

from transforms.downloads.fetch import Tally, fetch_each
from transforms.downloads.outcome import GIVEN, ROWS, Outcome, fetched, with_counts
from transforms.downloads.refused import NOTHING, Refused
from transforms.downloads.rules import DownloadRules, Network

FRAME_ROWS = 2048
"""Most rows of a frame that `fetch_spooled` makes (ours: files of a useful size)."""
FRAME_BYTES = 64 << 20
"""Bytes at which a frame is full (ours: a worker's memory)."""


class Spool(Protocol):
    """Where rows are kept as they are fetched, until whoever asked for them has them for good."""

    def tables(self) -> Iterator[pa.Table]:
        """The rows that are kept, of schema `ROWS`; some perhaps twice."""

    def appending(self, schema: pa.Schema) -> AbstractContextManager[Callable[[pa.Table], None]]:
        """A function that keeps rows of `schema`."""


def fetch_spooled(
    frame: pd.DataFrame,
    rules: DownloadRules,
    network: Network,
    spool: Spool,
    tally: Tally | None = None,
    refused: Refused = NOTHING,
) -> Iterator[pd.DataFrame]:
    """`fetch_partition` for a partition of any size: its rows in some order, in frames of bounded size.

    Each row goes to `spool` as it comes. What is there already is not fetched again, so that work which was
    killed goes on where it was.
    """
    tally = tally or Tally()
    given = pa.Table.from_pandas(frame[GIVEN], preserve_index=False)
    places = {key: place for place, key in enumerate(_keys(given))}
    have = {places[key] for table in spool.tables() for key in _keys(table) if key in places}
    missing = [place for place in range(len(given)) if place not in have]
    rest = given.take(pa.array(missing, pa.int64()))
    if len(rest):
        with spool.appending(ROWS) as append:

            def found(number: int, outcome: Outcome) -> None:
                append(fetched(rest.slice(number, 1), [outcome]))

            fetch_each(rest["url"].to_pylist(), rules, network, found, tally, refused)
    yield from _frames(spool.tables(), set(places))


def _keys(table: pa.Table) -> list[tuple[int, int]]:
    """What tells an attempt from all others."""
    return list(zip(table["url_id"].to_pylist(), table["attempt"].to_pylist(), strict=True))


def _frames(tables: Iterator[pa.Table], wanted: set[tuple[int, int]]) -> Iterator[pd.DataFrame]:
    """The `wanted` rows of `tables`, each once, in frames of at most `FRAME_ROWS` and some `FRAME_BYTES`.

    Raises OSError where rows are missing: nothing vanishes without a count.
    """
    held: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        mine = []
        for place, key in enumerate(_keys(table)):
            if key in wanted:
                wanted.remove(key)
                mine.append(place)
        if not mine:
            continue
        held.append(table.take(mine) if len(mine) < len(table) else table)
        rows, size = rows + len(mine), size + held[-1].nbytes
        if rows >= FRAME_ROWS or size >= FRAME_BYTES:
            yield with_counts(pa.concat_tables(held))
            held, rows, size = [], 0, 0
    if held:
        yield with_counts(pa.concat_tables(held))
    if wanted:
        raise OSError(f"{len(wanted)} rows that were kept cannot be read back: run again")
