"""Registering what a lake is made from: crawl files and URL lists, cut into units.

They are read through fsspec with what it and its stores take from the environment (AWS_*, FSSPEC_*): the
lake's own storage options are another store's, and have other names.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

import fsspec

from lakehouse.errors import StorageError, UsageError
from lakehouse.lake import Lake
from lakehouse.ledger import Source
from transforms.candidates import lists
from transforms.candidates.errors import UnreadableUnit
from transforms.files import Reads, open_file
from transforms.scores import score_columns

CRAWL_ROOT = "crawl-data/"  # where the path within a crawl begins, on every mirror of Common Crawl
ATTEMPTS = 3  # at most, to read what is being added: somebody waits for the answer
EXTENSIONS = {
    "wat": (".wat.gz", ".wat", ".gz"),
    "warc": (".warc.gz", ".warc", ".gz"),
    "urls": (".parquet", ".csv", ".jsonl", ".csv.gz", ".jsonl.gz"),
}


def add(lake: Lake, kind: str, patterns: Sequence[str]) -> list[Source]:
    """Registers the files that `patterns` (paths, globs, URLs) name; returns those that are new.

    Raises UsageError where a pattern matches nothing or a list is none, StorageError where a store refuses.
    Nothing is read but the length of URL lists, and which scores they have.
    """
    paths: list[str] = []
    for pattern in patterns:
        with store_errors(pattern):
            paths += _expand(kind, pattern)
    pieces: dict[str, list[tuple[int, int] | None]] = {}
    scores: dict[str, tuple[str, ...]] = {}
    for path in paths:
        with store_errors(path):
            if kind == "urls":
                pieces[path] = [*lists.slices(path, lake.settings.batches.list_rows, reads_of(lake))]
                scores[path] = score_columns(lists.header(path, reads_of(lake)))
            else:
                pieces[path] = [None]
    return lake.ledger.add_sources(new_units(kind, pieces, scores))


def add_crawl(
    lake: Lake, crawl: str, files: int, seed: int | None = None, base_url: str | None = None
) -> list[Source]:
    """Registers `files` WAT files of a crawl of Common Crawl, such as CC-MAIN-2026-30; returns the new ones.

    Its list of paths is read from ``crawl-data/CRAWL/wat.paths.gz`` below `base_url` (default: the setting
    ``crawls.url``). The first files are taken; with a seed a sample, in the crawl's order: those whose
    SHA-256 of "SEED:PATH" is smallest, so that a larger sample holds every smaller one. Raises UsageError
    where the list is none or has fewer files, StorageError where it cannot be read.
    """
    base = (base_url or lake.settings.crawls.url).rstrip("/")
    base = base if "://" in base else os.path.abspath(base)
    place = f"{base}/{CRAWL_ROOT}{crawl}/wat.paths.gz"
    with store_errors(place), open_file(place, reads_of(lake)) as file:
        try:
            paths = gzip.decompress(file.read()).decode().split()
        except (gzip.BadGzipFile, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise UsageError(f"{place} is no list of paths: {error}") from error
    wrong = [p for p in paths if not (p.startswith(CRAWL_ROOT) and p.endswith(EXTENSIONS["wat"]))]
    if wrong:
        raise UsageError(f"{place} is no list of WAT files: it has {wrong[0][:80]!r}")
    if files > len(paths):
        raise UsageError(f"{crawl} has {len(paths)} WAT files, fewer than {files}")
    chosen = range(files) if seed is None else _sample(paths, files, seed)
    return lake.ledger.add_sources(new_units("wat", {f"{base}/{paths[i]}": [None] for i in chosen}))


def _sample(paths: Sequence[str], n: int, seed: int) -> list[int]:
    """The places of `n` of the paths, in their order."""
    hashes = [hashlib.sha256(f"{seed}:{path}".encode()).digest() for path in paths]
    return sorted(sorted(range(len(paths)), key=hashes.__getitem__)[:n])


def reads_of(lake: Lake) -> Reads:
    """How files that are being added are read: somebody waits."""
    reads = lake.settings.reads
    return dataclasses.replace(reads, attempts=min(reads.attempts, ATTEMPTS))


def new_units(
    kind: str,
    pieces: Mapping[str, Sequence[tuple[int, int] | None]],
    scores: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    digests: Mapping[str, tuple[int, str]] = MappingProxyType({}),
) -> Callable[[list[Source]], list[Source]]:
    """A function from the units known to those that `pieces`, slices by path, adds to them.

    `digests`: bytes and SHA-256 of imported files.

    A crawl file that is known by its path within the crawl is not new, whatever protocol fetches it.
    """

    def new(known: list[Source]) -> list[Source]:
        taken = {source.path: source for source in known}
        names = {source.unit.partition("#")[0] for source in known}
        order = max((source.order for source in known), default=-1) + 1
        added: list[Source] = []
        for path, slices in pieces.items():
            name = _unit(path, names)
            if path in taken or name in names:
                continue
            names.add(name)
            for number, piece in enumerate(slices):
                unit = name if piece is None else f"{name}#{number}"
                start, stop = piece or (None, None)
                place = order + len(added)
                more = (scores.get(path, ()), *digests.get(path, (None, None)))
                added.append(Source(unit, path, kind, place, start, stop, *more))
        return added

    return new


def _refusals() -> tuple[type[Exception], ...]:
    """What fsspec's stores raise; those of botocore and aiohttp exist where a store has imported them."""
    stores = (("botocore.exceptions", "BotoCoreError"), ("aiohttp", "ClientError"))
    return (
        OSError,
        *[getattr(sys.modules[module], name) for module, name in stores if module in sys.modules],
    )


@contextmanager
def store_errors(what: str) -> Iterator[None]:
    """Makes errors of Pairlake's own of what goes wrong while `what` is read."""
    try:
        yield
    except UnreadableUnit as error:
        raise UsageError(str(error)) from error
    except FileNotFoundError as error:
        raise UsageError(f"no file {what}: check the path") from error
    except _refusals() as error:
        raise StorageError(f"{what}: {' '.join(str(error).split()) or type(error).__name__}") from error


def filesystem_of(pattern: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of a path or URL, and the path in it. Raises UsageError for an unknown one."""
    try:
        found: tuple[fsspec.AbstractFileSystem, str] = fsspec.core.url_to_fs(pattern)
    except (ValueError, ImportError) as error:  # an unknown protocol, or one whose package is missing
        raise UsageError(f"{pattern}: {error}") from error
    return found


def _expand(kind: str, pattern: str) -> list[str]:
    remote = "://" in pattern
    filesystem, path = filesystem_of(pattern if remote else os.path.abspath(pattern))
    if any(character in pattern for character in "*?["):
        found = sorted(filesystem.glob(path))
    else:
        found = [path] if remote or filesystem.isfile(path) else []
    if not found:
        raise UsageError(f"no file {pattern}: check the path; a glob must match something (and be quoted)")
    wrong = [p for p in found if not p.partition("?")[0].endswith(EXTENSIONS[kind])]
    if wrong:
        raise UsageError(f"{wrong[0]} does not look like --{kind}: expected {', '.join(EXTENSIONS[kind])}")
    return [filesystem.unstrip_protocol(p) if remote else p for p in found]


def _unit(path: str, taken: set[str]) -> str:
    """The path within the crawl; for other files as much of the path's end as makes the name new."""
    if CRAWL_ROOT in path:
        return path[path.index(CRAWL_ROOT) :]
    pieces = path.partition("://")[2].split("/") if "://" in path else path.strip("/").split("/")
    names = ["/".join(pieces[-n:]) for n in range(1, len(pieces) + 1)]
    return next((name for name in names if name not in taken), path)
