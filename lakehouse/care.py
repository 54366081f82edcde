"""Care of a lake: what keeps it quick without changing what it holds."""

from __future__ import annotations

from lakehouse.lake import Lake


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
    written = sorted(table.files().keys() - known)
    lake.ledger.compacted(name, [(path, lake.storage.sha256(path)) for path in written], version)
    return version
