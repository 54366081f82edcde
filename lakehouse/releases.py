"""Releases: a pin set with a name, and all that is needed to read it the same way for ever.

A release records pins, the SQL text of every view (thresholds and scorers are views too), rows and
fingerprints per ledger key, and the package's version. A pin is a predicate on `batch`, so a release
survives more rows, compaction and later generations, and needs no old native version.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, TableNotFoundError
from distributed import Client

from lakehouse import faults, verification, views
from lakehouse.errors import ConflictError, StorageError, UsageError
from lakehouse.events import REMOVALS
from lakehouse.fingerprints import Fingerprint
from lakehouse.lake import Lake
from lakehouse.ledger import Pins
from lakehouse.schema import RELEASES
from lakehouse.storage import storage_errors
from lakehouse.tables.delta import append, configuration
from lakehouse.verification import Finding

__all__ = ["Finding", "Release", "create", "get", "list_releases", "verify"]

NAME = re.compile(r"[A-Za-z0-9._-]+")
TABLE = "releases"
HEAD = "head"  # names the lake as it is, wherever two versions are named
TRIES = 20  # of a commit that loses the race to another creator


@dataclass(frozen=True)
class Release:
    """A named version of the dataset."""

    name: str
    pins: Pins
    views: Mapping[str, str]  # name -> SELECT
    counts: Mapping[str, int]  # rows per ledger key
    fingerprints: Mapping[str, Fingerprint]  # per ledger key
    package: str  # version of Pairlake that made it
    note: str | None
    at: datetime
    removals: int = 0  # how many there had been; counts and fingerprints are without what they took out


def create(lake: Lake, name: str, note: str | None = None) -> Release:
    """Names what readers of head see now.

    Raises UsageError where the name is taken or not made of letters, digits, ".", "_" and "-", where the
    lake is empty, or where one of the views cannot be read.
    """
    lake.storage.check_writable()
    if not NAME.fullmatch(name) or name == HEAD:
        raise UsageError(
            f"a release's name has letters, digits, '.', '_' and '-' only, and is not {HEAD}: not {name!r}"
        )
    release = _cut(lake, name, note)
    faults.point("release:cut")
    for _ in range(TRIES):
        table = _open(lake) or _make(lake)
        faults.point("release:made")
        if name in [row["name"] for row in _rows(table)]:
            raise UsageError(f"there is a release {name} already: releases do not change; take another name")
        if _commit(lake, table, release):
            faults.point("release:committed")
            return release
    raise ConflictError(f"others keep making releases: make {name} again in a moment")


def list_releases(lake: Lake) -> list[Release]:
    """All releases, oldest first."""
    if lake.published is not None:
        return [lake.published]
    table = _open(lake)
    found = [] if table is None else [parsed(row) for row in _rows(table)]
    return sorted(found, key=lambda release: (release.at, release.name))


def get(lake: Lake, name: str) -> Release:
    """The release of that name. Raises UsageError with the names that there are."""
    found = {release.name: release for release in list_releases(lake)}
    if name not in found:
        there = f"there are {', '.join(found)}" if found else "there is none yet: `lake release create NAME`"
        raise UsageError(f"no release {name!r}; {there}")
    return found[name]


def verify(lake: Lake, name: str, client: Client | None = None, full: bool = True) -> list[Finding]:
    """What of the release does not read as it did when it was made; empty where it verifies.

    Without `full` the ledger's sums alone are compared, and no data is read. With it the data files'
    checksums are, and every row is read again: on the workers of `client`, or here.
    """
    return verification.findings(lake, get(lake, name), client, full)


def _cut(lake: Lake, name: str, note: str | None) -> Release:
    state = lake.ledger.state()
    pins = state.pins()
    if not pins:
        raise UsageError("the lake is empty, so there is nothing to release: `lake add` and `lake run` first")
    totals = verification.left(state, pins)
    texts = views.definitions(lake)
    views.check(lake)  # so that no view is recorded that cannot be read
    return Release(
        name,
        pins,
        texts,
        {key: total.rows for key, total in totals.items()},
        {key: total.fingerprint for key, total in totals.items()},
        importlib.metadata.version("pairlake"),
        note,
        datetime.now(UTC),
        state.removals(),
    )


# ---------------------------------------------------------------------- the table


def _open(lake: Lake) -> DeltaTable | None:
    uri = lake.storage.uri(TABLE)
    try:
        with storage_errors(uri):
            return DeltaTable(uri, storage_options=dict(lake.storage.options))
    except StorageError as error:
        if isinstance(error.__cause__, TableNotFoundError):
            return None
        raise


def _make(lake: Lake) -> DeltaTable:
    uri = lake.storage.uri(TABLE)
    with storage_errors(uri), lake.storage.settled(TABLE):
        return DeltaTable.create(
            uri,
            RELEASES,
            mode="ignore",
            configuration=configuration(["name"]),
            storage_options=dict(lake.storage.options),
        )


def _rows(table: DeltaTable) -> list[dict[str, Any]]:
    with storage_errors(table.table_uri):
        rows: list[dict[str, Any]] = table.to_pyarrow_table().to_pylist()
    return rows


def _commit(lake: Lake, table: DeltaTable, release: Release) -> bool:
    """False where another creator came first: delta-rs refuses the same transaction id from an old handle."""
    properties = CommitProperties(app_transactions=[Transaction(TABLE, 0)])
    with storage_errors(table.table_uri):
        try:
            rows = pa.Table.from_pylist([as_row(release)], schema=RELEASES)
            append(table, lake.storage, TABLE, rows, properties)
        except CommitFailedError:
            return False
    return True


def as_row(release: Release) -> dict[str, Any]:
    """The release as a row of RELEASES."""
    sums = {key: {"whole": f.whole_hex, "content": f.content_hex} for key, f in release.fingerprints.items()}
    pins = {**release.pins, **({REMOVALS: (1, release.removals)} if release.removals else {})}
    return {
        **{name: value for name, value in vars(release).items() if name != "removals"},
        "pins": json.dumps(pins),
        "views": json.dumps(dict(release.views)),
        "counts": json.dumps(dict(release.counts)),
        "fingerprints": json.dumps(sums),
    }


def parsed(row: Mapping[str, Any]) -> Release:
    """The release that `as_row` gave as a row."""
    pins = {key: (low, high) for key, (low, high) in json.loads(row["pins"]).items()}
    _, removals = pins.pop(REMOVALS, (0, 0))
    sums = {
        key: Fingerprint(int(f["whole"], 16), int(f["content"], 16))
        for key, f in json.loads(row["fingerprints"]).items()
    }
    return Release(
        row["name"],
        pins,
        json.loads(row["views"]),
        json.loads(row["counts"]),
        sums,
        row["package"],
        row["note"],
        row["at"],
        removals,
    )
