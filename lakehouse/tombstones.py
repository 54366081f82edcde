"""The lake's tombstones, as stages hold their rows against them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from dask.delayed import Delayed, delayed

from lakehouse.events import REMOVALS, Pins
from lakehouse.lake import Lake
from lakehouse.settings import Settings
from lakehouse.tables import Range
from transforms.tombstones import KINDS, Tombstones

EVER = Range(1, 1 << 62)  # every batch
PAIR = "pair"  # the kind of rows in `removals` that are pairs that left


def tombstones(lake: Lake) -> Delayed | None:
    """What every run refuses, as a task that one worker does for all; None where nothing was ever removed."""
    return delayed(load)(lake.settings) if lake.ledger.done(REMOVALS) else None


def load(settings: Settings) -> Tombstones:
    """Reads them: 8 bytes each in the end."""
    return of(rows(Lake(settings), ["kind", "hash"]))


def rows(lake: Lake, columns: Sequence[str] | None = None, removal: int | None = None) -> pa.Table:
    """The rows of the table `removals`, of all removals or of one."""
    some = EVER if removal is None else Range(removal, removal)
    return lake.table(REMOVALS).arrow([some], columns)


def of(rows: pa.Table) -> Tombstones:
    """The tombstones among rows of `removals` (columns kind, hash)."""
    return Tombstones.of({kind: hashes(rows, kind) for kind in KINDS})


def hashes(rows: pa.Table, kind: str) -> np.ndarray:
    """The hashes of one kind, as they come: int64[n]."""
    found: np.ndarray = rows.filter(pc.equal(rows["kind"], kind))["hash"].to_numpy()
    return found


def pairs(lake: Lake, pins: Pins) -> pa.Table:
    """What removals took out of `pins`: sample_id, url_id, batch, removal (its number), reason, at."""
    low, high = pins.get("candidates", (0, -1))
    found = rows(lake, ["kind", "hash", "url_id", "pair_batch", "batch", "reason", "at"])
    batch = found["pair_batch"]
    inside = pc.and_(pc.greater_equal(batch, low), pc.less_equal(batch, high))
    found = found.filter(pc.and_(pc.equal(found["kind"], PAIR), pc.fill_null(inside, False)))
    return found.drop_columns("kind").rename_columns(
        ["sample_id", "url_id", "batch", "removal", "reason", "at"]
    )
