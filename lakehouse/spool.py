"""What a batch has fetched from the web so far, kept until the batch is done.

Rows of an unfinished batch are deleted and made again; what makes them again reads this first, so that
nobody is asked twice for what has come. It is no table: nothing reads it but a repeat of the same work.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from lakehouse.storage import Storage, storage_errors

FOLDER = "spool"

# In an object store, which cannot append, rows are kept together for that long, or until they are many:
# what a crash loses there.
FLUSH_SECONDS = 5.0
FLUSH_BYTES = 8 << 20


@dataclass(frozen=True)
class Spool:
    """Arrow streams below `folder` of a lake; picklable."""

    storage: Storage
    folder: str

    def part(self, number: int) -> Spool:
        """The spool of one task."""
        return Spool(self.storage, f"{self.folder}/{number:05}")

    def tables(self) -> Iterator[pa.Table]:
        """What was kept, in no order, and more than once where two tasks fetched the same."""
        for path in self.storage.files(self.folder):
            with self.storage.filesystem().open_input_stream(path) as file:
                yield from _read(file)

    @contextmanager
    def appending(self, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
        """A function that keeps rows: at once in a folder, within seconds in an object store.

        Raises StorageError where they cannot be written.
        """
        path = f"{self.folder}/{uuid.uuid4().hex}"
        if self.storage.is_local:
            with self._file(path, schema) as append:
                yield append
        else:
            kept = _Kept(self.storage, path, schema)
            yield kept.append
            kept.flush()

    @contextmanager
    def _file(self, path: str, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
        self.storage.check_writable()
        where = Path(self.storage.uri(path))
        with storage_errors(str(where)):
            where.parent.mkdir(parents=True, exist_ok=True)
            file = where.open("wb", buffering=FLUSH_BYTES)
            stream = pa.ipc.new_stream(file, schema)

        def append(rows: pa.Table) -> None:
            with storage_errors(str(where)):
                stream.write_table(rows)
                file.flush()  # to the system, not to the disk: what a power cut takes is fetched again

        try:
            yield append
        finally:
            with storage_errors(str(where)):
                stream.close()
                file.close()


class _Kept:
    """Rows on their way to an object store, an object for each few seconds of them."""

    def __init__(self, storage: Storage, path: str, schema: pa.Schema) -> None:
        self.storage, self.path, self.schema = storage, path, schema
        self.number = self.bytes = 0
        self.tables: list[pa.Table] = []
        self.since = 0.0

    def append(self, rows: pa.Table) -> None:
        if not self.tables:
            self.since = time.monotonic()
        self.tables.append(rows)
        self.bytes += rows.nbytes
        if self.bytes >= FLUSH_BYTES or time.monotonic() - self.since >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        if not self.tables:
            return
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.schema) as stream:
            stream.write_table(pa.concat_tables(self.tables))
        self.storage.write(f"{self.path}-{self.number:06}", sink.getvalue())
        self.number, self.bytes, self.tables = self.number + 1, 0, []


def _read(file: pa.NativeFile) -> Iterator[pa.Table]:
    """The rows of one stream, up to where a killed process left off."""
    try:
        with pa.ipc.open_stream(file) as stream:
            for batch in stream:
                yield pa.Table.from_batches([batch])
    except (pa.ArrowInvalid, OSError):
        return


def clear(storage: Storage, folder: str = FOLDER) -> None:
    """Delete what is kept below `folder`; without one, all of it."""
    storage.remove_folder(folder)
