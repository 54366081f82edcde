"""The files of an import: found, and hashed on the workers for the lineage."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence

import fsspec
from distributed import Client

from lakehouse.errors import UsageError
from lakehouse.sources import filesystem_of, store_errors
from transforms.files import Reads, open_file

PIECE = 1 << 20  # bytes read at a time

Digests = Mapping[str, tuple[int, str]]  # by path: bytes, SHA-256


def listed(folder: str) -> dict[str, bool]:
    """What lies directly in `folder`, a path or URL: full paths, each with whether it is a folder itself.

    Raises UsageError where there is no such folder, StorageError where a store refuses.
    """
    filesystem, place = filesystem_of(folder if "://" in folder else os.path.abspath(folder))
    with store_errors(folder):
        if not filesystem.isdir(place):
            raise UsageError(f"no folder {folder}: an import takes the folder that the other tool wrote")
        return {_full(filesystem, entry["name"], folder): entry["type"] == "directory" for entry in sorted(
            filesystem.ls(place, detail=True), key=lambda entry: str(entry["name"])
        )}  # fmt: skip


def _full(filesystem: fsspec.AbstractFileSystem, name: str, folder: str) -> str:
    return str(filesystem.unstrip_protocol(name)) if "://" in folder else str(name).rstrip("/")


def digests(client: Client, paths: Sequence[str], reads: Reads) -> Digests:
    """Bytes and SHA-256 of the files at `paths`; of a folder, of its files one after the other, by name."""
    futures = client.map(digest, paths, reads=reads, pure=False)
    with store_errors("the files to import"):
        return dict(zip(paths, client.gather(futures), strict=True))


def digest(path: str, reads: Reads) -> tuple[int, str]:
    """Runs on a worker: bytes and SHA-256 of one file or folder."""
    filesystem, place = fsspec.core.url_to_fs(path)
    names = [path]
    if filesystem.isdir(place):
        names = [_full(filesystem, name, path) for name in sorted(filesystem.ls(place, detail=False))]
    found, size = hashlib.sha256(), 0
    for name in names:
        with open_file(name, reads) as file:
            while piece := file.read(PIECE):
                found.update(piece)
                size += len(piece)
    return size, found.hexdigest()
