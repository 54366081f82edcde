"""Files under a lake's root, whatever store it is in.

The same storage options (object_store's keys, such as ``aws_access_key_id`` or ``aws_endpoint``)
serve delta-rs, Lance and the files that Pairlake itself reads and writes, on the driver and on the
workers.
"""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
from deltalake.exceptions import DeltaError
from deltalake.fs import DeltaStorageHandler

from lakehouse.errors import StorageError, UsageError

CHUNK = 8 << 20  # bytes read at a time when a file is hashed

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Storage:
    """A root URI with the options to reach it; small and picklable, so that workers can have it."""

    root: str
    options: Mapping[str, str] = field(default_factory=dict)
    read_only: str | None = None  # why nothing may be written, and what to do

    def check_writable(self) -> None:
        """Raises UsageError where nothing may be written. Whatever writes asks first."""
        if self.read_only is not None:
            raise UsageError(self.read_only)

    @property
    def is_local(self) -> bool:
        """True for a folder of this machine."""
        return "://" not in self.root

    def uri(self, path: str) -> str:
        """The URI of `path`, which is relative to the root."""
        return f"{self.root.rstrip('/')}/{path}"

    def filesystem(self) -> pafs.FileSystem:
        """A pyarrow file system whose paths are relative to the root."""
        if self.is_local:
            return pafs.SubTreeFileSystem(self.root, pafs.LocalFileSystem())
        return pafs.PyFileSystem(DeltaStorageHandler(self.root, dict(self.options)))

    def exists(self, path: str) -> bool:
        """Whether a file of that name is there."""
        with storage_errors(self.uri(path)):
            return bool(self.filesystem().get_file_info(path).type == pafs.FileType.File)

    def read(self, path: str) -> bytes:
        """The whole file."""
        with storage_errors(self.uri(path)), self.filesystem().open_input_stream(path) as stream:
            return bytes(stream.read())

    def write(self, path: str, data: bytes | memoryview) -> None:
        """Writes the whole file; folders are made as needed."""
        self.check_writable()
        with storage_errors(self.uri(path)):
            if self.is_local:
                Path(self.uri(path)).parent.mkdir(parents=True, exist_ok=True)
            # The buffer holds all: delta-rs takes bytes, but pyarrow hands on large pieces as buffers.
            with self.filesystem().open_output_stream(path, buffer_size=len(data) + 1) as stream:
                stream.write(data)

    def sha256(self, path: str) -> str:
        """The hex digest of the file's bytes, read in pieces."""
        digest = hashlib.sha256()
        with storage_errors(self.uri(path)), self.filesystem().open_input_stream(path) as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
        return digest.hexdigest()


@contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Turns what the engines and the operating system raise into one clear `StorageError`."""
    try:
        yield
    except (OSError, DeltaError, pa.ArrowInvalid) as error:  # ArrowInvalid: a damaged parquet file
        raise StorageError(explain(error, what)) from error


def explain(error: BaseException, what: str) -> str:
    """One line on what went wrong with `what`, and what to do."""
    text = " ".join(_ANSI.sub("", str(error)).split())
    full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in text or "os error 28" in text
    if full:
        return f"no space left while writing {what}: make room, then run the same command again"
    if isinstance(error, PermissionError) or "Permission denied" in text:
        return f"no permission for {what}: check the rights on the lake's root"
    if isinstance(error, FileNotFoundError):
        return f"{what} is missing: `lake release verify NAME` lists what else is not as it was"
    return f"{what}: {text[:300]}"
