"""The tables of a lake, one format behind each, one protocol in front of both."""

from __future__ import annotations

import os

os.environ.setdefault("LANCE_LOG", "error")  # before lance is imported: else it warns of every new dataset
os.environ.setdefault("LANCE_INCLUDE_VECTOR_CENTROIDS", "false")  # of an index's statistics: megabytes

from lakehouse.schema import TableSpec
from lakehouse.storage import Storage
from lakehouse.tables.base import DataFile, Range, Replacement, Table, Version, Writer
from lakehouse.tables.delta import DeltaFormat
from lakehouse.tables.lance import LanceFormat

__all__ = ["DataFile", "Range", "Replacement", "Table", "Version", "Writer", "open_table"]


def open_table(storage: Storage, spec: TableSpec) -> Table:
    """The table that `spec` describes under the root of `storage`; it need not exist yet."""
    return DeltaFormat(storage, spec) if spec.format == "delta" else LanceFormat(storage, spec)
