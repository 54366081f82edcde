"""Care of a lake: what keeps it quick without changing what it holds."""

from __future__ import annotations

from lakehouse.lake import Lake
from lakehouse.tables import Table
from lakehouse.tables.published import PublishedTable


def compact(lake: Lake, name: str) -> int | None:
    """Merges the small files of the table `name`; its new native version, None where it has no rows yet.

    Rows, pins, releases and fingerprints stay as they are. The checksums of the files that it wrote go
    into the ledger, so that verification can tell when one of their bytes changes.
    """
    lake.storage.check_writable()
    table = lake.table(name)
    if table.version() is None:
        return None
    version = table.compact()
    known = {file["path"] for event in lake.ledger.events() for file in event["files"] or ()}
    written = sorted(held(table) - known)
    lake.ledger.compacted(name, [(path, lake.storage.sha256(path)) for path in written], version)
    return version


def held(table: Table) -> frozenset[str]:
    """Data files of the table's newest version, relative to the lake's root."""
    if isinstance(table, PublishedTable):
        return table.held()
    dataset = table.dataset()
    name = table.spec.name
    if dataset is None:
        return frozenset()
    if table.spec.format == "delta":
        return frozenset(f"{name}/{path}" for path in dataset.files)
    return frozenset(
        f"{name}/data/{file.path}" for part in dataset.get_fragments() for file in part.data_files()
    )
