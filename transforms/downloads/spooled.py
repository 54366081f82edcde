"""Fetching that can be killed: every outcome is kept as it comes, and what was kept is not fetched again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa

from transforms.downloads.fetch import Tally, fetch_each
from transforms.downloads.outcome import GIVEN, RECORD, Outcome, fetched, with_counts
from transforms.downloads.refused import NOTHING, Refused
from transforms.downloads.rules import DownloadRules, Network

FRAME_ROWS = 2048
"""Most rows of a frame that `fetch_spooled` makes (ours: files of a useful size)."""
FRAME_BYTES = 64 << 20
"""Bytes at which a frame is full (ours: a worker's memory)."""


class Spool(Protocol):
    """Where records are kept as they come, until whoever asked for them has them for good."""

    def records(self) -> Iterator[Sequence[Any]]:
        """The records that are kept, some perhaps twice."""

    def appending(self) -> AbstractContextManager[Callable[[Sequence[Any]], None]]:
        """A function that keeps a record."""


_Key = tuple[int, int]  # url_id and attempt, which tell an attempt from all others


def fetch_spooled(
    frame: pd.DataFrame,
    rules: DownloadRules,
    network: Network,
    spool: Spool,
    tally: Tally | None = None,
    refused: Refused = NOTHING,
) -> Iterator[pd.DataFrame]:
    """`fetch_partition` for a partition of any size: its rows in some order, in frames of bounded size.

    Each outcome goes to `spool` as it comes. What is there already is not fetched again, so that work which
    was killed goes on where it was.
    """
    tally = tally or Tally()
    given = pa.Table.from_pandas(frame[GIVEN], preserve_index=False)
    keys = list(zip(given["url_id"].to_pylist(), given["attempt"].to_pylist(), strict=True))
    have = {key for key, _ in _kept(spool)}
    missing = [place for place, key in enumerate(keys) if key not in have]
    if missing:
        with spool.appending() as append:

            def found(number: int, outcome: Outcome) -> None:
                append([*keys[missing[number]], *outcome.record()])

            urls = given["url"].take(pa.array(missing)).to_pylist()
            fetch_each(urls, rules, network, found, tally, refused)
    yield from _frames(given, {key: place for place, key in enumerate(keys)}, _kept(spool))


def _kept(spool: Spool) -> Iterator[tuple[_Key, Outcome]]:
    """What the spool has; what an older version left there in another shape is as if it had not come."""
    for url_id, attempt, *record in spool.records():
        if len(record) == RECORD:
            yield (url_id, attempt), Outcome.from_record(record)


def _frames(
    given: pa.Table, wanted: dict[_Key, int], kept: Iterator[tuple[_Key, Outcome]]
) -> Iterator[pd.DataFrame]:
    """The rows of `given` at the places `wanted`, each once, as they were kept.

    Frames have at most `FRAME_ROWS` and some `FRAME_BYTES`. Raises OSError where rows are missing: nothing
    vanishes without a count.
    """
    places: list[int] = []
    outcomes: list[Outcome] = []
    size = 0

    def made() -> pd.DataFrame:
        return with_counts(fetched(given.take(pa.array(places)), outcomes))

    for key, outcome in kept:
        if (place := wanted.pop(key, None)) is None:
            continue
        places.append(place)
        outcomes.append(outcome)
        size += len(outcome.image or b"")
        if len(places) == FRAME_ROWS or size >= FRAME_BYTES:
            yield made()
            places, outcomes, size = [], [], 0
    if places:
        yield made()
    if wanted:
        raise OSError(f"{len(wanted)} rows that were kept cannot be read back: run again")
