"""Proof that a release still reads the same: sums of the ledger, checksums of files, rows read again.

Fingerprints add up (`lakehouse.fingerprints`), so rows are read where workers are, and only sums come
back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import dask
import pandas as pd
import pyarrow as pa
from dask.delayed import delayed
from distributed import Client

from lakehouse.errors import LakeError
from lakehouse.events import REMOVALS, Event, Events, Pins
from lakehouse.fingerprints import Fingerprint, fingerprint
from lakehouse.lake import Lake
from lakehouse.storage import Storage
from transforms import columns

if TYPE_CHECKING:
    from lakehouse.releases import Release

#: what reading damaged data can raise: ours, the operating system's, and Arrow's and Lance's own
UNREADABLE = (LakeError, OSError, ValueError, RuntimeError, LookupError, MemoryError, pa.ArrowException)


class Kind(StrEnum):
    """What a finding says of the lake."""

    MISSING = "missing"  # a file
    TRUNCATED = "truncated"  # a file of another length
    ALTERED = "altered"  # a file with other bytes
    DAMAGED = "damaged"  # a log: a commit or a checkpoint
    UNREADABLE = "unreadable"  # a table, or a file of it
    DIFFERS = "differs"  # rows or sums are not those that were recorded
    AUDIT = "audit"  # a query that must return nothing returns rows
    ORPHANED = "orphaned"  # files that no version names, of batches that came to nothing
    UNFINISHED = "unfinished"  # a batch whose driver is gone


LEFT_OVER = (Kind.ORPHANED, Kind.UNFINISHED)  # of a crash; nothing that a reader sees is touched


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it was recorded; `file` is relative to the lake's root."""

    key: str
    file: str | None
    problem: str
    kind: Kind = Kind.DIFFERS

    def __str__(self) -> str:
        return ": ".join(part for part in (self.key, self.file, self.problem) if part)


@dataclass(frozen=True)
class Total:
    """Rows of a ledger key, and the sum of their hashes."""

    rows: int = 0
    fingerprint: Fingerprint = field(default_factory=Fingerprint)

    def __add__(self, other: Total) -> Total:
        return Total(self.rows + other.rows, self.fingerprint + other.fingerprint)

    def __sub__(self, other: Total) -> Total:
        return Total(self.rows - other.rows, self.fingerprint - other.fingerprint)


def pinned(done: Iterable[Event], pins: Pins) -> dict[str, list[Event]]:
    """Events of finished batches that `pins` include, by key."""
    found: dict[str, list[Event]] = {key: [] for key in pins}
    for event in done:
        low, high = pins.get(event["key"], (0, -1))
        if low <= event["batch"] <= high:
            found[event["key"]].append(event)
    return found


def totals(batches: Mapping[str, Sequence[Event]]) -> dict[str, Total]:
    """What the ledger says of each key's batches together."""
    return {
        key: sum(
            (Total(e["rows"], Fingerprint(int(e["whole"], 16), int(e["content"], 16))) for e in events),
            Total(),
        )
        for key, events in batches.items()
    }


def less(totals: Mapping[str, Total], gone: Mapping[str, Total]) -> dict[str, Total]:
    """Per key of `totals`, what is left without what is `gone`."""
    return {key: total - gone.get(key, Total()) for key, total in totals.items()}


def left(state: Events, pins: Pins) -> dict[str, Total]:
    """What the ledger says of each key's batches, less all that removals took out of them."""
    return less(totals(pinned(state.done(), pins)), totals(pinned(state.withdrawn(), pins)))


def standing(lake: Lake, release: Release) -> dict[str, Total]:
    """What the release stands for, per key: what it recorded, less what removals have taken out since."""
    return less(_recorded(release), withdrawn_since(lake, release))


def withdrawn_since(lake: Lake, release: Release) -> dict[str, Total]:
    """Per key, how many rows removals took out after the release was made, and the sum of their hashes."""
    return totals(pinned(lake.ledger.state().withdrawn(first=release.removals + 1), release.pins))


def _recorded(release: Release) -> dict[str, Total]:
    return {key: Total(release.counts[key], release.fingerprints[key]) for key in release.pins}


def findings(lake: Lake, release: Release, client: Client | None, full: bool) -> list[Finding]:
    """What is not as `release` recorded it, less what was withdrawn since; empty where all is.

    Compares the ledger's sums; with `full` also the sha256 of every data file that the ledger names and
    the table still holds, and rows and fingerprints of what is stored. Rows of a key whose files are
    damaged are not read: what a reader makes of damaged bytes is anybody's guess.
    """
    state = lake.ledger.state()
    pending = state.unfinished(REMOVALS)
    if pending is not None:
        problem = (
            f"removal {pending['batch']} is not complete: wait for it, or `lake remove --yes` completes it"
        )
        return [Finding(REMOVALS, None, problem, Kind.UNFINISHED)]
    batches = pinned(state.done(), release.pins)
    recorded = _recorded(release)
    before = pinned(state.withdrawn(last=release.removals), release.pins)
    found = _differences(less(totals(batches), totals(before)), recorded, "the ledger has")
    if not full:
        return found
    damaged = _files(lake, batches, client)
    bad = {key for key in release.pins for f in damaged if f.key in (key, key.partition("/")[0])}
    read: dict[str, Total] = {}
    for key in release.pins:
        if key in bad or not lake.holds(key):
            continue
        try:
            read[key] = _rows(lake, key, release.pins[key], client)
        except UNREADABLE as error:
            problem = f"cannot be read: {' '.join(str(error).split())[:300]}"
            damaged.append(Finding(key, None, problem, Kind.UNREADABLE))
    gone = withdrawn_since(lake, release)
    return [*found, *damaged, *_differences(read, standing(lake, release), "the table has", gone)]


def _differences(
    have: Mapping[str, Total],
    recorded: Mapping[str, Total],
    who: str,
    gone: Mapping[str, Total] | None = None,
) -> list[Finding]:
    found = []
    for key, total in have.items():
        wanted = recorded[key]
        since = f" less {gone[key].rows} withdrawn" if gone and gone[key].rows else ""
        if total.rows != wanted.rows:
            original = wanted.rows + (gone[key].rows if gone else 0)
            found.append(
                Finding(key, None, f"{who} {total.rows} rows, the release recorded {original}{since}")
            )
        elif total.fingerprint != wanted.fingerprint:
            same = total.fingerprint.content == wanted.fingerprint.content
            which = "numeric or observed columns differ" if same else "content differs"
            found.append(Finding(key, None, f"{who} other rows than the release recorded{since}: {which}"))
    return found


def _files(lake: Lake, batches: Mapping[str, Sequence[Event]], client: Client | None) -> list[Finding]:
    """Data files whose bytes are not those that the ledger recorded, be it for a batch or a compaction."""
    tables = {key.partition("/")[0] for key in batches}
    kept = {name: lake.table(name).files() for name in tables}
    merged = [e for e in lake.ledger.events() if e["event"] == "compact" and e["key"] in tables]
    checks = [
        delayed(_checked)(lake.storage, event["key"], file["path"], file["sha256"], sizes[file["path"]])
        for event in [*merged, *[e for events in batches.values() for e in events]]
        for sizes in [kept[event["key"].partition("/")[0]]]
        for file in event["files"]
        if file["path"] in sizes
    ]
    return [finding for finding in _compute(checks, client) if finding is not None]


def _checked(storage: Storage, key: str, path: str, sha256: str, size: int) -> Finding | None:
    """Runs on a worker."""
    found = sized(key, path, size, storage.size(path))
    if found is not None:
        return found
    try:
        digest = storage.sha256(path)
    except LakeError as error:
        return Finding(key, path, str(error), Kind.UNREADABLE)
    if digest == sha256:
        return None
    return Finding(key, path, "its bytes are not those that were written (sha256)", Kind.ALTERED)


def sized(key: str, path: str, size: int, there: int | None) -> Finding | None:
    """What is wrong with a data file of which `size` bytes were written and `there` are found, if any."""
    if there is None:
        return Finding(key, path, "is missing", Kind.MISSING)
    if there != size:
        return Finding(key, path, f"has {there:,} bytes where {size:,} were written", Kind.TRUNCATED)
    return None


def _rows(lake: Lake, key: str, pin: tuple[int, int], client: Client | None) -> Total:
    """Reads all rows of `key` again, and sums their hashes."""
    spec = lake.spec(key.partition("/")[0])
    size = lake.settings.batches.rows if spec.format == "lance" else None
    parts = lake.read(key, [pin], rows=size).to_delayed()
    sums: list[Total] = _compute([delayed(_summed)(part, spec.schema) for part in parts], client)
    return sum(sums, Total())


def _summed(frame: pd.DataFrame, schema: pa.Schema) -> Total:
    """Runs on a worker."""
    return Total(len(frame), fingerprint(columns.to_arrow(frame, schema)))


def _compute(tasks: Sequence[Any], client: Client | None) -> list[Any]:
    if client is None:
        return list(dask.compute(*tasks, scheduler="synchronous"))
    return list(client.gather(client.compute(list(tasks))))
