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
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from lakehouse.claims import ACTIVE, LEASE, Claim, given_up, own, refuse_done, refuse_live, refuse_removal
from lakehouse.errors import ConflictError, StorageError
from lakehouse.events import REMOVALS, Event, Events, Pins, Source, owner
from lakehouse.fingerprints import Fingerprint
from lakehouse.rows import Row, rows
from lakehouse.schema import LEDGER
from lakehouse.storage import Storage, storage_errors
from lakehouse.tables import DataFile
from lakehouse.tables.delta import append, configuration

__all__ = ["LEASE", "Claim", "Ledger", "Pins", "Result", "Source"]

COMPACT_AT = 64  # ledger files; beyond, they are merged, so that opening a lake stays one short read
TRIES = 20  # of a ledger commit that loses the race to another writer


@dataclass(frozen=True)
class Result:
    """What one batch brought to one key."""

    rows: int
    bytes: int
    counts: Mapping[tuple[str, str], int]
    files: Sequence[DataFile]
    fingerprint: Fingerprint
    version: int


@dataclass(frozen=True)
class Withdrawn:
    """What a removal takes out of one batch of a key."""

    rows: int = 0
    fingerprint: Fingerprint = field(default_factory=Fingerprint)
    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)


class Ledger:
    """The events of one lake, and what follows from them."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.uri = storage.uri("ledger")
        self._read: dict[str, list[Row]] = {}
        self._state = Events([])
        self._table: DeltaTable | None = None

    # ---------------------------------------------------------------- reading

    def state(self) -> Events:
        """The newest version; what is asked of it later is answered from that version alone."""
        self._look()
        return self._state

    def events(self) -> Sequence[Event]:
        """All events."""
        return self.state().rows

    def _look(self) -> None:
        """Reads the files that were not there at the last look."""
        if self._table is None and not self._open():
            return
        table = self._table
        assert table is not None
        with storage_errors(self.uri):
            table.update_incremental()
            paths = set(pa.table(table.get_add_actions())["path"].to_pylist())
        if paths == self._read.keys():
            return
        filesystem = self.storage.filesystem()
        for path in paths - self._read.keys():
            with storage_errors(self.uri), filesystem.open_input_file(f"ledger/{path}") as file:
                self._read[path] = rows(pq.read_table(file, schema=LEDGER))
        self._read = {path: self._read[path] for path in paths}
        self._state = Events([event for events in self._read.values() for event in events])

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
        with storage_errors(self.uri), self.storage.settled("ledger"):
            self._table = DeltaTable.create(
                self.uri,
                LEDGER,
                mode="ignore",
                configuration=configuration(["batch"]),
                storage_options=dict(self.storage.options),
            )

    def done(self, key: str | None = None) -> list[Event]:
        """Events of finished batches, oldest first; of one key, or of all."""
        return self.state().done(key)

    def generations(self) -> dict[str, tuple[int, int]]:
        """Per key, the generation that readers see and the one being built (the same, mostly)."""
        return self.state().generations()

    def pins(self, building: bool = False) -> Pins:
        """The batches that a reader of head sees; with `building`, those a rebuild sees."""
        return self.state().pins(building)

    def sources(self) -> list[Source]:
        """The registered units of input, in the order of their registration."""
        return self.state().sources()

    # ---------------------------------------------------------------- writing

    def _append(self, make: Callable[[Events], Iterable[Mapping[str, Any]]], keys: Sequence[str]) -> None:
        """Commits the events that `make` makes of the newest state.

        Nothing may come between that state and the commit: delta-rs refuses a commit under `keys` if
        another one was made since the table was last read, and `make` is asked again.
        """
        properties = CommitProperties(app_transactions=[Transaction(key, 0) for key in keys])
        sent: set[tuple[object, ...]] = set()
        for _ in range(TRIES):
            state = self.state()
            if sent and sent <= {_identity(event) for event in state.rows}:
                return  # the reply was lost, not the commit
            now = datetime.now(UTC)
            made = [{"at": now, **row} for row in make(state)]
            if not made:
                return
            sent = {_identity(row) for row in made}
            if self._commit(pa.Table.from_pylist(made, schema=LEDGER), properties):
                self._compact()
                return
        raise ConflictError(f"other drivers keep writing to the ledger of {', '.join(keys)}: try again")

    def _commit(self, rows: pa.Table, properties: CommitProperties) -> bool:
        """False where another writer came first."""
        assert self._table is not None
        with storage_errors(self.uri):
            try:
                append(self._table, self.storage, "ledger", rows, properties)
            except CommitFailedError:
                self._open()
                return False
        return True

    def _compact(self) -> None:
        assert self._table is not None
        if len(self._table.file_uris()) <= COMPACT_AT:
            return
        try:
            with self.storage.settled("ledger"):
                self._table.optimize.compact()
        except (DeltaError, OSError, StorageError):
            # Another driver did it, or the disk is full. The events are committed, so whoever made
            # them must not be told otherwise; the next one tries again.
            self._open()

    def add_sources(self, found: Callable[[list[Source]], list[Source]]) -> list[Source]:
        """Registers the units that `found` makes of those known already; returns the new ones."""
        added: list[Source] = []

        def make(state: Events) -> Iterable[Mapping[str, Any]]:
            added[:] = found(state.sources())
            for source in added:
                details = json.dumps(vars(source))
                yield {"key": "sources", "batch": source.order, "event": "source", "details": details}

        self._append(make, ["sources"])
        return added

    def claim(
        self,
        keys: Sequence[str],
        works: Sequence[str],
        fingerprint: str,
        selection: str,
        details: str,
        alone: Sequence[str] = (),
    ) -> Claim:
        """Claims the next batch of `keys`, or takes over the one that a dead driver left.

        `alone` are keys that nobody may hold at the same time; what dead drivers left there is given up.
        Raises `ConflictError` where another driver holds it, or has done some of `works` since they were
        planned, and while a removal is under way.
        """
        token = uuid.uuid4().hex
        made: list[Claim] = []

        def make(state: Events) -> Iterable[Mapping[str, Any]]:
            left = state.unfinished(keys[0])
            if left is not None:
                refuse_live(left, state)
            refuse_removal(keys[0], state)
            for key in alone:
                yield from given_up(key, state)
            generation = state.generations().get(keys[0], (0, 0))[1]
            refuse_done(state, keys[0], generation, selection, works)
            batch, attempt = state.next_batch(keys[0])
            claim = Claim(tuple(keys), batch, generation, token, attempt, left is not None, tuple(works))
            made[:] = [claim]
            for key in keys:
                yield self._event(claim, key, "claim") | {
                    "units": list(works),
                    "fingerprint": fingerprint,
                    "selection": selection,
                    "details": details,
                    "lease_until": datetime.now(UTC) + LEASE,
                }

        ACTIVE.add(token)
        try:
            self._append(make, [*keys, *alone])
        except BaseException:
            ACTIVE.discard(token)
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

    def _write(self, claim: Claim, make: Callable[[Events], Iterable[Mapping[str, Any]]]) -> None:
        """Commits events of a claim. Who cannot (the disk may be full) works on it no longer."""
        try:
            self._append(make, claim.keys)
        except BaseException:
            ACTIVE.discard(claim.token)
            raise

    def renew(self, claim: Claim) -> None:
        """Extends the lease. Called while a batch is computed, and right before its native commit."""

        def make(state: Events) -> Iterable[Mapping[str, Any]]:
            own(claim, state)
            until = datetime.now(UTC) + LEASE
            return [self._event(claim, key, "renew") | {"lease_until": until} for key in claim.keys]

        self._write(claim, make)

    def finish(self, claim: Claim, results: Mapping[str, Result], seconds: float, details: str) -> None:
        """Marks the batch as done in all its tables at once: from here on readers see it."""

        def make(state: Events) -> Iterable[Mapping[str, Any]]:
            claimed = own(claim, state)
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

        self._write(claim, make)
        ACTIVE.discard(claim.token)

    def abandon(self, claim: Claim) -> None:
        """Gives the batch up; the caller has deleted what it wrote."""

        def make(state: Events) -> Iterable[Mapping[str, Any]]:
            own(claim, state)
            return [self._event(claim, key, "abandon") for key in claim.keys]

        self._write(claim, make)
        ACTIVE.discard(claim.token)

    def leave(self, claim: Claim) -> None:
        """This process works on it no longer: whoever claims the batch next takes it over."""
        ACTIVE.discard(claim.token)

    def withdraw(self, claim: Claim, gone: Mapping[tuple[str, int], Withdrawn]) -> None:
        """Records what the removal `claim` takes out of which batches: all in one commit.

        From here on the sums that pins stand for are less by these. The removal's own key is always among
        the events, which tells a removal that took nothing out from one that has not got so far.
        """
        units = [f"{REMOVALS}:{claim.batch}"]

        def make(state: Events) -> Iterable[Mapping[str, Any]]:
            own(claim, state)
            for (key, batch), some in {**gone, (REMOVALS, claim.batch): Withdrawn()}.items():
                yield {
                    "key": key,
                    "batch": batch,
                    "event": "withdraw",
                    "units": units,
                    "owner": owner(),
                    "rows": some.rows,
                    "counts": [{"unit": u, "name": c, "n": n} for (u, c), n in sorted(some.counts.items())],
                    "whole": some.fingerprint.whole_hex,
                    "content": some.fingerprint.content_hex,
                }

        self._write(claim, make)

    def rebuild(self, keys: Sequence[str], again: Sequence[str] = ()) -> None:
        """Starts a new generation of `keys`; readers stay on the old one until `switch`.

        A generation that is being built already is gone on with, but for keys that are in `again` too.
        """

        def make(state: Events) -> Iterable[Mapping[str, Any]]:
            generations = state.generations()
            for key in keys:
                current, building = generations.get(key, (0, 0))
                if building == current or key in again:
                    yield {"key": key, "batch": 0, "event": "rebuild", "generation": building + 1}

        self._append(make, keys)

    def compacted(self, name: str, files: Sequence[tuple[str, str]], version: int) -> None:
        """Records the data files (path, sha256) that a compaction of the table `name` wrote."""
        if files:
            found = [{"path": path, "sha256": sha256} for path, sha256 in files]
            event = {"key": name, "batch": 0, "event": "compact", "files": found, "version": version}
            self._append(lambda state: [event], ["compact"])

    def indexed(self, name: str, version: int, rows: int, size: int, seconds: float, details: str) -> None:
        """Records how the vector index of the table `name` was made or brought up to date."""
        event = {"key": name, "batch": 0, "event": "index", "version": version, "owner": owner()}
        told = {**event, "rows": rows, "bytes": size, "seconds": seconds, "details": details}
        self._append(lambda state: [told], ["index"])

    def dropped(self, key: str, generation: int, batches: tuple[int, int]) -> None:
        """Records that the rows of a generation are gone."""
        event = {"key": key, "batch": batches[1], "event": "drop", "generation": generation, "owner": owner()}
        self._append(lambda state: [event], ["drop"])

    def pruned(self, name: str, version: int) -> None:
        """Records that native versions of the table `name` before `version` are gone."""
        event = {"key": name, "batch": 0, "event": "purge", "version": version, "owner": owner()}
        self._append(lambda state: [event], ["purge"])

    def switch(self) -> None:
        """Lets readers see every generation that was being built: all in one commit."""

        def make(state: Events) -> Iterable[Mapping[str, Any]]:
            return [
                {"key": key, "batch": 0, "event": "switch", "generation": building}
                for key, (current, building) in state.generations().items()
                if building > current
            ]

        self._append(make, ["switch"])


def _identity(event: Mapping[str, Any]) -> tuple[object, ...]:
    """What tells an event from all others: the moment of its making, to the microsecond, included."""
    return event["key"], event["batch"], event["event"], event.get("token"), event["at"]
