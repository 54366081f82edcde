"""Shards as img2dataset writes them: the rows of one, and its pictures.

    webdataset   00000.tar      00000.parquet, or without it the .json files in the tar
    files        00000/         00000.parquet, or without it the .json files in the folder
    parquet      00000.parquet  with a column named after the pictures' format

A shard goes by the path of what holds its pictures. Its rows come in the order of the table beside it: the
place of a row there is its `position`. Fields: rom1504/img2dataset, ``downloader.py`` and ``writer.py``.
"""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import fsspec
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from transforms.candidates.errors import UnreadableUnit
from transforms.candidates.lists import Row
from transforms.candidates.pages import Page
from transforms.files import READS, Reads, open_file

FORMATS = ("jpg", "png", "webp")
"""img2dataset's encodings: extensions of files, names of columns."""

#: fields of a row, each under its name in img2dataset; absent ones are None
FIELDS = (
    *("url", "caption", "key", "status", "error_message", "original_width", "original_height"),
    *("sha256", "md5"),
)
BATCH = 1_024  # rows of a parquet file with pictures in memory at a time: at 30 kB each, 30 MB

Fields = Mapping[str, Any]  # of FIELDS


def pages(path: str, reads: Reads = READS) -> Iterator[Page]:
    """URL and caption of each row of the shard at `path`, as pages without a URL. Raises as `rows` does."""
    for batch in rows(path, ("url", "caption"), reads):
        found: list[Row] = [(row["url"], row["caption"]) for row in batch]
        yield Page(None, None, None, found)


def rows(path: str, fields: Sequence[str] = FIELDS, reads: Reads = READS) -> Iterator[list[Fields]]:
    """The rows of the shard at `path`, some thousand at a time.

    Raises UnreadableUnit where it is none of img2dataset's, FileNotFoundError where it is not there.
    """
    table = path if path.endswith(".parquet") else beside(path)
    if table != path and not _exists(table):
        for _, data in _files(path, ("json",), reads):
            yield [_object(data, fields)]
        return
    with open_file(table, reads) as file:
        found = _parquet(file, table)
        have = [name for name in fields if name in found.schema_arrow.names]
        if "url" not in have:
            raise UnreadableUnit(f"{table} has no column url: img2dataset did not write it")
        for batch in found.iter_batches(BATCH, columns=have):
            yield [dict.fromkeys(fields) | row for row in batch.to_pylist()]


def pictures(path: str, reads: Reads = READS) -> Iterator[tuple[str, bytes]]:
    """Key and encoded picture of the rows of the shard at `path` that have one, in the order of its files.

    A tar that was cut short ends where it breaks off: whoever asks knows which keys have not come.
    """
    if not path.endswith(".parquet"):
        yield from _files(path, FORMATS, reads)
        return
    with open_file(path, reads) as file:
        found = _parquet(file, path)
        name = picture_column(found.schema_arrow.names)
        if name is None:
            raise UnreadableUnit(f"{path} has no column {', '.join(FORMATS)}: it holds no pictures")
        for batch in found.iter_batches(BATCH, columns=["key", name]):
            for key, data in zip(batch["key"].to_pylist(), batch[name].to_pylist(), strict=True):
                if data is not None:
                    yield key, data


def beside(path: str) -> str:
    """The table of the shard at `path`, a tar or a folder."""
    return f"{path.rstrip('/').removesuffix('.tar')}.parquet"


def columns_of(file: BinaryIO, path: str) -> list[str]:
    """The columns of a shard's table. Raises UnreadableUnit where it is none."""
    return list(_parquet(file, path).schema_arrow.names)


def _parquet(file: BinaryIO, path: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except pa.ArrowInvalid as error:
        raise UnreadableUnit(f"{path} is no parquet file ({error}): fetch it again") from error


def picture_column(names: Sequence[str]) -> str | None:
    """The column of `names` that holds pictures."""
    return next((name for name in FORMATS if name in names), None)


def _exists(path: str) -> bool:
    filesystem, place = fsspec.core.url_to_fs(path)
    return bool(filesystem.exists(place))


def _object(data: bytes, fields: Sequence[str]) -> Fields:
    """A row from its .json file; a row without a URL where that holds none."""
    try:
        row = orjson.loads(data)
    except orjson.JSONDecodeError:
        row = None
    told = row if isinstance(row, dict) else {}
    return {name: told.get(name) for name in fields}


def _files(path: str, extensions: Sequence[str], reads: Reads) -> Iterator[tuple[str, bytes]]:
    """Key and content of the files in a tar or a folder that have one of `extensions`."""
    if path.endswith(".tar"):
        yield from _members(path, extensions, reads)
        return
    filesystem, place = fsspec.core.url_to_fs(path)
    for name in sorted(filesystem.ls(place, detail=False)):
        key, _, extension = posixpath.basename(name).partition(".")
        if extension in extensions:
            with open_file(filesystem.unstrip_protocol(name) if "://" in path else name, reads) as file:
                yield key, file.read()


def _members(path: str, extensions: Sequence[str], reads: Reads) -> Iterator[tuple[str, bytes]]:
    with open_file(path, reads) as file:
        try:
            with tarfile.open(fileobj=file, mode="r|") as tar:
                for member in tar:
                    key, _, extension = posixpath.basename(member.name).partition(".")
                    if extension in extensions and (content := tar.extractfile(member)) is not None:
                        data = content.read()
                        if len(data) == member.size:
                            yield key, data
        except tarfile.ReadError:  # img2dataset leaves such behind when it is killed (its issue 289)
            return
