"""What the engines' logs say of a table, file by file: their damage, and the data files that they name.

Delta: `_delta_log/` with one JSON file per version, now and then a checkpoint of all before it, and
`_last_checkpoint`, which names the newest. delta-rs reads an empty commit file, which a power cut can
leave, as a version without changes: rows are missing, and nothing is said. Lance: `_versions/` with one
manifest per version.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import lance
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from lakehouse.errors import StorageError
from lakehouse.schema import TableSpec
from lakehouse.storage import Storage, storage_errors

COMMIT = re.compile(r"_delta_log/(\d{20})\.json")
CHECKPOINT = re.compile(r"_delta_log/(\d{20})\.checkpoint.*\.parquet")
LAST_CHECKPOINT = "_delta_log/_last_checkpoint"
MANIFEST = re.compile(r"_versions/(\d+)\.manifest")


def contents(storage: Storage, name: str) -> dict[str, int]:
    """Every file of the table's folder with its size, by its path within the folder."""
    with storage_errors(storage.uri(name)):
        selector = pafs.FileSelector(name, recursive=True, allow_not_found=True)
        found = storage.filesystem().get_file_info(selector)
    return {f.path.removeprefix(f"{name}/"): f.size for f in found if f.type == pafs.FileType.File}


def data_files(spec: TableSpec, found: Mapping[str, int]) -> set[str]:
    """Those of a folder's files that hold rows, whether a version names them or not."""
    if spec.format == "delta":
        return {path for path in found if path.endswith(".parquet") and not path.startswith("_")}
    return {path for path in found if path.startswith("data/")}


def named(storage: Storage, spec: TableSpec, found: Mapping[str, int]) -> set[str]:
    """The data files that any version of the table names, whether they are there or not."""
    if spec.format == "lance":
        # Without a manifest there is no dataset yet: a first batch that came to nothing
        return _named_by_manifests(storage, spec) if any(map(MANIFEST.fullmatch, found)) else set()
    names: set[str] = set()
    for path in found:
        if COMMIT.fullmatch(path):
            adds = [action["add"] for action in actions(storage, spec.name, path) if "add" in action]
            names.update(unquote(add["path"]) for add in adds)
        elif CHECKPOINT.fullmatch(path):
            adds = _checkpoint(storage, f"{spec.name}/{path}")["add"].to_pylist()
            names.update(unquote(add["path"]) for add in adds if add is not None)
    return names


def _named_by_manifests(storage: Storage, spec: TableSpec) -> set[str]:
    uri, options = storage.uri(spec.name), dict(storage.options)
    with storage_errors(uri):
        newest = lance.dataset(uri, storage_options=options)
        versions = [newest.checkout_version(entry["version"]) for entry in newest.versions()]
        return {
            f"data/{file.path}"
            for version in versions
            for fragment in version.get_fragments()
            for file in fragment.data_files()
        }


def actions(storage: Storage, name: str, path: str) -> Iterator[Mapping[str, Any]]:
    """The actions of one commit of a Delta table. Raises StorageError where its file is damaged."""
    data = storage.read(f"{name}/{path}")
    if not data.strip():
        raise StorageError("an empty commit file")
    for line in data.splitlines():
        try:
            action = json.loads(line)
        except ValueError as error:
            raise StorageError("a commit file that is cut off or altered") from error
        if not isinstance(action, dict):
            raise StorageError("a commit file that is altered")
        yield action


def _checkpoint(storage: Storage, path: str) -> pa.Table:
    with storage_errors(storage.uri(path)), storage.filesystem().open_input_file(path) as file:
        return pq.read_table(file, columns=["add"])


def damage(storage: Storage, spec: TableSpec, found: Mapping[str, int]) -> dict[str, str]:
    """Files of the table's log that are damaged, by their path within its folder, and what they are."""
    if spec.format == "lance":
        return {
            path: "an empty manifest" for path, size in found.items() if MANIFEST.fullmatch(path) and not size
        }
    damaged: dict[str, str] = {}
    for path in sorted(found):
        try:
            if COMMIT.fullmatch(path):
                list(actions(storage, spec.name, path))
            elif CHECKPOINT.fullmatch(path):
                _checkpoint(storage, f"{spec.name}/{path}")
            elif path == LAST_CHECKPOINT:
                _check_pointer(storage, spec.name, found)
        except StorageError as error:
            damaged[path] = str(error) if path.endswith(".json") else "a checkpoint that cannot be read"
    numbers = versions(found)
    for number in sorted(set(range(max(numbers, default=-1) + 1)) - set(numbers)):
        damaged[f"_delta_log/{number:020}.json"] = "a commit file that is missing"
    return damaged


def oldest_readable(storage: Storage, name: str, found: Mapping[str, int], gone: Collection[str]) -> int:
    """The oldest version of a Delta table that can be read once the data files `gone` are deleted."""
    oldest = 0
    for path in found:
        commit = COMMIT.fullmatch(path)
        for action in actions(storage, name, path) if commit else ():
            if commit and "remove" in action and unquote(action["remove"]["path"]) in gone:
                oldest = max(oldest, int(commit[1]))
    return oldest


def versions(found: Mapping[str, int]) -> list[int]:
    """The versions that a Delta table's commit files make."""
    return sorted(int(match[1]) for match in map(COMMIT.fullmatch, found) if match)


def _check_pointer(storage: Storage, name: str, found: Mapping[str, int]) -> None:
    try:
        version = json.loads(storage.read(f"{name}/{LAST_CHECKPOINT}"))["version"]
    except (ValueError, LookupError, TypeError) as error:
        raise StorageError("cannot be read") from error
    if not any(m and int(m[1]) == version for m in map(CHECKPOINT.fullmatch, found)):
        raise StorageError("names a checkpoint that is not there")
