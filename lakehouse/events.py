"""What follows from the events of a ledger, as they stood at one moment."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import psutil

Event = Mapping[str, Any]  # one row of schema.LEDGER
Pins = dict[str, tuple[int, int]]  # per key, the first and the last batch that a reader sees

CLOSING = ("done", "abandon")  # events that end a claim
REMOVALS = "removals"  # the key of tombstones: they hold for every reader, so no pin is made of them


@dataclass(frozen=True)
class Source:
    """A unit of the lake's input: a crawl file, or a slice of a URL list."""

    unit: str
    path: str
    kind: str
    order: int
    start: int | None = None
    stop: int | None = None
    scores: tuple[str, ...] = ()  # columns of a URL list that are scores published with it
    bytes: int | None = None  # of an imported shard, and its SHA-256, as it was when it was registered
    sha256: str | None = None


class Events:
    """Events of one version of the ledger. Every answer comes from that version alone, and is kept."""

    def __init__(self, rows: Sequence[Event]) -> None:
        self.rows = rows

    @cached_property
    def _of_key(self) -> dict[str, list[Event]]:
        """The events of each key."""
        found: dict[str, list[Event]] = {}
        for event in self.rows:
            found.setdefault(event["key"], []).append(event)
        return found

    @cached_property
    def _done(self) -> dict[str, list[Event]]:
        """Per key, by name, the events of finished batches, oldest first."""
        found = {key: [e for e in some if e["event"] == "done"] for key, some in self._of_key.items()}
        return {key: sorted(found[key], key=lambda e: int(e["batch"])) for key in sorted(found)}

    @cached_property
    def _generations(self) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for key, events in self._of_key.items():
            current = building = 0
            for event in events:
                if event["event"] == "rebuild":
                    building = max(building, event["generation"])
                if event["event"] == "switch":
                    current = max(current, event["generation"])
            found[key] = (current, max(current, building))
        return found

    @cached_property
    def _pins(self) -> tuple[Pins, Pins]:
        """What a reader of head sees, and what a rebuild sees."""
        made: tuple[Pins, Pins] = ({}, {})
        for key, events in self._done.items():
            for pins, generation in zip(made, self._generations[key], strict=True):
                batches = [e["batch"] for e in events if e["generation"] == generation]
                if batches and key != REMOVALS:
                    pins[key] = (batches[0], batches[-1])
        return made

    def until(self, moment: datetime) -> Events:
        """What was known at `moment`, by the clocks of the drivers that made the events."""
        return Events([event for event in self.rows if event["at"] <= moment])

    def done(self, key: str | None = None) -> list[Event]:
        """Events of finished batches, oldest first; of one key, or of all."""
        if key is not None:
            return list(self._done.get(key, ()))
        return [event for events in self._done.values() for event in events]

    def generations(self) -> dict[str, tuple[int, int]]:
        """Per key, the generation that readers see and the one being built (the same, mostly)."""
        return dict(self._generations)

    def pins(self, building: bool = False) -> Pins:
        """The batches that a reader of head sees; with `building`, those a rebuild sees."""
        return dict(self._pins[1 if building else 0])

    def dropped(self) -> set[tuple[str, int]]:
        """Generations, as (key, number), whose rows a cleanup took out."""
        return {(event["key"], event["generation"]) for event in self.rows if event["event"] == "drop"}

    def indexed(self, name: str) -> Event | None:
        """The newest event about the vector index of the table `name`."""
        found = [e for e in self.rows if e["event"] == "index" and e["key"] == name]
        return max(found, key=lambda e: e["at"], default=None)

    def withdrawn(self, first: int = 1, last: int | None = None) -> list[Event]:
        """Per batch of a key, the rows that removals took out: of all removals, or of `first` to `last`."""
        found = [(e, int(e["units"][0].rpartition(":")[2])) for e in self.rows if e["event"] == "withdraw"]
        return [e for e, number in found if number >= first and (last is None or number <= last)]

    def removals(self) -> int:
        """How many removals have said what they take out; they are numbered from 1."""
        return max((e["batch"] for e in self.withdrawn() if e["key"] == REMOVALS), default=0)

    def sources(self) -> list[Source]:
        """The registered units of input, in the order of their registration."""
        return list(self._sources)

    @cached_property
    def _sources(self) -> list[Source]:
        rows = sorted((e for e in self.rows if e["event"] == "source"), key=lambda e: int(e["batch"]))
        return [_source(json.loads(e["details"])) for e in rows]

    def unfinished(self, key: str) -> Event | None:
        """The newest claim of `key` if its batch is neither done nor given up."""
        mine = [e for e in self._of_key.get(key, ()) if e["event"] in ("claim", *CLOSING)]
        if not mine:
            return None
        last = max(mine, key=lambda e: (e["batch"], e["attempt"], e["event"] in CLOSING))
        return last if last["event"] == "claim" else None

    def lease_until(self, token: str) -> datetime:
        """When the lease of a claim runs out."""
        until: datetime = max(e["lease_until"] for e in self.rows if e["token"] == token and e["lease_until"])
        return until

    def next_batch(self, key: str) -> tuple[int, int]:
        """The number of the batch after the last one that is done, and of the try at it."""
        batch = max((e["batch"] for e in self.done(key)), default=0) + 1
        tries = [e["attempt"] for e in self._of_key.get(key, ()) if e["batch"] == batch and e["attempt"]]
        return batch, max(tries, default=0) + 1


def _source(told: Mapping[str, Any]) -> Source:
    return Source(**{**told, "scores": tuple(told.get("scores", ()))})


def owner() -> str:
    """This driver's identity: place, process, and the process's start, which tells reused pids apart."""
    pid = os.getpid()
    return f"{_place()}:{pid}:{_started(pid)}"


def is_alive(claim: Event, lease_until: datetime, active: set[str]) -> bool:
    """Whether the driver that made `claim` may still be at work; `active`: this process's claims.

    A process of this machine is looked up; one of another machine counts as alive until its lease ends.
    """
    place, pid, started = claim["owner"].rsplit(":", 2)
    if place != _place():
        return lease_until > datetime.now(UTC)
    if int(pid) == os.getpid():
        return str(claim["token"]) in active
    return _started(int(pid)) == str(started)


def _place() -> str:
    """Where a pid means something: the host and, as containers can share its name, the pid namespace."""
    try:
        namespace = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:  # not Linux
        return socket.gethostname()
    return f"{socket.gethostname()}/{namespace}"


def _started(pid: int) -> str | None:
    """Seconds from boot to the process's start, which no change of the clock moves; None if it is dead."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return f"{process.create_time() - psutil.boot_time():.2f}"
    except psutil.NoSuchProcess:
        return None
