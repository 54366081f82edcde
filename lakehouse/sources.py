"""Registering what a lake is made from: crawl files and URL lists, cut into units."""

from __future__ import annotations

import os
from collections.abc import Sequence

import fsspec

from lakehouse.errors import UsageError
from lakehouse.lake import Lake
from lakehouse.ledger import Source
from transforms.candidates import lists

CRAWL_ROOT = "crawl-data/"  # where the path within a crawl begins, on every mirror of Common Crawl
EXTENSIONS = {
    "wat": (".wat.gz", ".wat", ".gz"),
    "warc": (".warc.gz", ".warc", ".gz"),
    "urls": (".parquet", ".csv", ".jsonl", ".csv.gz", ".jsonl.gz"),
}


def add(lake: Lake, kind: str, patterns: Sequence[str]) -> list[Source]:
    """Registers the files that `patterns` (paths, globs, URLs) name; returns those that are new.

    Raises UsageError where a pattern matches nothing. Nothing is read but the length of URL lists.
    """
    paths = [path for pattern in patterns for path in _expand(lake, kind, pattern)]
    options = dict(lake.storage.options)
    pieces: dict[str, list[tuple[int, int] | None]] = {}
    for path in paths:
        rows = lake.settings.batches.list_rows
        pieces[path] = [*lists.slices(path, rows, options)] if kind == "urls" else [None]

    def new(known: list[Source]) -> list[Source]:
        taken = {source.path: source for source in known}
        names = {source.unit.partition("#")[0] for source in known}
        order = max((source.order for source in known), default=-1) + 1
        added: list[Source] = []
        for path in paths:
            if path in taken:
                continue
            name = _unit(path, names)
            names.add(name)
            for number, piece in enumerate(pieces[path]):
                unit = name if piece is None else f"{name}#{number}"
                start, stop = piece or (None, None)
                added.append(Source(unit, path, kind, order + len(added), start, stop))
        return added

    return lake.ledger.add_sources(new)


def _expand(lake: Lake, kind: str, pattern: str) -> list[str]:
    remote = "://" in pattern
    options = dict(lake.storage.options) if remote else {}
    filesystem, path = fsspec.core.url_to_fs(pattern if remote else os.path.abspath(pattern), **options)
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
