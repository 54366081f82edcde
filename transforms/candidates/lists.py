"""URL lists: rows of URL and text in parquet, CSV or JSON lines, cut into numbered slices."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, BinaryIO

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.compression import compr
from fsspec.utils import infer_compression

from transforms.candidates.errors import UnreadableUnit
from transforms.candidates.pages import Page
from transforms.candidates.rules import CandidateRules
from transforms.files import READS, Reads, open_file

BATCH = 8192  # rows in memory at a time

HEAD = 1_000  # rows of JSON lines that tell which fields there are

Row = tuple[Any, ...]  # a value per wanted column; (BadRow, None, ...) for a line that cannot be parsed


class BadRow:
    """Stands for a line that cannot be parsed, in place of its URL."""


def slices(path: str, rows_per_slice: int, reads: Reads = READS) -> list[tuple[int, int]]:
    """The row ranges [start, stop) that cut the URL list at `path`, of `rows_per_slice` rows but the last.

    The format is that of the name: .parquet, .csv, .jsonl or .ndjson, the last three also with a
    compression that fsspec knows (.gz, .bz2, .xz, .zip). Parquet is counted from its footer, the others
    are read through. Raises `UnreadableUnit` for another name, an empty file or one of another kind.
    """
    if _format(path) == "parquet":
        with open_file(path, reads) as file:
            total = _parquet(file, path).metadata.num_rows
    else:
        with _text(path, reads) as lines:
            total = sum(1 for _ in _lines(lines, path))
    if not total:
        raise UnreadableUnit(f"{path} has no rows")
    return [(start, min(start + rows_per_slice, total)) for start in range(0, total, rows_per_slice)]


def header(path: str, reads: Reads = READS) -> list[str]:
    """The names of the columns of the URL list at `path`; of JSON lines, of the fields in its first rows."""
    if _format(path) == "parquet":
        with open_file(path, reads) as file:
            return list(_parquet(file, path).schema_arrow.names)
    with _text(path, reads) as lines:
        if _format(path) == "csv":
            return next(_csv(lines), [])
        return list(
            {name: None for line in islice(_lines(lines, path), HEAD) for name in _object(line) or ()}
        )


def pages(
    path: str,
    start: int | None,
    stop: int | None,
    rules: CandidateRules,
    reads: Reads = READS,
) -> Iterator[Page]:
    """Rows [start, stop) of the URL list at `path` as pages without a URL; all rows where both are None.

    A line that cannot be parsed has `BadRow` for its URL. Reads and raises as `rows` does.
    """
    for batch in rows(path, start, stop, [rules.url_columns, rules.text_columns], reads):
        yield Page(None, None, None, batch)


def rows(
    path: str,
    start: int | None,
    stop: int | None,
    wanted: Sequence[Sequence[str]],
    reads: Reads = READS,
) -> Iterator[list[Row]]:
    """Rows [start, stop) of the URL list at `path`, some thousand at a time; all where both are None.

    `wanted` has the names that each column may go by; the first that is there is taken. Of a parquet file
    only the row groups and columns of the slice are read; of the others only their beginning up to `stop`.
    Raises `UnreadableUnit` as `slices` does, and where none of a column's names is there.
    """
    if _format(path) == "parquet":
        with open_file(path, reads) as file:
            yield from _parquet_rows(_parquet(file, path), path, start or 0, stop, wanted)
    else:
        with _text(path, reads) as lines:
            found = _rows(lines, path, start or 0, stop, wanted)
            while batch := list(islice(found, BATCH)):
                yield batch


def _format(path: str) -> str:
    names = path.lower().rsplit("/", 1)[-1].split(".")[1:]
    if names and names[-1] in ("gz", "bz2", "xz", "zip"):
        names.pop()
    suffix = names[-1] if names else ""
    kinds = {"parquet": "parquet", "csv": "csv", "jsonl": "jsonl", "ndjson": "jsonl"}
    if suffix not in kinds:
        raise UnreadableUnit(f"{path} is no URL list by its name: it must end in .parquet, .csv or .jsonl")
    return kinds[suffix]


def _column(path: str, there: Sequence[str], wanted: Sequence[str]) -> str:
    for name in wanted:
        if name in there:
            return name
    raise UnreadableUnit(f"{path} has no column {' or '.join(wanted)}, but {', '.join(there)[:200]}")


# ---------- parquet


def _parquet(file: BinaryIO, path: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except pa.ArrowInvalid as error:
        raise UnreadableUnit(f"{path} is no parquet file ({error}): fetch it again") from error


def _parquet_rows(
    file: pq.ParquetFile, path: str, start: int, stop: int | None, wanted: Sequence[Sequence[str]]
) -> Iterator[list[Row]]:
    """Rows [start, stop), in batches, from the row groups that hold them."""
    columns = [_column(path, file.schema_arrow.names, names) for names in wanted]
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    first = 0  # row number where the group begins
    for group, size in enumerate(sizes):
        position = first
        first += size
        if position + size <= start or (stop is not None and position >= stop):
            continue
        for batch in file.iter_batches(BATCH, row_groups=[group], columns=columns):
            low = max(start - position, 0)
            high = len(batch) if stop is None else min(stop - position, len(batch))
            position += len(batch)
            if low < high:
                part = batch.slice(low, high - low)
                yield list(zip(*(part.column(name).to_pylist() for name in columns), strict=True))


# ---------- CSV and JSON lines


@contextmanager
def _text(path: str, reads: Reads) -> Iterator[io.TextIOBase]:
    """The list at `path` as text lines; what is not UTF-8 is replaced, line ends stay for the parser."""
    unpack = compr[infer_compression(path)]
    newline = "" if _format(path) == "csv" else "\n"
    with open_file(path, reads) as file, unpack(file, mode="rb") as unpacked:
        yield io.TextIOWrapper(unpacked, encoding="utf-8-sig", errors="replace", newline=newline)


def _lines(text: io.TextIOBase, path: str) -> Iterator[Any]:
    """Rows still unparsed: the fields of CSV without its header line, the lines of JSON lines."""
    if _format(path) == "csv":
        reader = _csv(text)
        next(reader, None)
        return reader
    return (line for line in text if line.strip())


def _rows(
    text: io.TextIOBase, path: str, start: int, stop: int | None, wanted: Sequence[Sequence[str]]
) -> Iterator[Row]:
    """The wanted columns of rows [start, stop) of CSV or JSON lines; what comes before is only counted."""
    bad = (BadRow, *[None] * (len(wanted) - 1))
    if _format(path) == "jsonl":
        lines = islice(_lines(text, path), start, stop)
        return (bad if row is None else _fields(row, wanted) for row in map(_object, lines))
    reader = _csv(text)
    header = next(reader, [])
    places = [header.index(_column(path, header, names)) for names in wanted]
    rows = islice(reader, start, stop)
    return (tuple([row[i] for i in places]) if len(row) == len(header) else bad for row in rows)


def _csv(text: Iterable[str]) -> Iterator[list[str]]:
    """The rows of CSV; [] for one that the parser refuses (a field longer than its limit of 128 KiB)."""
    reader = csv.reader(text)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            row = []
        else:
            if not row:  # an empty line is no row
                continue
        yield row


def _object(line: str) -> dict[str, Any] | None:
    """The object that a line of JSON holds; None where it holds none."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return row if isinstance(row, dict) else None


def _fields(row: dict[str, Any], wanted: Sequence[Sequence[str]]) -> Row:
    return tuple([next((row[name] for name in names if name in row), None) for names in wanted])
