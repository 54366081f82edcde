"""Care of a lake: what keeps it quick without changing what it holds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from lakehouse import faults
from lakehouse.lake import Lake
from lakehouse.tables import DataFile, Table


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
    faults.point("compact:rewritten")
    record(lake, table, version)
    faults.point("compact:recorded")
    return version


def record(lake: Lake, table: Table, version: int) -> None:
    """Puts the checksums of data files that the ledger does not know into it: what a rewrite made."""
    written = [(file.path, file.sha256) for file in unrecorded(lake, table)]
    lake.ledger.compacted(table.spec.name, written, version)


def unrecorded(lake: Lake, table: Table) -> list[DataFile]:
    """Data files of the table's newest version that the ledger does not name, with their checksums."""
    known = {file["path"] for event in lake.ledger.events() for file in event["files"] or ()}
    sizes = table.files()
    written = sorted(sizes.keys() - known)
    with ThreadPoolExecutor() as pool:  # hashing lets go of the interpreter's lock
        sums = list(pool.map(lake.storage.sha256, written))
    return [DataFile(path, 0, sizes[path], digest, "") for path, digest in zip(written, sums, strict=True)]
