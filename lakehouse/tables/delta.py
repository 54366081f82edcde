"""A table in Delta format: everything that SQL reads."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dask.dataframe as dd
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from lakehouse.errors import StorageError, UsageError
from lakehouse.schema import TableSpec
from lakehouse.storage import Storage, storage_errors
from lakehouse.tables import logs
from lakehouse.tables.base import DataFile, Range, Replacement, Version, among, grouped
from lakehouse.tables.slices import Slice, cut, read, read_slices
from transforms import columns as frames

LINEAGE = "pairlake"  # the commit metadata, and in Lance the transaction property, that carries lineage
LOG = "_delta_log"  # the folder of a table's commits
REWRITE = "rewrite"  # the transaction id of commits that put other files in the place of files
SMALL = 96 << 20  # bytes: smaller files are merged up to so many, of a table whose files have an order
KEPT = "interval 3650 days"  # native versions stay readable: nothing takes them away yet


def configuration(statistics: Sequence[str]) -> dict[str, str | None]:
    """Table properties: statistics of harmless columns only, old versions kept."""
    return {
        "delta.dataSkippingStatsColumns": ",".join(statistics),
        "delta.logRetentionDuration": KEPT,
        "delta.deletedFileRetentionDuration": KEPT,
    }


@dataclass(frozen=True)
class DeltaWriter:
    """Writes parquet files into the table's folder; they are invisible until committed."""

    storage: Storage
    spec: TableSpec
    part: str | None

    def write(self, rows: pa.Table) -> list[DataFile]:
        """One parquet file with all `rows`."""
        if len(rows) == 0:
            return []
        stored = rows if self.part is None else rows.drop_columns([self.spec.partition_by])
        if self.spec.order:
            stored = stored.sort_by(list(self.spec.order))
        sink = pa.BufferOutputStream()
        told = _encoding(stored.schema, self.spec.dictionary)
        pq.write_table(stored, sink, row_group_size=self.spec.row_group, write_page_checksum=True, **told)
        data = sink.getvalue()
        folder = "" if self.part is None else f"{self.spec.partition_by}={self.part}/"
        name = f"{folder}part-{uuid.uuid4().hex}.parquet"
        path = f"{self.spec.name}/{name}"
        self.storage.write(path, data)
        native = json.dumps({"path": name, "stats": _statistics(stored, self.spec), "part": self.part})
        return [DataFile(path, len(rows), data.size, hashlib.sha256(data).hexdigest(), native)]


def append(
    table: DeltaTable, storage: Storage, name: str, rows: pa.Table, properties: CommitProperties
) -> None:
    """One commit of `rows` to the unpartitioned table `name`, from the handle `table` as it stands.

    Raises StorageError, and CommitFailedError where another writer came first under the same transaction id.
    Not write_deltalake: where that cannot write, it prints a panic on stderr beside its error.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd", write_page_checksum=True)
    data = sink.getvalue()
    file = f"part-{uuid.uuid4().hex}.parquet"
    storage.write(f"{name}/{file}", data)
    stats = json.dumps({"numRecords": len(rows)})
    add = AddAction(file, data.size, {}, int(time.time() * 1000), True, stats)
    with storage.settled(f"{name}/{LOG}"):
        table.create_write_transaction([add], "append", table.schema(), [], commit_properties=properties)
    table.update_incremental()


def _encoding(schema: pa.Schema, dictionary: Sequence[str] | None) -> dict[str, Any]:
    if dictionary is None:
        return {"compression": "zstd"}
    packed = {f.name: "zstd" if pa.types.is_string(f.type) else "none" for f in schema}
    return {"compression": packed, "use_dictionary": list(dictionary)}


def _statistics(rows: pa.Table, spec: TableSpec) -> str:
    bounds = {name: pc.min_max(rows[name]).as_py() for name in spec.statistics}
    return json.dumps(
        {
            "numRecords": len(rows),
            "minValues": {name: b["min"] for name, b in bounds.items() if b["min"] is not None},
            "maxValues": {name: b["max"] for name, b in bounds.items() if b["max"] is not None},
            "nullCount": {name: rows[name].null_count for name in bounds},
        }
    )


class DeltaFormat:
    """One table on deltalake (delta-rs)."""

    def __init__(self, storage: Storage, spec: TableSpec) -> None:
        self.storage = storage
        self.spec = spec
        self.uri = storage.uri(spec.name)

    def _open(self, version: int | None = None) -> DeltaTable | None:
        try:
            with storage_errors(self.uri):
                return DeltaTable(self.uri, version=version, storage_options=dict(self.storage.options))
        except StorageError as error:
            if isinstance(error.__cause__, TableNotFoundError):
                return None
            if version is not None and isinstance(error.__cause__, DeltaError):
                name = self.spec.name
                raise UsageError(
                    f"table {name} has no version {version}: `lake history {name}` lists them"
                ) from error
            raise

    def _create(self) -> DeltaTable:
        by = self.spec.partition_by
        with storage_errors(self.uri), self.storage.settled(self.spec.name):
            return DeltaTable.create(
                self.uri,
                _plain(self.spec.schema),
                mode="ignore",
                partition_by=[by] if by else None,
                configuration=configuration(self.spec.statistics),
                storage_options=dict(self.storage.options),
            )

    def writer(self, part: str | None = None) -> DeltaWriter:
        """What workers write with."""
        return DeltaWriter(self.storage, self.spec, part)

    def commit(
        self,
        files: Sequence[DataFile],
        lineage: Mapping[str, Any],
        confirm: Callable[[], None] = lambda: None,
    ) -> int:
        """One append of all `files`, with `lineage` in the commit.

        The transaction id of the key refuses it where anything else was committed for the key since the look
        at the table: a fence, or this very commit, when the store's reply to it was lost on the way.
        """
        self.storage.check_writable()
        table = self._open() or self._create()
        now = int(time.time() * 1000)
        adds: list[AddAction | RemoveAction] = []
        for file in files:
            native = json.loads(file.native)
            values = {self.spec.partition_by: native["part"]} if self.spec.partition_by else {}
            adds.append(AddAction(native["path"], file.bytes, values, now, True, native["stats"]))
        confirm()
        metadata = {LINEAGE: json.dumps(dict(lineage))}
        try:
            return self._commit(table, adds, str(lineage.get("key", self.spec.name)), metadata)
        except StorageError as error:
            if not isinstance(error.__cause__, CommitFailedError):
                raise
            confirm()  # says who came in between
            table = self._open() or table
            if {action.path for action in adds} - set(pa.table(table.get_add_actions())["path"].to_pylist()):
                raise
            return int(table.version())  # nobody did: the store made this commit, and its reply was lost

    def fence(self, key: str) -> None:
        """An empty commit under the key's transaction id: delta-rs refuses those from older handles."""
        self.storage.check_writable()
        self._commit(self._open() or self._create(), [], key, {})

    def _commit(
        self, table: DeltaTable, actions: list[AddAction | RemoveAction], key: str, metadata: dict[str, str]
    ) -> int:
        """An append from the handle `table` as it stands, under the transaction id `key`."""
        by = self.spec.partition_by
        properties = CommitProperties(custom_metadata=metadata, app_transactions=[Transaction(key, 0)])
        with storage_errors(self.uri), self.storage.settled(f"{self.spec.name}/{LOG}"):
            table.create_write_transaction(
                actions, "append", table.schema(), [by] if by else [], commit_properties=properties
            )
        with storage_errors(self.uri):
            table.update_incremental()
        return int(table.version())

    def _slices(self, ranges: Sequence[Range]) -> list[Slice]:
        table = self._open()
        if table is None:
            return []
        actions = pa.table(table.get_add_actions(flatten=True)).to_pylist()
        by = f"partition.{self.spec.partition_by}"
        slices = []
        for action in actions:
            part, low, high = action.get(by), action.get("min.batch"), action.get("max.batch")
            for r in ranges:
                if r.part not in (None, part):
                    continue
                if low is None or high is None or (low <= r.high and high >= r.low):
                    wanted = None not in (low, high) and r.low <= low and high <= r.high
                    slices.append(Slice(action["path"], 0, action["num_records"], part, wanted))
                    break
        return sorted(slices, key=lambda s: s.path)

    def read(
        self,
        ranges: Sequence[Range],
        columns: Sequence[str] | None = None,
        rows: int | None = None,
        skip: frozenset[str] = frozenset(),
    ) -> dd.DataFrame:
        """The rows of `ranges`; partitions are made of whole files, large files are cut into slices."""
        schema = _chosen(self.spec.schema, columns)
        slices = [s for s in self._slices(ranges) if f"{self.spec.name}/{s.path}" not in skip]
        if rows is not None:
            slices = [piece for s in slices for piece in cut(s, rows)]
        most = rows or max((s.stop for s in slices), default=1)
        tasks = [[slices[i] for i in group] for group in grouped([s.stop - s.start for s in slices], most)]
        frame: dd.DataFrame = dd.from_map(
            read_slices,
            tasks or [[]],
            storage=self.storage,
            spec=self.spec,
            ranges=list(ranges),
            schema=schema,
            meta=frames.meta(schema),
            enforce_metadata=False,
        )
        return frame

    def arrow(self, ranges: Sequence[Range], columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of `ranges` in this process."""
        schema = _chosen(self.spec.schema, columns)
        return read(self._slices(ranges), self.storage, self.spec, list(ranges), schema)

    def dataset(self, version: int | None = None) -> Any:
        """A pyarrow dataset of the table."""
        table = self._open(version)
        if table is None:
            return None
        with storage_errors(self.uri):
            return table.to_pyarrow_dataset()

    def files(self) -> dict[str, int]:
        """Data files of the newest version with their sizes."""
        table = self._open()
        if table is None:
            return {}
        actions = pa.table(table.get_add_actions())
        paths = [f"{self.spec.name}/{path}" for path in actions["path"].to_pylist()]
        return dict(zip(paths, actions["size_bytes"].to_pylist(), strict=True))

    def delete(self, predicate: str) -> int:
        """Copy-on-write delete."""
        self.storage.check_writable()
        table = self._open()
        if table is None:
            return 0
        with storage_errors(self.uri), self.storage.settled(self.spec.name):
            return int(table.delete(predicate)["num_deleted_rows"] or 0)

    def pieces(self) -> list[str]:
        """The data files of the newest version."""
        table = self._open()
        actions = [] if table is None else pa.table(table.get_add_actions(flatten=True)).to_pylist()
        by = f"partition.{self.spec.partition_by}"
        found = [{"path": a["path"], "size": a["size_bytes"], "part": a.get(by)} for a in actions]
        return [json.dumps(piece) for piece in sorted(found, key=lambda piece: str(piece["path"]))]

    def split(
        self, piece: str, key: str, gone: npt.NDArray[np.int64], write: bool
    ) -> tuple[pa.Table, Replacement | None]:
        """The rows of a data file that leave, and a new file with those that stay."""
        told = json.loads(piece)
        whole = self.spec.schema
        path = f"{self.spec.name}/{told['path']}"
        filesystem = self.storage.filesystem()
        with storage_errors(self.storage.uri(path)), filesystem.open_input_file(path) as source:
            file = pq.ParquetFile(source, page_checksum_verification=True)
            leaves = among(file.read(columns=[key])[key], gone)
            if not leaves.any():
                return whole.empty_table(), None
            rows = file.read()
        if self.spec.partition_by is not None:
            rows = rows.append_column(
                self.spec.partition_by, pa.array([told["part"]] * len(rows), pa.string())
            )
        rows = rows.select(whole.names).cast(whole)
        found = rows.filter(pa.array(leaves))
        if not write:
            return found, None
        return found, Replacement(
            piece, tuple(self.writer(told["part"]).write(rows.filter(pa.array(~leaves))))
        )

    def replace(self, replacements: Sequence[Replacement], lineage: Mapping[str, Any]) -> int:
        """One commit that takes the old files out and the new ones in.

        Compaction commits under the same transaction id, so that delta-rs refuses the later of the two: it
        does not notice by itself that a file which is taken out is gone already.
        """
        table = self._open()
        assert table is not None  # it has pieces
        current = set(self.pieces())
        if any(r.piece not in current for r in replacements):
            raise StorageError(f"{self.uri} changed while rows were taken out: run the same command again")
        self.storage.check_writable()
        by, now = self.spec.partition_by, int(time.time() * 1000)
        actions: list[AddAction | RemoveAction] = []
        for replacement in replacements:
            old = json.loads(replacement.piece)
            values = {by: old["part"]} if by else {}
            actions.append(RemoveAction(old["path"], True, now, old["size"], values))
            for file in replacement.files:
                new = json.loads(file.native)
                actions.append(AddAction(new["path"], file.bytes, values, now, True, new["stats"]))
        return self._commit(table, actions, REWRITE, {LINEAGE: json.dumps(dict(lineage))})

    def purge(self) -> int:
        """A full vacuum: of the table's folder only the newest version's data files and the log stay."""
        table = self._open()
        assert table is not None  # there is something to purge
        self.storage.check_writable()
        oldest = int(table.version())
        with storage_errors(self.uri), self.storage.settled(self.spec.name):
            table.vacuum(
                retention_hours=0,
                dry_run=False,
                enforce_retention_duration=False,
                full=True,
                commit_properties=CommitProperties(app_transactions=[Transaction(REWRITE, 0)]),
            )
        return oldest

    def compact(self) -> int:
        """Bin-packs small files; rows and fingerprints stay the same, and so does the table's own layout."""
        self.storage.check_writable()
        if self.spec.order:
            return self._repack()
        table = self._open() or self._create()
        with storage_errors(self.uri), self.storage.settled(self.spec.name):
            table.optimize.compact()
            return int(table.version())

    def _repack(self) -> int:
        """`compact` of a table whose files have an order, which delta-rs would not keep."""
        small = [piece for piece in self.pieces() if json.loads(piece)["size"] < SMALL]
        groups = grouped([json.loads(piece)["size"] for piece in small], SMALL)
        made = [self._merged([small[i] for i in group]) for group in groups if len(group) > 1]
        told = {"compacted": sum(len(group) for group in groups if len(group) > 1)}
        if made:
            return self.replace([one for group in made for one in group], told)
        return int((self._open() or self._create()).version())

    def _merged(self, pieces: Sequence[str]) -> list[Replacement]:
        """Whole files as one."""
        filesystem = self.storage.filesystem()
        tables = []
        for piece in pieces:
            path = f"{self.spec.name}/{json.loads(piece)['path']}"
            with storage_errors(self.storage.uri(path)), filesystem.open_input_file(path) as source:
                rows = pq.ParquetFile(source, page_checksum_verification=True).read()
            tables.append(rows.select(self.spec.schema.names).cast(self.spec.schema))
        files = tuple(self.writer().write(pa.concat_tables(tables)))
        return [Replacement(pieces[0], files), *[Replacement(piece, ()) for piece in pieces[1:]]]

    def prune(self, before: datetime, dry_run: bool) -> tuple[int, int]:
        """A vacuum of files that were taken out of the table before that moment; the log stays."""
        table = self._open()
        if table is None:
            return 0, 0
        if not dry_run:
            self.storage.check_writable()
        hours = int((datetime.now(UTC) - before).total_seconds() // 3600)
        with storage_errors(self.uri):
            gone = table.vacuum(hours, dry_run=dry_run, enforce_retention_duration=False)
        found = logs.contents(self.storage, self.spec.name)
        return logs.oldest_readable(self.storage, self.spec.name, found, set(gone)), len(gone)

    def version(self) -> int | None:
        """The newest native version."""
        table = self._open()
        return None if table is None else int(table.version())

    def history(self) -> list[Version]:
        """Native versions, newest first."""
        table = self._open()
        if table is None:
            return []
        return [
            Version(
                int(entry["version"]),
                str(entry["timestamp"]),
                str(entry["operation"]),
                json.loads(entry.get(LINEAGE, "{}")),
            )
            for entry in table.history()
        ]


def _plain(schema: pa.Schema) -> pa.Schema:
    """`schema` without field metadata: the ledger's pins, not Delta, know about kinds."""
    return pa.schema([pa.field(f.name, f.type, f.nullable) for f in schema])


def _chosen(schema: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    return schema if columns is None else pa.schema([schema.field(name) for name in columns])
