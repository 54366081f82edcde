"""Files under a lake's root, whatever store it is in.

The same storage options (object_store's keys, such as ``aws_access_key_id`` or ``aws_endpoint``)
serve delta-rs, Lance and the files that Pairlake itself reads and writes, on the driver and on the
workers.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.fs as pafs
from deltalake.exceptions import DeltaError
from deltalake.fs import DeltaStorageHandler

from lakehouse import faults
from lakehouse.errors import StorageError, UsageError
from lakehouse.webfiles import WebFiles

CHUNK = 8 << 20  # bytes read at a time when a file is hashed

LOGS = ("_delta_log", "_versions")  # folders whose files say which data files a table has
REWRITTEN = ("_last_checkpoint", "latest_version_hint.json")  # files of those that change under their name

_SETTLED: set[str] = set()  # folders that, as this process knows, the disk has under their names
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Storage:
    """A root URI with the options to reach it; small and picklable, so that workers can have it."""

    root: str
    options: Mapping[str, str] = field(default_factory=dict)
    fsync: bool = True  # wait until the disk has what was written; in folders only
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
        if self.root.startswith(("http://", "https://")):
            return pafs.PyFileSystem(WebFiles(self.root))
        return pafs.PyFileSystem(DeltaStorageHandler(self.root, dict(self.options)))

    def exists(self, path: str) -> bool:
        """Whether a file of that name is there."""
        return self.size(path) is not None

    def remove(self, path: str) -> None:
        """Deletes the file."""
        self.check_writable()
        with storage_errors(self.uri(path)):
            self.filesystem().delete_file(path)

    def size(self, path: str) -> int | None:
        """The file's bytes; None where there is no such file."""
        with storage_errors(self.uri(path)):
            info = self.filesystem().get_file_info(path)
        return int(info.size) if info.type == pafs.FileType.File else None

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
        self.sync([path])

    def files(self, folder: str) -> list[str]:
        """The files in and below `folder`, by name; none where there is no such folder."""
        with storage_errors(self.uri(folder)):
            found = self.filesystem().get_file_info(
                pafs.FileSelector(folder, allow_not_found=True, recursive=True)
            )
        return sorted(entry.path for entry in found if entry.type == pafs.FileType.File)

    def remove_folder(self, folder: str) -> None:
        """Deletes `folder` with all that is in it, if it is there."""
        self.check_writable()
        with storage_errors(self.uri(folder)):
            if self.is_local:
                shutil.rmtree(self.uri(folder), ignore_errors=not Path(self.uri(folder)).exists())
                return
            for path in self.files(folder):
                self.filesystem().delete_file(path)

    def sync(self, paths: Iterable[str]) -> None:
        """Waits until the disk has these files and then the folders, up to the root, that name them.

        The engines do not: after a power cut a file that was not waited for can be empty. An object store
        answers when it has a file, so there is nothing to wait for.
        """
        if not (self.is_local and self.fsync):
            return
        files = list(paths)
        folders = dict.fromkeys(PurePosixPath(path).parent for path in files)
        for path in [*files, *folders]:
            self._sync(str(path))
        for folder in folders:
            for child, parent in zip([folder, *folder.parents], folder.parents, strict=False):
                if self.uri(str(child)) not in _SETTLED:
                    self._sync(str(parent))
                    _SETTLED.add(self.uri(str(child)))

    def _sync(self, path: str) -> None:
        with storage_errors(self.uri(path)):
            _fsync(self.uri(path))

    @contextmanager
    def settled(self, *folders: str) -> Iterator[None]:
        """When the block ends, the disk has what it made in `folders`: data first, then the log's entries."""
        if not (self.is_local and self.fsync):
            yield
            return
        before = self._names(folders)
        yield
        made = sorted(path for path in self._names(folders) if path not in before or path.endswith(REWRITTEN))
        logged = [path for path in made if not set(LOGS).isdisjoint(path.split("/"))]
        self.sync(path for path in made if path not in logged)
        self.sync(logged)

    def _names(self, folders: Iterable[str]) -> set[str]:
        """The files in and below `folders`, which need not exist."""
        found = [entry for folder in folders for entry in os.walk(self.uri(folder))]
        return {os.path.relpath(f"{top}/{name}", self.root) for top, _, files in found for name in files}

    def sha256(self, path: str) -> str:
        """The hex digest of the file's bytes, read in pieces."""
        digest = hashlib.sha256()
        with storage_errors(self.uri(path)), self.filesystem().open_input_stream(path) as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
        return digest.hexdigest()


def _fsync(path: str) -> None:
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return  # a temporary file of another writer, gone again
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot do it for folders
            raise
    finally:
        os.close(handle)


@contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Turns what the engines and the operating system raise into one clear `StorageError`."""
    try:
        with faults.access(what):
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
        return f"{what} is missing: `lake verify` lists what else is not as it was"
    return f"{what}: {text[:300]}"
