"""The ledger decides what exists: claims, batches, pins, generations, sources.

A batch is written in this order: (1) the driver *claims* it here; (2) workers write data files that
nobody can see; (3) one native commit per table; (4) the batch is *done* here, with counts, checksums
and fingerprints. Rows of a batch that is not done are invisible, whatever the engines think. A claim
left by a driver that died is taken over: its rows are deleted and the batch is repeated.

The ledger is a Delta table of events. Every event that concerns a claim is committed under a Delta
transaction id of its key, and delta-rs refuses such a commit from a handle that has not seen the
newest one: of two drivers, the second gets `ConflictError`.
"""

from __future__ import annotations

import json
import os
import socket
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, TableNotFoundError

from lakehouse.errors import ConflictError, StorageError
from lakehouse.fingerprints import Fingerprint
from lakehouse.schema import LEDGER
from lakehouse.storage import Storage, storage_errors
from lakehouse.tables import DataFile
from lakehouse.tables.delta import configuration

Pins = dict[str, tuple[int, int]]

LEASE = timedelta(minutes=10)  # how long a claim holds without a sign of life from another machine
COMPACT_AT = 64  # ledger files; beyond, they are merged, so that opening a lake stays one short read
TRIES = 20  # of a ledger commit that loses the race to another writer

_ACTIVE: set[str] = set()  # tokens of this process's own claims


@dataclass(frozen=True)
class Source:
    """A unit of the lake's input: a crawl file, or a slice of a URL list."""

    unit: str
    path: str
    kind: str
    order: int
    start: int | None = None
    stop: int | None = None


@dataclass(frozen=True)
class Claim:
    """The right to write batch `batch` of `keys`; `takeover` says that an earlier try left rows."""

    keys: tuple[str, ...]
    batch: int
    generation: int
    token: str
    attempt: int
    takeover: bool
    works: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """What one batch brought to one key."""

    rows: int
    bytes: int
    counts: Mapping[tuple[str, str], int]
    files: Sequence[DataFile]
    fingerprint: Fingerprint
    version: int


def owner() -> str:
    """This driver's identity: host, process and the process's start, which tells reused pids apart."""
    process = psutil.Process()
    return f"{socket.gethostname()}:{process.pid}:{process.create_time():.2f}"


def is_alive(event: Mapping[str, Any], lease_until: datetime) -> bool:
    """Whether the driver that made the claim `event` may still be at work."""
    host, pid, started = event["owner"].rsplit(":", 2)
    if host != socket.gethostname():
        return lease_until > datetime.now(UTC)
    if int(pid) == os.getpid():
        return event["token"] in _ACTIVE
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" == started
    except psutil.NoSuchProcess:
        return False


class Ledger:
    """The events of one lake, and what follows from them."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.uri = storage.uri("ledger")
        self._read: dict[str, list[dict[str, Any]]] = {}
        self._table: DeltaTable | None = None

    # ---------------------------------------------------------------- reading

    def events(self) -> list[dict[str, Any]]:
        """All events; only files that were not there at the last call are read."""
        if self._table is None and not self._open():
            return []
        table = self._table
        assert table is not None
        with storage_errors(self.uri):
            table.update_incremental()
            paths = set(pa.table(table.get_add_actions())["path"].to_pylist())
        filesystem = self.storage.filesystem()
        for path in paths - self._read.keys():
            with storage_errors(self.uri), filesystem.open_input_file(f"ledger/{path}") as file:
                self._read[path] = pq.read_table(file, schema=LEDGER).to_pylist()
        self._read = {path: self._read[path] for path in paths}
        return [event for events in self._read.values() for event in events]

    def _open(self) -> bool:
        try:
            with storage_errors(self.uri):
                self._table = DeltaTable(self.uri, storage_options=dict(self.storage.options))
        except StorageError as error:
            if isinstance(error.__cause__, TableNotFoundError):
                return False
            raise
        return True

    def create(self) -> None:
        """Makes the empty ledger of a new lake."""
        with storage_errors(self.uri):
            self._table = DeltaTable.create(
                self.uri,
                LEDGER,
                mode="ignore",
                configuration=configuration(["batch"]),
                storage_options=dict(self.storage.options),
            )

    def done(self, key: str | None = None) -> list[dict[str, Any]]:
        """Events of finished batches, oldest first; of one key, or of all."""
        found = [e for e in self.events() if e["event"] == "done" and key in (None, e["key"])]
        return sorted(found, key=lambda e: (e["key"], e["batch"]))

    def generations(self) -> dict[str, tuple[int, int]]:
        """Per key, the generation that readers see and the one being built (the same, mostly)."""
        found: dict[str, tuple[int, int]] = {}
        for event in self.events():
            current, building = found.get(event["key"], (0, 0))
            if event["event"] == "rebuild":
                building = max(building, event["generation"])
            if event["event"] == "switch":
                current = max(current, event["generation"])
            found[event["key"]] = (current, max(current, building))
        return found

    def pins(self, building: bool = False) -> Pins:
        """The batches that a reader of head sees; with `building`, those a rebuild sees."""
        generations = self.generations()
        pins: Pins = {}
        for event in self.done():
            if event["generation"] == generations[event["key"]][1 if building else 0]:
                low, high = pins.get(event["key"], (event["batch"], event["batch"]))
                pins[event["key"]] = (min(low, event["batch"]), max(high, event["batch"]))
        return pins

    def sources(self) -> list[Source]:
        """The registered units of input, in the order of their registration."""
        rows = [e for e in self.events() if e["event"] == "source"]
        rows.sort(key=lambda e: e["batch"])
        return [Source(**json.loads(e["details"])) for e in rows]

    def unfinished(self, key: str) -> dict[str, Any] | None:
        """The newest claim of `key` if its batch is neither done nor given up."""
        mine = [e for e in self.events() if e["key"] == key and e["event"] in ("claim", "done", "abandon")]
        if not mine:
            return None
        last = max(mine, key=lambda e: (e["batch"], e["attempt"], e["event"] != "claim"))
        return last if last["event"] == "claim" else None

    def lease_until(self, token: str) -> datetime:
        """When the lease of a claim runs out."""
        until: datetime = max(
            e["lease_until"] for e in self.events() if e["token"] == token and e["lease_until"]
        )
        return until

    # ---------------------------------------------------------------- writing

    def _append(
        self, rows: Callable[[], Iterable[Mapping[str, Any]]], keys: Sequence[str], version: int = 0
    ) -> None:
        """Commits the events that `rows` returns; `rows` is asked again after a lost race."""
        for _ in range(TRIES):
            self.events()
            now = datetime.now(UTC)
            made = [{"at": now, **row} for row in rows()]
            table = pa.Table.from_pylist(made, schema=LEDGER)
            properties = CommitProperties(app_transactions=[Transaction(f"{key}", version) for key in keys])
            if self._commit(table, properties):
                self._compact()
                return
        raise ConflictError(f"other drivers keep writing to the ledger of {', '.join(keys)}: try again")

    def _commit(self, rows: pa.Table, properties: CommitProperties) -> bool:
        """False where another writer came first."""
        assert self._table is not None
        with storage_errors(self.uri):
            try:
                write_deltalake(self._table, rows, mode="append", commit_properties=properties)
            except CommitFailedError:
                self._open()
                return False
        return True

    def _compact(self) -> None:
        assert self._table is not None
        if len(self._table.file_uris()) <= COMPACT_AT:
            return
        try:
            self._table.optimize.compact()
        except CommitFailedError:
            self._open()  # another driver did it

    def add_sources(self, found: Callable[[list[Source]], list[Source]]) -> list[Source]:
        """Registers the units that `found` makes of those known already; returns the new ones."""
        added: list[Source] = []

        def rows() -> Iterable[Mapping[str, Any]]:
            added[:] = found(self.sources())
            for source in added:
                details = json.dumps(vars(source))
                yield {"key": "sources", "batch": source.order, "event": "source", "details": details}

        self._append(rows, ["sources"])
        return added

    def claim(
        self, keys: Sequence[str], works: Sequence[str], fingerprint: str, selection: str, details: str
    ) -> Claim:
        """Claims the next batch of `keys`, or takes over the one that a dead driver left.

        Raises `ConflictError` where another driver holds it.
        """
        token = uuid.uuid4().hex
        made: list[Claim] = []

        def rows() -> Iterable[Mapping[str, Any]]:
            left = self.unfinished(keys[0])
            if left is not None:
                until = self.lease_until(left["token"])
                if is_alive(left, until):
                    raise ConflictError(
                        f"{keys[0]}: batch {left['batch']} is claimed by {left['owner']} until {until:%H:%M:%S} UTC: "
                        "wait for it (--wait), or stop that driver"
                    )
            mine = [e for e in self.events() if e["key"] == keys[0] and e["event"] in ("done", "abandon")]
            last = max((e["batch"] for e in mine if e["event"] == "done"), default=0)
            gone = [e["attempt"] for e in mine if e["event"] == "abandon" and e["batch"] == last + 1]
            attempt = max([*gone, left["attempt"] if left else 0]) + 1
            generation = self.generations().get(keys[0], (0, 0))[1]
            claim = Claim(tuple(keys), last + 1, generation, token, attempt, left is not None, tuple(works))
            made[:] = [claim]
            for key in keys:
                yield self._event(claim, key, "claim") | {
                    "units": list(works),
                    "fingerprint": fingerprint,
                    "selection": selection,
                    "details": details,
                    "lease_until": datetime.now(UTC) + LEASE,
                }

        _ACTIVE.add(token)
        try:
            self._append(rows, keys)
        except BaseException:
            _ACTIVE.discard(token)
            raise
        return made[0]

    def _event(self, claim: Claim, key: str, event: str) -> dict[str, Any]:
        return {
            "key": key,
            "batch": claim.batch,
            "event": event,
            "generation": claim.generation,
            "owner": owner(),
            "token": claim.token,
            "attempt": claim.attempt,
        }

    def _check(self, claim: Claim) -> dict[str, Any]:
        """The claim's own event; raises if somebody else took the batch over."""
        current = self.unfinished(claim.keys[0])
        if current is None or current["token"] != claim.token:
            taker = current["owner"] if current else "nobody"
            raise ConflictError(
                f"{claim.keys[0]}: batch {claim.batch} was taken over by {taker}: nothing of it was kept here"
            )
        return current

    def renew(self, claim: Claim) -> None:
        """Extends the lease. Called while a batch is computed, and right before its native commit."""

        def rows() -> Iterable[Mapping[str, Any]]:
            self._check(claim)
            until = datetime.now(UTC) + LEASE
            return [self._event(claim, key, "renew") | {"lease_until": until} for key in claim.keys]

        self._append(rows, claim.keys)

    def finish(self, claim: Claim, results: Mapping[str, Result], seconds: float, details: str) -> None:
        """Marks the batch as done in all its tables at once: from here on readers see it."""

        def rows() -> Iterable[Mapping[str, Any]]:
            claimed = self._check(claim)
            for key in claim.keys:
                result = results[key]
                yield self._event(claim, key, "done") | {
                    "units": claimed["units"],
                    "fingerprint": claimed["fingerprint"],
                    "selection": claimed["selection"],
                    "rows": result.rows,
                    "bytes": result.bytes,
                    "seconds": seconds,
                    "counts": [{"unit": u, "name": c, "n": n} for (u, c), n in sorted(result.counts.items())],
                    "files": [{"path": f.path, "sha256": f.sha256, "bytes": f.bytes} for f in result.files],
                    "whole": f"{result.fingerprint.whole:032x}",
                    "content": f"{result.fingerprint.content:032x}",
                    "version": result.version,
                    "details": details,
                }

        self._append(rows, claim.keys)
        _ACTIVE.discard(claim.token)

    def abandon(self, claim: Claim) -> None:
        """Gives the batch up; the caller has deleted what it wrote."""

        def rows() -> Iterable[Mapping[str, Any]]:
            self._check(claim)
            return [self._event(claim, key, "abandon") for key in claim.keys]

        self._append(rows, claim.keys)
        _ACTIVE.discard(claim.token)

    def rebuild(self, keys: Sequence[str]) -> None:
        """Starts a new generation of `keys`; readers stay on the old one until `switch`."""

        def rows() -> Iterable[Mapping[str, Any]]:
            generations = self.generations()
            for key in keys:
                current, building = generations.get(key, (0, 0))
                if building == current:
                    yield {"key": key, "batch": 0, "event": "rebuild", "generation": current + 1}

        self._append(rows, keys)

    def switch(self) -> None:
        """Lets readers see every generation that was being built: all in one commit."""
        keys = [key for key, (current, building) in self.generations().items() if building > current]

        def rows() -> Iterable[Mapping[str, Any]]:
            generations = self.generations()
            return [
                {"key": key, "batch": 0, "event": "switch", "generation": generations[key][1]} for key in keys
            ]

        if keys:
            self._append(rows, keys)
