"""A table of a pushed copy: parquet files that a manifest names, whatever format the lake keeps it in.

Nothing is listed, so a plain web server is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from lakehouse.errors import UsageError
from lakehouse.schema import TableSpec
from lakehouse.storage import Storage
from lakehouse.tables.base import Range, Version
from lakehouse.tables.delta import DeltaFormat
from lakehouse.tables.slices import Slice


@dataclass(frozen=True)
class PublishedFile:
    """One parquet file of a pushed copy: rows of one ledger key."""

    key: str
    path: str  # relative to the copy's root
    rows: int
    bytes: int
    sha256: str


class PublishedTable(DeltaFormat):
    """Reads what a manifest names; the storage refuses to write."""

    def __init__(self, storage: Storage, spec: TableSpec, files: Sequence[PublishedFile]) -> None:
        super().__init__(storage, spec)
        self.published = files

    def _slices(self, ranges: Sequence[Range]) -> list[Slice]:
        return [
            Slice(file.path.removeprefix(f"{self.spec.name}/"), 0, file.rows, _part(file))
            for file in self.published
            if any(r.part in (None, _part(file)) for r in ranges)
        ]

    def dataset(self, version: int | None = None) -> Any:
        """A pyarrow dataset; None without files. No file is opened for it."""
        self._refuse(version)
        if not self.published:
            return None
        by = self.spec.partition_by
        schema = pa.schema([pa.field(f.name, f.type) for f in self.spec.schema])
        form, filesystem = pads.ParquetFileFormat(), self.storage.filesystem()
        fragments = [
            form.make_fragment(file.path, filesystem, pc.field(by) == _part(file) if by else pc.scalar(True))
            for file in self.published
        ]
        return pads.FileSystemDataset(fragments, schema, form, filesystem)

    def uris(self) -> list[str]:
        """Its files, for whoever reads them without Pairlake."""
        return [self.storage.uri(file.path) for file in self.published]

    def files(self) -> dict[str, int]:
        """Its files with their sizes, by their path relative to the copy's root."""
        return {file.path: file.bytes for file in self.published}

    def version(self) -> int | None:
        """0 where there are rows: a copy has one version."""
        return 0 if self.published else None

    def history(self) -> list[Version]:
        """None: a copy has no native versions."""
        return []

    def _refuse(self, version: int | None) -> None:
        if version is not None:
            raise UsageError(f"{self.uri} is of a pushed copy, which has no native versions: leave out --at")


def _part(file: PublishedFile) -> str | None:
    return file.key.partition("/")[2] or None
