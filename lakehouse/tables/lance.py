"""A table in Lance format: payloads, that is pictures and vectors."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import dask.dataframe as dd
import lance
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from lance.commit import CommitConflictError
from lance.fragment import FragmentMetadata, write_fragments

from lakehouse.errors import StorageError, UsageError
from lakehouse.schema import TableSpec
from lakehouse.storage import Storage, explain, storage_errors
from lakehouse.tables import indexing
from lakehouse.tables.base import DataFile, Range, Replacement, Version, among, grouped, predicate
from lakehouse.tables.delta import LINEAGE
from transforms import columns as frames

# Lance's file format; part of what a lake on disk is.
STORAGE_VERSION: Literal["2.2"] = "2.2"
FRAGMENT = "_fragment"  # a column that `read` can add: the number of the fragment that holds the row


@dataclass(frozen=True)
class LanceWriter:
    """Writes Lance data files; no manifest names them until they are committed."""

    storage: Storage
    spec: TableSpec

    def write(self, rows: pa.Table | pa.RecordBatchReader) -> list[DataFile]:
        """One data file, or several where `rows` is very large; a reader has at least one row."""
        if isinstance(rows, pa.Table):
            if len(rows) == 0:
                return []
            rows = rows.cast(_plain(self.spec.schema)).to_reader()
        self.storage.check_writable()
        uri = self.storage.uri(self.spec.name)
        with storage_errors(uri):
            fragments = write_fragments(
                rows,
                uri,
                schema=_plain(self.spec.schema),
                data_storage_version=STORAGE_VERSION,
                storage_options=dict(self.storage.options),
            )
        return [self._data_file(fragment) for fragment in fragments]

    def _data_file(self, fragment: FragmentMetadata) -> DataFile:
        (file,) = fragment.files
        path = f"{self.spec.name}/data/{file.path}"
        self.storage.sync([path])
        digest = self.storage.sha256(path)
        size = file.file_size_bytes
        assert size is not None  # Lance knows it of every file that it has just written
        return DataFile(path, fragment.physical_rows, int(size), digest, json.dumps(fragment.to_json()))


@dataclass(frozen=True)
class Piece:
    """Rows `start` to `stop` of those in one fragment that a filter passes."""

    fragment: int
    start: int
    stop: int


class LanceFormat:
    """One table on pylance."""

    def __init__(self, storage: Storage, spec: TableSpec) -> None:
        self.storage = storage
        self.spec = spec
        self.uri = storage.uri(spec.name)

    def _open(self, version: int | None = None) -> lance.LanceDataset | None:
        try:
            return lance.dataset(self.uri, version=version, storage_options=dict(self.storage.options))
        except (ValueError, OSError) as error:
            if version is not None and self._open() is not None:
                name = self.spec.name
                raise UsageError(
                    f"table {name} has no version {version}: `lake history {name}` lists them"
                ) from error
            if "was not found" in str(error) or "Not found" in str(error):
                return None
            # Lance raises ValueError for a store that does not answer, too
            raise StorageError(explain(error, self.uri)) from error

    def writer(self, part: str | None = None) -> LanceWriter:
        """What workers write with."""
        return LanceWriter(self.storage, self.spec)

    def commit(
        self,
        files: Sequence[DataFile],
        lineage: Mapping[str, Any],
        confirm: Callable[[], None] = lambda: None,
    ) -> int:
        """One append of all `files`, with `lineage` in the commit's message.

        Files that are in the table already are left out. Raises StorageError where one is in it twice:
        Lance appends again, silently, when the reply to a successful append was lost on the way.
        """
        self.storage.check_writable()
        options = dict(self.storage.options)
        dataset = self._open()
        if dataset is None:  # one without rows is false
            dataset = self._create()
        have = self._data_files(dataset)
        fragments = [FragmentMetadata.from_json(f.native) for f in files if not have[f.path]]
        append = lance.Transaction(
            read_version=dataset.version,
            operation=lance.LanceOperation.Append(fragments),
            transaction_properties={LINEAGE: json.dumps(dict(lineage))},
        )
        confirm()
        try:
            with storage_errors(self.uri), self._settled():
                committed = lance.LanceDataset.commit(self.uri, append, storage_options=options)
        except StorageError as error:
            if isinstance(error.__cause__, CommitConflictError):
                confirm()  # says who came in between
            raise
        have = self._data_files(committed)
        if any(have[file.path] != 1 for file in files):
            raise StorageError(f"{self.uri}: a commit was stored twice: run the same command again")
        return int(committed.version)

    def fence(self, key: str) -> None:
        """Restores the newest version: Lance refuses appends that looked at the table before a restore.

        What another writer commits between the look and the restore would be undone: it is put back.
        """
        self.storage.check_writable()
        dataset = self._open()
        if dataset is None:
            dataset = self._create()
        with storage_errors(self.uri), self._settled():
            newest = dataset.version
            dataset.restore()  # type: ignore[no-untyped-call]
            while dataset.version != newest + 1:
                newest = dataset.version
                dataset = dataset.checkout_version(newest - 1)
                dataset.restore()  # type: ignore[no-untyped-call]

    def _settled(self) -> AbstractContextManager[None]:
        return self.storage.settled(f"{self.spec.name}/_transactions", f"{self.spec.name}/_versions")

    def _create(self) -> lance.LanceDataset:
        schema = _plain(self.spec.schema)
        with storage_errors(self.uri), self.storage.settled(self.spec.name):
            return lance.write_dataset(
                schema.empty_table(),
                self.uri,
                schema=schema,
                data_storage_version=STORAGE_VERSION,
                storage_options=dict(self.storage.options),
            )

    def files(self) -> dict[str, int]:
        """Data files of the newest version with their sizes."""
        dataset = self._open()
        fragments = [] if dataset is None else dataset.get_fragments()
        found = [file for fragment in fragments for file in fragment.data_files()]
        return {f"{self.spec.name}/data/{file.path}": int(file.file_size_bytes or 0) for file in found}

    def _data_files(self, dataset: lance.LanceDataset) -> Counter[str]:
        """How often each data file is in the table; known from the manifest alone."""
        fragments = dataset.get_fragments()
        return Counter(f"{self.spec.name}/data/{f.path}" for part in fragments for f in part.data_files())

    def read(
        self,
        ranges: Sequence[Range],
        columns: Sequence[str] | None = None,
        rows: int | None = None,
        skip: frozenset[str] = frozenset(),
    ) -> dd.DataFrame:
        """The rows of `ranges`; a column named `_fragment` tells where a row is stored."""
        schema = _chosen(self.spec.schema, columns)
        dataset = self._open()
        where = predicate(ranges)
        pieces = _pieces(dataset, self.spec.name, where, rows, skip) if dataset is not None else []
        most = rows or max((p.stop - p.start for p in pieces), default=1)
        tasks = [[pieces[i] for i in group] for group in grouped([p.stop - p.start for p in pieces], most)]
        frame: dd.DataFrame = dd.from_map(
            read_pieces,
            tasks or [[]],
            version=dataset.version if dataset is not None else 0,
            storage=self.storage,
            spec=self.spec,
            where=where,
            schema=schema,
            meta=frames.meta(schema),
            enforce_metadata=False,
        )
        return frame

    def fragments(self, ranges: Sequence[Range]) -> list[int]:
        """The numbers of the fragments that hold rows of `ranges`."""
        dataset = self._open()
        if dataset is None:
            return []
        return sorted(
            {p.fragment for p in _pieces(dataset, self.spec.name, predicate(ranges), None, frozenset())}
        )

    def take(self, version: int, fragments: Sequence[int], keys: Sequence[int]) -> pa.Table:
        """The rows of `fragments` whose key is among `keys`: reads the payload of those rows alone."""
        dataset = _at(self.storage, self.spec, version)
        key = self.spec.key[0]
        payload = [f.name for f in self.spec.schema if f.name not in (key, "batch", "unit")]
        wanted = ",".join(map(str, keys))
        with storage_errors(self.uri):
            return dataset.scanner(
                columns=[key, *payload],
                filter=f"{key} in ({wanted})",
                fragments=[_fragment(dataset, number) for number in fragments],
                late_materialization=payload,
            ).to_table()

    def places(self, ranges: Sequence[Range]) -> tuple[int, pa.RecordBatchReader]:
        """The newest version and, for the rows of `ranges`, key and place, which is what `at` takes.

        Reads 16 bytes a row.
        """
        key = self.spec.key[0]
        schema = pa.schema([(key, pa.int64()), ("place", pa.int64())])
        dataset = self._open()
        if dataset is None:
            return 0, pa.RecordBatchReader.from_batches(schema, [])
        return int(dataset.version), pa.RecordBatchReader.from_batches(
            schema, _places(dataset, key, ranges, schema)
        )

    def at(self, version: int, places: Sequence[int], column: str) -> pa.ChunkedArray:
        """`column` of the rows at `places` of a version, in their order."""
        with storage_errors(self.uri):
            return _at(self.storage, self.spec, version).take(list(places), columns=[column])[column]

    def arrow(self, ranges: Sequence[Range], columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of `ranges` in this process."""
        schema = _chosen(self.spec.schema, columns)
        dataset = self._open()
        if dataset is None:
            return schema.empty_table()
        with storage_errors(self.uri):
            return dataset.scanner(columns=schema.names, filter=predicate(ranges)).to_table().cast(schema)

    def dataset(self, version: int | None = None) -> Any:
        """The Lance dataset."""
        return self._open(version)

    def delete(self, predicate: str) -> int:
        """Marks rows as deleted; `compact` takes their bytes out."""
        self.storage.check_writable()
        dataset = self._open()
        if dataset is None:
            return 0
        with storage_errors(self.uri), self.storage.settled(self.spec.name):
            before = dataset.count_rows()
            dataset.delete(predicate)
            return int(before - dataset.count_rows())

    def pieces(self) -> list[str]:
        """The fragments of the newest version."""
        dataset = self._open()
        if dataset is None:
            return []
        version = dataset.version
        return [json.dumps({"version": version, "fragment": f.fragment_id}) for f in dataset.get_fragments()]

    def split(
        self, piece: str, key: str, gone: npt.NDArray[np.int64], write: bool
    ) -> tuple[pa.Table, Replacement | None]:
        """The rows of a fragment that leave, and new fragments, written as it is read, with the others."""
        told, schema = json.loads(piece), self.spec.schema
        dataset = _at(self.storage, self.spec, told["version"])
        fragment = _fragment(dataset, told["fragment"])
        with storage_errors(self.uri):
            keys = fragment.to_table(columns=[key])[key]
            leave = keys.filter(pa.array(among(keys, gone)))
            if len(leave) == 0:
                return schema.empty_table(), None
            where = f"{key} in ({','.join(map(str, leave.unique().to_pylist()))})"
            payload = [f.name for f in schema if f.name not in (key, "batch", "unit")]
            found = dataset.scanner(
                columns=schema.names, filter=where, fragments=[fragment], late_materialization=payload
            ).to_table()
            found = found.select(schema.names).cast(schema)
            if not write:
                return found, None
            if len(leave) == len(keys):
                return found, Replacement(piece, ())
            stay = dataset.scanner(columns=schema.names, filter=f"not ({where})", fragments=[fragment])
            return found, Replacement(piece, tuple(self.writer().write(stay.to_reader())))

    def replace(self, replacements: Sequence[Replacement], lineage: Mapping[str, Any]) -> int:
        """One commit that takes the old fragments out and the new ones in."""
        dataset = self._open()
        assert dataset is not None  # it has pieces
        current = set(self.pieces())
        if any(r.piece not in current for r in replacements):
            raise StorageError(f"{self.uri} changed while rows were taken out: run the same command again")
        self.storage.check_writable()
        update = lance.LanceOperation.Update(
            removed_fragment_ids=[json.loads(r.piece)["fragment"] for r in replacements],
            new_fragments=[FragmentMetadata.from_json(f.native) for r in replacements for f in r.files],
        )
        with storage_errors(self.uri), self._settled():
            committed = lance.LanceDataset.commit(
                self.uri,
                lance.Transaction(
                    read_version=dataset.version,
                    operation=update,
                    transaction_properties={LINEAGE: json.dumps(dict(lineage))},
                ),
                storage_options=dict(self.storage.options),
            )
        return int(committed.version)

    def purge(self) -> int:
        """Takes what left out of the indices, and drops all versions but the newest."""
        dataset = self._open()
        assert dataset is not None  # there is something to purge
        self.storage.check_writable()
        with storage_errors(self.uri), self.storage.settled(self.spec.name):
            indexing.forget(dataset)
            dataset.cleanup_old_versions(
                older_than=timedelta(0), delete_unverified=True, error_if_tagged_old_versions=False
            )
        return int(dataset.version)

    def compact(self) -> int:
        """Merges small fragments and takes deleted rows out of the newest version."""
        self.storage.check_writable()
        dataset = self._open()
        if dataset is None:
            return 0
        with storage_errors(self.uri), self.storage.settled(self.spec.name):
            dataset.optimize.compact_files(materialize_deletions=True, materialize_deletions_threshold=0.0)
            return int(dataset.version)

    def prune(self, before: datetime, dry_run: bool) -> tuple[int, int]:
        """Lance's cleanup of old versions."""
        dataset = self._open()
        if dataset is None:
            return 0, 0
        with storage_errors(self.uri):
            # Lance tells local time without a zone
            told: list[dict[str, Any]] = [dict(entry) for entry in dataset.versions()]
            made = {int(v["version"]): v["timestamp"].astimezone(UTC) for v in told}
            old = [number for number, at in made.items() if at < before and number != dataset.version]
            if old and not dry_run:
                self.storage.check_writable()
                dataset.cleanup_old_versions(datetime.now(UTC) - before, error_if_tagged_old_versions=False)
        return min(made.keys() - old), len(old)

    def version(self) -> int | None:
        """The newest native version."""
        dataset = self._open()
        return None if dataset is None else int(dataset.version)

    def history(self) -> list[Version]:
        """Native versions, newest first."""
        dataset = self._open()
        if dataset is None:
            return []
        return [_version(dataset, entry) for entry in reversed(dataset.versions())]


def _places(
    dataset: lance.LanceDataset, key: str, ranges: Sequence[Range], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    start = 0
    for rows in dataset.scanner(columns=[key, "batch"], scan_in_order=True).to_batches():
        batches = rows["batch"].to_numpy()
        wanted = np.zeros(len(rows), bool)
        for one in ranges:
            wanted |= (batches >= one.low) & (batches <= one.high)
        places = pa.array(np.arange(start, start + len(rows))[wanted], pa.int64())
        start += len(rows)
        yield pa.record_batch([rows[key].filter(pa.array(wanted)), places], schema=schema)


def _version(dataset: lance.LanceDataset, entry: Mapping[str, Any]) -> Version:
    number = int(entry["version"])
    transaction = dataset.read_transaction(number)
    operation = type(transaction.operation).__name__ if transaction is not None else ""
    properties = transaction.transaction_properties if transaction is not None else None
    lineage = json.loads((properties or {}).get(LINEAGE, "{}"))
    return Version(number, str(entry["timestamp"]), operation, lineage)


def _plain(schema: pa.Schema) -> pa.Schema:
    """`schema` as Lance is told it: a payload is a picture, which is compressed already."""
    packed = {"lance-encoding:compression": "none"}
    return pa.schema(
        [
            pa.field(f.name, f.type, f.nullable, packed if pa.types.is_large_binary(f.type) else None)
            for f in schema
        ]
    )


def _chosen(schema: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    if columns is None:
        return schema
    extra = pa.field(FRAGMENT, pa.int64())
    return pa.schema([extra if name == FRAGMENT else schema.field(name) for name in columns])


def _pieces(
    dataset: lance.LanceDataset, name: str, where: str, rows: int | None, skip: frozenset[str]
) -> list[Piece]:
    """What holds the rows that satisfy `where`; only the narrow columns that it names are read."""
    pieces = []
    for fragment in dataset.get_fragments():
        if all(f"{name}/data/{file.path}" in skip for file in fragment.data_files()):
            continue
        count = fragment.count_rows(where)
        step = rows or max(count, 1)
        pieces += [Piece(fragment.fragment_id, s, min(s + step, count)) for s in range(0, count, step)]
    return pieces


def read_pieces(
    pieces: list[Piece], version: int, storage: Storage, spec: TableSpec, where: str, schema: pa.Schema
) -> pd.DataFrame:
    """One Dask partition: `pieces` of fragments, filtered by `where`."""
    tables = [schema.empty_table()]
    names = [name for name in schema.names if name != FRAGMENT]
    dataset = _at(storage, spec, version) if pieces else None
    for piece in pieces:
        assert dataset is not None
        with storage_errors(storage.uri(spec.name)):
            rows = dataset.scanner(
                columns=names,
                filter=where,
                limit=piece.stop - piece.start,
                offset=piece.start,
                fragments=[_fragment(dataset, piece.fragment)],
                scan_in_order=True,
            ).to_table()
        if FRAGMENT in schema.names:
            rows = rows.append_column(FRAGMENT, pa.array([piece.fragment] * len(rows), pa.int64()))
        tables.append(rows.select(schema.names).cast(schema))
    return frames.to_pandas(pa.concat_tables(tables))


def _at(storage: Storage, spec: TableSpec, version: int) -> lance.LanceDataset:
    uri = storage.uri(spec.name)
    with storage_errors(uri):
        return lance.dataset(uri, version=version, storage_options=dict(storage.options))


def _fragment(dataset: lance.LanceDataset, number: int) -> lance.LanceFragment:
    fragment = dataset.get_fragment(number)
    assert fragment is not None  # the caller has seen it in this version
    return fragment
