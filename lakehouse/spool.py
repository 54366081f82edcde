"""What a batch has fetched from the web so far, kept until the batch is done.

Rows of an unfinished batch are deleted and made again; what makes them again reads this first, so that
nobody is asked twice for what has come. It is no table: nothing reads it but a repeat of the same work.

A file is one msgpack record after another, each with its hash: a power cut may leave anything in its tail.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmh3
import msgpack
import pyarrow as pa

from lakehouse.storage import Storage, storage_errors

FOLDER = "spool"
SUFFIX = ".msgpack"

# In an object store, which cannot append, records are kept together for that long, or until they are many:
# what a crash loses there.
FLUSH_SECONDS = 5.0
FLUSH_BYTES = 8 << 20

READ_BYTES = 128 << 10  # taken at a time of what was read: more would be fresh memory each time

Record = Sequence[Any]
"""Null, booleans, whole numbers of 64 bits, floats, texts, bytes, moments in UTC, and lists of them."""


@dataclass(frozen=True)
class Spool:
    """Records below `folder` of a lake; picklable."""

    storage: Storage
    folder: str

    def part(self, number: int) -> Spool:
        """The spool of one task."""
        return Spool(self.storage, f"{self.folder}/{number:05}")

    def records(self) -> Iterator[Record]:
        """What was kept, in no order, and more than once where two tasks kept the same."""
        for path in self.storage.files(self.folder):
            if path.endswith(SUFFIX):
                with self.storage.filesystem().open_input_stream(path, buffer_size=FLUSH_BYTES) as file:
                    yield from _read(file)

    @contextmanager
    def appending(self) -> Iterator[Callable[[Record], None]]:
        """A function that keeps a record: at once in a folder, within seconds in an object store.

        Raises StorageError where it cannot be written.
        """
        path = f"{self.folder}/{uuid.uuid4().hex}"
        if self.storage.is_local:
            with self._file(path + SUFFIX) as append:
                yield append
        else:
            kept = _Kept(self.storage, path)
            yield kept.append
            kept.flush()

    @contextmanager
    def _file(self, path: str) -> Iterator[Callable[[Record], None]]:
        self.storage.check_writable()
        where = Path(self.storage.uri(path))
        with storage_errors(str(where)):
            where.parent.mkdir(parents=True, exist_ok=True)
            file = where.open("wb")

        def append(record: Record) -> None:
            with storage_errors(str(where)):
                file.write(_packed(record))
                file.flush()  # to the system, not to the disk: what a power cut takes is fetched again

        try:
            yield append
        finally:
            with storage_errors(str(where)):
                file.close()


class _Kept:
    """Records on their way to an object store, an object for each few seconds of them."""

    def __init__(self, storage: Storage, path: str) -> None:
        self.storage, self.path = storage, path
        self.number = 0
        self.data = bytearray()
        self.since = 0.0

    def append(self, record: Record) -> None:
        if not self.data:
            self.since = time.monotonic()
        self.data += _packed(record)
        if len(self.data) >= FLUSH_BYTES or time.monotonic() - self.since >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        if self.data:
            self.storage.write(f"{self.path}-{self.number:06}{SUFFIX}", bytes(self.data))
            self.number, self.data = self.number + 1, bytearray()


def _packed(record: Record) -> bytes:
    data: bytes = msgpack.packb(record, datetime=True)
    packed: bytes = msgpack.packb([mmh3.hash_bytes(data), data])
    return packed


def _read(file: pa.NativeFile) -> Iterator[Record]:
    """The records of one file, up to where a killed process or a power cut left off."""
    try:
        for hashed, data in msgpack.Unpacker(file, max_buffer_size=0, read_size=READ_BYTES):
            if mmh3.hash_bytes(data) != hashed:
                return
            yield msgpack.unpackb(data, timestamp=3)
    except (ValueError, TypeError, OSError):
        return


def clear(storage: Storage, folder: str = FOLDER) -> None:
    """Delete what is kept below `folder`; without one, all of it."""
    storage.remove_folder(folder)
