"""Pushes a release: a read-only copy at another root, which others open from its manifest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from dask.delayed import delayed
from distributed import Client, as_completed

from lakehouse import faults, settings, verification
from lakehouse.errors import DamagedError, UsageError
from lakehouse.fingerprints import fingerprint
from lakehouse.lake import Lake
from lakehouse.published import FILE, LEDGER_SPEC, Manifest, Model, manifest
from lakehouse.releases import Release, get
from lakehouse.schema import LEDGER
from lakehouse.storage import Storage, storage_errors
from lakehouse.tables.published import PublishedFile
from lakehouse.verification import Total
from transforms import columns
from transforms.embeddings.model import dimension

ROWS = 500_000  # per file of a table that SQL reads: about 100 MB of candidates
PAYLOAD_ROWS = 8_192  # per file of pictures or vectors: about 150 MB of pictures of 256 pixels
NAME_DIGITS = 32  # of its sha256 in a file's name
OURS = re.compile(rf"[^/]+/[0-9a-f]{{{NAME_DIGITS}}}\.parquet")
#: what an event says of the machine that made it, and not of the data
PRIVATE = ("owner", "token", "details", "lease_until", "files")

Report = Callable[[int, int], None]  # files done, files in all


@dataclass(frozen=True)
class Piece:
    """A file of the copy, and what is in it."""

    file: PublishedFile
    total: Total
    sent: bool  # False where it was there already


def push(
    lake: Lake,
    name: str,
    to: str,
    client: Client,
    pictures: bool = False,
    report: Report = lambda done, of: None,
) -> tuple[Manifest, int]:
    """Copies the release `name` to the root `to`; returns its manifest and how many files were sent.

    Pictures stay behind unless asked for. The manifest comes last, so that a copy is there whole or not at
    all, and what an interrupted push has sent is not sent again. Pushed again after a removal, the copy loses
    the withdrawn rows too. Raises UsageError where something else is at `to`, DamagedError where the rows are
    not those that the release recorded.
    """
    release = get(lake, name)
    target = settings.storage_at(to)
    _refuse_taken(target, release)
    keys = [key for key in sorted(release.pins) if pictures or key != "images"]
    tasks = [
        delayed(_copied)(part, lake.spec(key.partition("/")[0]).schema, key, target)
        for key in keys
        for part in _parts(lake, key, release)
    ]
    pieces = [piece for piece in _computed(client, tasks, report) if piece is not None]
    _check(lake, release, keys, pieces)
    pieces.append(_ledger(lake, release, target))
    files = sorted((piece.file for piece in pieces), key=lambda file: (file.key, file.path))
    made = Manifest(release, _models(lake, keys), tuple(s.name for s in lake.scorers()), tuple(files))
    faults.point("push:files")
    target.write(FILE, made.to_json().encode())
    faults.point("push:manifest")
    _clear(target, made)
    return made, sum(piece.sent for piece in pieces)


def _refuse_taken(target: Storage, release: Release) -> None:
    if target.root.startswith(("http://", "https://")):
        raise UsageError(f"{target.root} can only be read: push to a folder or to an object store")
    if target.exists(settings.FILE):
        raise UsageError(f"there is a lake at {target.root}: push to a root of its own")
    found = manifest(target)
    if found is not None and (found.release.name, found.release.at) != (release.name, release.at):
        raise UsageError(
            f"there is a copy of release {found.release.name} at {target.root}: push to a root of its own"
        )


def _parts(lake: Lake, key: str, release: Release) -> Sequence[Any]:
    form = lake.spec(key.partition("/")[0]).format
    rows = ROWS if form == "delta" else PAYLOAD_ROWS
    parts: Sequence[Any] = lake.read(key, [release.pins[key]], rows=rows).to_delayed()
    return parts


def _copied(frame: pd.DataFrame, schema: pa.Schema, key: str, target: Storage) -> Piece | None:
    """Runs on a worker: one file of the copy."""
    rows = columns.to_arrow(frame, schema)
    if len(rows) == 0:
        return None
    sent, file = _sent(rows, key, target)
    return Piece(file, Total(len(rows), fingerprint(rows)), sent)


def _sent(rows: pa.Table, key: str, target: Storage) -> tuple[bool, PublishedFile]:
    """Writes `rows` under the name of what is written, unless that is there."""
    sink = pa.BufferOutputStream()
    plain = rows.replace_schema_metadata(None)
    pq.write_table(plain, sink, compression="zstd", write_page_checksum=True)
    data = sink.getvalue()
    sha256 = hashlib.sha256(data).hexdigest()
    path = f"{key.partition('/')[0]}/{sha256[:NAME_DIGITS]}.parquet"
    missing = target.size(path) != data.size
    if missing:
        target.write(path, data)
    return missing, PublishedFile(key, path, len(rows), data.size, sha256)


def _computed(client: Client, tasks: Sequence[Any], report: Report) -> list[Piece | None]:
    futures = client.compute(list(tasks))
    found: list[Piece | None] = []
    try:
        for _, piece in as_completed(futures, client.loop, with_results=True):
            found.append(piece)
            report(len(found), len(futures))
    finally:
        client.cancel(futures)
    return found


def _check(lake: Lake, release: Release, keys: Sequence[str], pieces: Sequence[Piece]) -> None:
    """What was copied is what the release recorded."""
    wanted = verification.standing(lake, release)
    for key in keys:
        total = sum((piece.total for piece in pieces if piece.file.key == key), Total())
        if total != wanted[key]:
            raise DamagedError(
                f"{key}: the lake no longer holds what release {release.name} recorded, so nothing was "
                f"published: `lake release verify {release.name}` says what differs"
            )


def _ledger(lake: Lake, release: Release, target: Storage) -> Piece:
    """The events of the batches that the release pins, without what they tell of the machines.

    Those of removals are among them: the copy stands for what was recorded, less what was withdrawn.
    """
    state = lake.ledger.state()
    found = [verification.pinned(events, release.pins) for events in (state.done(), state.withdrawn())]
    events = [
        {**event, **dict.fromkeys(PRIVATE), "files": []}
        for batches in found
        for key in sorted(batches)
        for event in batches[key]
    ]
    sent, file = _sent(pa.Table.from_pylist(events, schema=LEDGER), LEDGER_SPEC.name, target)
    return Piece(file, Total(), sent)


def _models(lake: Lake, keys: Sequence[str]) -> tuple[Model, ...]:
    return tuple(
        Model(
            model.name,
            "" if model.name in settings.BUILTIN else model.architecture,
            model.pretrained,
            dimension(model),
            model.multilingual,
        )
        for model in lake.settings.models
        if f"embeddings_{model.name}" in keys
    )


def _clear(target: Storage, made: Manifest) -> None:
    """Deletes what an earlier push left that the manifest does not name: withdrawn rows are in such files."""
    named = {file.path for file in made.files}
    filesystem = target.filesystem()
    with storage_errors(target.root):
        for info in filesystem.get_file_info(pafs.FileSelector("", recursive=True)):
            if OURS.fullmatch(info.path) and info.path not in named:
                filesystem.delete_file(info.path)
