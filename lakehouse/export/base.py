"""What a format of export is, and what they share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.storage import Storage, storage_errors

#: What is there while an export is being written: the plan, and what its tasks leave for each other
FOLDER = "_plan"
#: Written parquet, so that equal rows are equal bytes: nothing here depends on the machine
PARQUET = {"compression": "zstd", "compression_level": 3, "version": "2.6", "store_schema": True}


@dataclass(frozen=True)
class Shard:
    """Which part of an export a task writes."""

    number: int
    of: int


@dataclass(frozen=True)
class Written:
    """A file of an export, as the manifest lists it."""

    path: str  # relative to the export's folder
    bytes: int
    sha256: str


class Format(Protocol):
    """How rows of `pairs` become files."""

    pictures: bool  # whether rows come with their pictures; those without one are then left out, and counted
    order: str  # SQL of the order of rows; $seed is the seed
    rows: int  # per shard, unless asked otherwise

    def write(
        self, target: Storage, shard: Shard, rows: pa.Table, pictures: Iterator[bytes]
    ) -> list[Written]:
        """Stores the rows of a shard, with the columns of pairs; with `pictures`, one comes for each row."""

    def finish(self, target: Storage, manifest: Mapping[str, Any]) -> list[Written]:
        """Stores what is about all shards, when each is there."""


class Stream:
    """A file being written: counts and hashes the bytes on their way."""

    def __init__(self, sink: Any) -> None:
        self._sink = sink
        self._digest = hashlib.sha256()
        self.bytes = 0

    def write(self, data: bytes | memoryview) -> None:
        """Appends `data`."""
        self._digest.update(data)
        self.bytes += memoryview(data).nbytes
        self._sink.write(data)

    def written(self, path: str) -> Written:
        """What has been written so far."""
        return Written(path, self.bytes, self._digest.hexdigest())


@contextmanager
def opened(target: Storage, path: str) -> Iterator[Stream]:
    """A file that has its name only when it is whole: a reader of the folder never sees a part of one."""
    files = target.filesystem()
    with storage_errors(target.uri(path)):
        if target.is_local:
            Path(target.uri(path)).parent.mkdir(parents=True, exist_ok=True)
        # An object store shows an object when its upload is complete
        name = f"{path}.part" if target.is_local else path
        with files.open_output_stream(name) as sink:
            yield Stream(sink)
        if target.is_local:
            files.move(name, path)


def store(target: Storage, path: str, data: bytes | memoryview) -> Written:
    """Writes a small file."""
    with opened(target, path) as stream:
        stream.write(data)
    return stream.written(path)


def store_parquet(target: Storage, path: str, rows: pa.Table, group: int | None = None) -> Written:
    """Writes a parquet file, `group` rows a row group."""
    buffer = pa.BufferOutputStream()
    pq.write_table(rows, buffer, row_group_size=group, **PARQUET)
    return store(target, path, memoryview(buffer.getvalue()))


def named(rows: pa.Table, columns: Sequence[tuple[str, str, pa.DataType]]) -> pa.Table:
    """`rows` with columns (new name, name in pairs, type)."""
    return pa.table(
        [rows[old].cast(dtype) for _, old, dtype in columns],
        schema=pa.schema([(new, dtype) for new, _, dtype in columns]),
    )
