"""What must not be stored: lists of hashes of files, of perceptual hashes and of URLs.

A list is a text file or a parquet file, read wherever workers can read it. In a text file each line is one
entry; empty lines and lines that begin with # are passed over:

    9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08    a file's sha256, sha1 or md5
    url_sha1:f1d2d2f924e986ac86fdf7b36c94bcdf32beec15                   any other of `ENTRIES`
    phash:e1c3871e3c78f0c1                                              16 hex digits, as in `phash` below
    https://pictures.example/cat.jpg                                    a URL

In a parquet file the columns are named by their kinds (or `url`): digests and perceptual hashes are strings
in hex or binary, perceptual hashes may be integers too. Other columns are not read.

The other way round, a list of what is *expected* has for URLs the digest that their file must have: a
parquet file with the columns `url` and one or more of `sha256`, `sha1` and `md5`, such as img2dataset's own
metadata. What else comes from such a URL is not stored; a URL that no list has may bring anything.

Of an entry 8 bytes are held (`transforms.tombstones` says what that means), of a perceptual hash 8 for each
bit of the distance and 8 more, so that a worker has room for millions.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from transforms.downloads.hamming import Near
from transforms.downloads.rules import HashLists
from transforms.downloads.status import DownloadError, DownloadStatus
from transforms.files import READS, Reads, open_file
from transforms.tombstones import Keys, Tombstones, digest_key, host_key, text_key

ENTRIES: Mapping[str, int] = {
    "sha256": 64,
    "sha1": 40,
    "md5": 32,
    "phash": 16,
    "url_sha256": 64,
    "url_sha1": 40,
    "url_md5": 32,
}
"""The kinds of hashes that a list may hold, and their length in hex digits."""

WITHDRAWN = "withdrawn"
"""The list's name in rows of what `lake remove` took out."""

_BARE = {length: kind for kind, length in ENTRIES.items() if kind in ("sha256", "sha1", "md5")}
_PARQUET = b"PAR1"
_ROWS = 1 << 16  # of a parquet file at a time


class BadListError(ValueError):
    """A list that cannot be read as one; the message says which, where and why."""


@dataclass(frozen=True)
class HashList:
    """One list: `keys` per kind, `near` for its perceptual hashes."""

    name: str
    keys: Tombstones
    near: Near | None = None


@dataclass(frozen=True)
class Expected:
    """What the files of URLs must be, by one kind of digest: int64[n] each, sorted by URL."""

    kind: str
    urls: Keys
    digests: Keys

    def allows(self, url: int, digest: int) -> bool:
        """Whether nothing is expected of the URL, or just that; a URL may be listed with several."""
        first, end = np.searchsorted(self.urls, url, "left"), np.searchsorted(self.urls, url, "right")
        return bool(first == end or (self.digests[first:end] == digest).any())


@dataclass(frozen=True)
class Refused:
    """All lists of a lake. What one of them names is refused with the status ``listed`` and its name."""

    lists: Sequence[HashList] = ()
    expected: Sequence[Expected] = ()

    def url(self, url: str) -> None:
        """Raises DownloadError where a list has `url`, or a digest of it in UTF-8."""
        if not self.lists:
            return
        found: dict[str, int] = {}
        for some in self.lists:
            for kind in some.keys.keys:
                if kind == "url_id":
                    found.setdefault(kind, text_key(url))
                elif kind == "host" and (key := host_key(url)) is not None:
                    found.setdefault(kind, key)
                elif kind.startswith("url_"):
                    found.setdefault(kind, _digest(kind.removeprefix("url_"), url.encode()))
            _refuse(some, found)

    def file(self, body: bytes, sha256: str, md5: str) -> None:
        """Raises DownloadError where a list has a digest of the file `body`; two are known already."""
        found = {"sha256": digest_key(sha256), "md5": digest_key(md5)} if self.lists else {}
        for some in self.lists:
            if "sha1" in some.keys.keys:
                found.setdefault("sha1", _digest("sha1", body))
            _refuse(some, found)

    def unexpected(self, url: str, body: bytes, sha256: str, md5: str) -> None:
        """Raises DownloadError where a list expects another file of `url`; two digests are known already."""
        if not self.expected:
            return
        key, known = text_key(url), {"sha256": digest_key(sha256), "md5": digest_key(md5)}
        for some in self.expected:
            digest = known[some.kind] if some.kind in known else _digest(some.kind, body)
            if not some.allows(key, digest):
                raise DownloadError(DownloadStatus.UNEXPECTED, f"{some.kind} is another than expected")

    def picture(self, phash: int) -> None:
        """Raises DownloadError where a list has a perceptual hash near to `phash`."""
        for some in self.lists:
            if some.near is not None and some.near.has(phash):
                raise _hit(some, "phash")


NOTHING = Refused()


def load(lists: HashLists, reads: Reads = READS, withdrawn: Tombstones | None = None) -> Refused:
    """Reads the lists; what was `withdrawn` from the lake is one more, of that name.

    Raises OSError where a list cannot be read, BadListError where it is none.
    """
    found = [_load(path, lists.phash_distance, reads) for path in lists.files]
    expected = [some for path in lists.expected for some in _expected(path, reads)]
    return Refused(found if withdrawn is None else [*found, HashList(WITHDRAWN, withdrawn)], expected)


def _expected(path: str, reads: Reads) -> Iterator[Expected]:
    with open_file(path, reads) as opened:
        is_parquet = opened.read(len(_PARQUET)) == _PARQUET
        opened.seek(0)
        file = pq.ParquetFile(opened) if is_parquet else None
        names = [] if file is None else [name for name in file.schema_arrow.names if name in _BARE.values()]
        if file is None or not names or "url" not in file.schema_arrow.names:
            raise BadListError(f"{path} is no parquet file with url and one of {', '.join(_BARE.values())}")
        for name in names:
            yield _expected_of(file, path, name)


def _expected_of(file: pq.ParquetFile, path: str, kind: str) -> Expected:
    urls, digests, row = array("q"), array("q"), 0
    for batch in file.iter_batches(_ROWS, columns=["url", kind]):
        for number, (url, digest) in enumerate(
            zip(*(c.to_pylist() for c in batch.columns), strict=True), row + 1
        ):
            if url is None or digest is None:
                continue
            try:
                digests.append(_key(kind, _text(digest)))
            except ValueError as error:
                raise BadListError(f"{path}, row {number}: {_text(digest)[:80]!r} is no {kind}") from error
            urls.append(text_key(url))
        row += len(batch)
    keys = np.frombuffer(urls, np.int64)
    order = np.argsort(keys, kind="stable")
    return Expected(kind, keys[order], np.frombuffer(digests, np.int64)[order])


def _load(path: str, distance: int, reads: Reads) -> HashList:
    found = {kind: array("q") for kind in ("url_id", *ENTRIES)}
    for place, kind, value in _entries(path, reads):
        try:
            found[kind].append(_key(kind, value))
        except (KeyError, ValueError) as error:
            told = f"{value[:80]!r} is no {kind[:80]}; there are url, {', '.join(ENTRIES)}"
            raise BadListError(f"{path}, {place}: {told}") from error
    arrays: dict[str, Keys] = {kind: np.frombuffer(keys, np.int64) for kind, keys in found.items() if keys}
    near = arrays.pop("phash", None)
    name = path.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return HashList(name, Tombstones.of(arrays), None if near is None else Near(near, distance))


def _key(kind: str, value: str) -> int:
    if kind == "url_id":
        return text_key(value)
    if len(value) != ENTRIES[kind]:
        raise ValueError(value)
    return digest_key(value)


def _entries(path: str, reads: Reads) -> Iterator[tuple[str, str, str]]:
    """Place, kind and value of each entry; the kind of a URL is url_id."""
    with open_file(path, reads) as file:
        is_parquet = file.read(len(_PARQUET)) == _PARQUET
        file.seek(0)
        if is_parquet:
            yield from _of_parquet(pq.ParquetFile(file), path)
        else:
            yield from _of_text(file)


def _of_text(lines: Iterable[bytes]) -> Iterator[tuple[str, str, str]]:
    for number, line in enumerate(lines, 1):
        value = line.decode("utf-8", "replace").strip()
        if not value or value.startswith("#"):
            continue
        kind, colon, rest = value.partition(":")
        if value.startswith(("http://", "https://")):
            kind, rest = "url_id", value
        elif not colon:
            kind, rest = _BARE.get(len(value), "hash"), value
        yield f"line {number}", kind, rest.strip()


def _of_parquet(file: pq.ParquetFile, path: str) -> Iterator[tuple[str, str, str]]:
    kinds = [name for name in file.schema_arrow.names if name in ENTRIES or name == "url"]
    if not kinds:
        raise BadListError(f"{path}: none of its columns is named url, {', '.join(ENTRIES)}")
    row = 0
    for batch in file.iter_batches(_ROWS, columns=kinds):
        for name in kinds:
            kind = "url_id" if name == "url" else name
            for number, value in enumerate(batch[name].to_pylist(), row + 1):
                if value is not None:
                    yield f"row {number}", kind, _text(value)
        row += len(batch)


def _text(value: str | bytes | int) -> str:
    if isinstance(value, int):
        return f"{value & (1 << 64) - 1:016x}"
    return value.hex() if isinstance(value, bytes) else value


def _digest(name: str, data: bytes) -> int:
    return digest_key(hashlib.new(name, data, usedforsecurity=False).hexdigest())


def _refuse(some: HashList, found: Mapping[str, int]) -> None:
    for kind, key in found.items():
        if some.keys.has(kind, np.array([key], np.int64))[0]:
            raise _hit(some, kind)


def _hit(some: HashList, kind: str) -> DownloadError:
    return DownloadError(DownloadStatus.LISTED, f"{some.name}: {kind.replace('url_id', 'url')}")
