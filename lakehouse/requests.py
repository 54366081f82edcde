"""What somebody asks to be removed, as tombstones: from arguments, and from lists of hashes.

A list is a text file or a parquet file. In a text file each line is one hash or URL; empty lines and lines
that begin with # are passed over:

    9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08    a picture's sha256, or md5
    url_sha1:f1d2d2f924e986ac86fdf7b36c94bcdf32beec15                   any kind of transforms.tombstones
    https://pictures.example/cat.jpg                                    a URL

In a parquet file the columns are named by their kinds (or `url`): digests are strings in hex or binary,
`sample_id` and `url_id` integers. Other columns are not read. Of a list 8 bytes an entry are held.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from lakehouse.errors import UsageError
from lakehouse.storage import storage_errors
from transforms.candidates.keys import url_id
from transforms.candidates.rules import CandidateRules
from transforms.candidates.urls import resolver
from transforms.tombstones import DIGESTS, KINDS, Tombstones, digest_key, text_key

PARQUET = b"PAR1"
ROWS = 1 << 16  # of a parquet file at a time
INT64 = range(-(1 << 63), 1 << 63)


def request(
    rules: CandidateRules, given: Mapping[str, Sequence[str]], lists: Iterable[str | Path] = ()
) -> Tombstones:
    """The tombstones of what is `given` per kind (or `url`), and of `lists`.

    URLs and hosts are resolved by `rules`, as those of candidates are; a URL counts as it was written, too.
    Raises UsageError, with file and line, for what is no such thing.
    """
    found = {kind: array("q") for kind in KINDS}
    read = _reader(rules, found)
    for kind, values in given.items():
        for value in values:
            read(kind, value.strip())
    for path in lists:
        for place, kind, value in _entries(Path(path)):
            try:
                read(kind, value)
            except UsageError as error:
                raise UsageError(f"{path}, {place}: {error}") from error
    return Tombstones.of({kind: np.frombuffer(keys, np.int64) for kind, keys in found.items() if keys})


def _reader(rules: CandidateRules, found: Mapping[str, array[int]]) -> Callable[[str, str], None]:
    """A function that puts what stands for one value of a kind into `found`."""
    resolve = resolver(rules)

    def read(kind: str, value: str) -> None:
        if kind == "url":
            resolved = resolve(value, None)
            urls = {value, resolved[0]} if isinstance(resolved, tuple) else {value}
            found["url_id"].extend(map(url_id, urls))
        elif kind == "host":
            resolved = resolve(f"http://{value}/picture", None)
            if not isinstance(resolved, tuple) or not value:
                raise UsageError(f"{value!r} is no host name, such as pictures.example.com")
            found["host"].append(text_key(resolved[1]))
        elif kind in DIGESTS:
            found[kind].append(_digest(kind, value))
        elif kind in KINDS:
            found[kind].append(_number(kind, value))
        else:
            raise UsageError(f"no kind {kind!r}; there are {', '.join(('url', *KINDS))}")

    return read


def _digest(kind: str, value: str) -> int:
    try:
        if len(value) == DIGESTS[kind]:
            return digest_key(value)
    except ValueError:
        pass
    raise UsageError(f"{value[:80]!r} is no {kind}: expected {DIGESTS[kind]} hex digits")


def _number(kind: str, value: str) -> int:
    try:
        number = int(value)
    except ValueError:
        number = INT64.stop
    if number not in INT64:
        raise UsageError(f"{value[:80]!r} is no {kind}: expected a whole number of 64 bits")
    return number


def _entries(path: Path) -> Iterator[tuple[str, str, str]]:
    """Place, kind and value of each entry of a list."""
    with storage_errors(str(path)):
        if not path.is_file():
            raise UsageError(f"{path}: no such file")
        with path.open("rb") as file:
            is_parquet = file.read(len(PARQUET)) == PARQUET
        yield from _of_parquet(path) if is_parquet else _of_text(path)


def _of_text(path: Path) -> Iterator[tuple[str, str, str]]:
    lengths = {length: kind for kind, length in DIGESTS.items() if not kind.startswith("url_")}
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            value = line.strip()
            if not value or value.startswith("#"):
                continue
            kind, colon, rest = value.partition(":")
            if value.startswith(("http://", "https://")):
                kind, rest = "url", value
            elif not colon:
                kind, rest = lengths.get(len(value), ""), value
            if not kind:
                raise UsageError(
                    f"{path}, line {number}: {value[:80]!r} is no picture's sha256 or md5; other kinds are "
                    f"written with their names, such as url_sha1:…"
                )
            yield f"line {number}", kind, rest.strip()


def _of_parquet(path: Path) -> Iterator[tuple[str, str, str]]:
    file = pq.ParquetFile(path)
    kinds = [name for name in file.schema_arrow.names if name in (*KINDS, "url")]
    if not kinds:
        raise UsageError(f"{path}: none of its columns is named url, {', '.join(KINDS)}")
    row = 0
    for batch in file.iter_batches(ROWS, columns=kinds):
        for kind in kinds:
            for number, value in enumerate(batch[kind].to_pylist(), row + 1):
                if value is not None:
                    yield f"row {number}", kind, value.hex() if isinstance(value, bytes) else str(value)
        row += len(batch)
