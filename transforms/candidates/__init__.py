"""Candidates: the pairs of URL and text that crawl files and URL lists hold, cleaned and seen first.

`candidates` extracts, `first_seen` takes out what was there before.
"""

from __future__ import annotations

import dask.dataframe as dd

from transforms import columns
from transforms.candidates.dedupe import first_seen
from transforms.candidates.errors import UnreadableUnit
from transforms.candidates.extract import SCHEMA, UNITS, extract
from transforms.candidates.rules import PRESETS, CandidateRules
from transforms.files import READS, Reads

__all__ = [
    "PRESETS",
    "SCHEMA",
    "UNITS",
    "CandidateRules",
    "UnreadableUnit",
    "candidates",
    "extract",
    "first_seen",
]


def candidates(
    units: dd.DataFrame, rules: CandidateRules, reads: Reads = READS, skip_unreadable: bool = False
) -> dd.DataFrame:
    """The candidates of `units` (columns: `UNITS`), a frame of `SCHEMA`, one partition per partition.

    `SCHEMA` is that of `columns.CANDIDATES` with counts, and ``_order`` last: the unit's place in the
    crawl, by which `first_seen` decides. ``in`` counts every ``<img>`` of a page, or row of a list. A task
    fails as `extract` does where a file cannot be read.
    """
    frame: dd.DataFrame = units.map_partitions(
        extract, rules, reads, skip_unreadable, meta=columns.meta(SCHEMA)
    )
    return frame
