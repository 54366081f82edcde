"""A pushed copy: one release as parquet files under a root of its own, named by a manifest.

    manifest.json            the release, the models, and every file with its rows, bytes and sha256
    TABLE/SHA256.parquet     rows; a file's name is the beginning of its checksum
    ledger/SHA256.parquet    what became of every row: events of the batches that the release pins

It opens from the manifest alone, so a plain web server is enough, and takes no writes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse import schema, settings
from lakehouse.errors import DamagedError, NoLakeError, UsageError
from lakehouse.events import Event, Events
from lakehouse.lake import Lake
from lakehouse.ledger import Ledger
from lakehouse.moments import At, Moment
from lakehouse.releases import Release, as_row, parsed
from lakehouse.schema import LEDGER, TableSpec
from lakehouse.storage import Storage
from lakehouse.tables.published import PublishedFile, PublishedTable
from transforms.embeddings.model import ModelSpec

FILE = "manifest.json"
FORMAT = 1  # of the manifest; a copy of another one is refused
LEDGER_SPEC = TableSpec("ledger", "delta", ("key", "batch", "event"), LEDGER)


@dataclass(frozen=True)
class Model:
    """A model of the lake that was copied: enough to search its vectors."""

    name: str
    architecture: str
    pretrained: str | None
    dimension: int
    multilingual: str | None = None


@dataclass(frozen=True)
class Manifest:
    """All that there is in a pushed copy."""

    release: Release
    models: tuple[Model, ...]
    scorers: tuple[str, ...]
    files: tuple[PublishedFile, ...]

    def to_json(self) -> str:
        """The text of manifest.json."""
        row = as_row(self.release)
        told = {
            "format": FORMAT,
            "release": {**row, "at": row["at"].isoformat()},
            "models": [dataclasses.asdict(model) for model in self.models],
            "scorers": self.scorers,
            "files": [dataclasses.asdict(file) for file in self.files],
        }
        return json.dumps(told, indent=1, ensure_ascii=False)


def manifest(storage: Storage) -> Manifest | None:
    """The manifest at the root of `storage`; None where there is none.

    Raises DamagedError where it cannot be read, UsageError where it is of a newer form.
    """
    if not storage.exists(FILE):
        return None
    try:
        told = json.loads(storage.read(FILE))
        if told["format"] != FORMAT:
            raise UsageError(
                f"{storage.uri(FILE)} has form {told['format']}, this Pairlake reads form {FORMAT}"
            )
        row = told["release"]
        return Manifest(
            parsed({**row, "at": datetime.fromisoformat(row["at"])}),
            tuple(Model(**model) for model in told["models"]),
            tuple(told["scorers"]),
            tuple(PublishedFile(**file) for file in told["files"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{storage.uri(FILE)} is no manifest of a pushed copy: {error!r}") from error


def open_copy(storage: Storage, release: str | None = None, at: At = ()) -> PublishedLake:
    """The pushed copy at the root of `storage`. Raises NoLakeError where there is none.

    Raises UsageError for another release than the one that was pushed, or for a time.
    """
    found = manifest(storage)
    if found is None:
        raise NoLakeError(
            f"no lake at {storage.root}: make one with `lake init {storage.root}`, "
            "or name another with --root or LAKE_ROOT"
        )
    name = found.release.name
    if release not in (None, name):
        raise UsageError(f"no release {release!r}; {storage.root} is a pushed copy of {name} alone")
    if at:
        raise UsageError(f"{storage.root} is a pushed copy of release {name} alone: leave out --at")
    return PublishedLake(storage, found)


class PublishedLake(Lake):
    """A pushed copy, read as a lake at its release."""

    def __init__(self, storage: Storage, found: Manifest) -> None:
        models = tuple(
            dataclasses.replace(
                settings.BUILTIN.get(m.name) or ModelSpec(m.name, m.architecture, m.pretrained),
                multilingual=m.multilingual,
            )
            for m in found.models
        )
        told = settings.Settings(storage=storage, models=models, scorers=found.scorers)
        release = found.release
        super().__init__(told, Moment(f"release {release.name}", release.pins, {}, release.views))
        why = f"{storage.root} is a pushed copy of release {release.name}: nothing can be written there"
        self.storage = dataclasses.replace(storage, read_only=why)
        self.settings = dataclasses.replace(told, storage=self.storage)
        self.manifest = found
        self.published = release
        self.ledger = _Ledger(self.storage, found)

    def spec(self, name: str) -> TableSpec:
        """The table of that name. Raises UsageError where the lake that was copied has none."""
        if name == LEDGER_SPEC.name:
            return LEDGER_SPEC
        for model in self.manifest.models:
            if name == f"embeddings_{model.name}":
                return schema.embeddings(model.name, model.dimension)
        return super().spec(name)

    def table(self, key: str) -> PublishedTable:
        """The table behind a ledger key; empty where it was not copied."""
        name = key.partition("/")[0]
        return PublishedTable(self.storage, self.spec(name), _of(self.manifest, name))

    def sql_table(self, spec: TableSpec) -> PublishedTable:
        """The table of `spec` as SQL reads it."""
        return self.table(spec.name)

    def holds(self, key: str) -> bool:
        """Whether the rows of a ledger key were copied."""
        return self.manifest.release.counts[key] == 0 or any(file.key == key for file in self.manifest.files)


def _of(found: Manifest, name: str) -> Sequence[PublishedFile]:
    return [file for file in found.files if file.key.partition("/")[0] == name]


class _Ledger(Ledger):
    """The events that were copied; and, as if a compaction had written them, the files of the copy."""

    def __init__(self, storage: Storage, found: Manifest) -> None:
        super().__init__(storage)
        self._manifest = found

    def _look(self) -> None:
        if not self._state.rows:  # a copy does not change
            self._state = Events([*self._copied(), *self._written()])

    def _copied(self) -> list[Event]:
        rows: list[Event] = []
        for file in _of(self._manifest, LEDGER_SPEC.name):
            data = self.storage.read(file.path)
            if hashlib.sha256(data).hexdigest() != file.sha256:
                raise DamagedError(
                    f"{self.storage.uri(file.path)}: its bytes are not those that were written (sha256): "
                    "push the release again"
                )
            rows += pq.read_table(pa.BufferReader(data), schema=LEDGER).to_pylist()
        return rows

    def _written(self) -> list[Event]:
        made: list[Event] = []
        for name in {file.key.partition("/")[0] for file in self._manifest.files} - {LEDGER_SPEC.name}:
            files: list[dict[str, Any]] = [
                {"path": f.path, "sha256": f.sha256, "bytes": f.bytes} for f in _of(self._manifest, name)
            ]
            empty = dict.fromkeys(LEDGER.names)
            at = self._manifest.release.at
            made.append({**empty, "key": name, "batch": 0, "event": "compact", "files": files, "at": at})
        return made
