"""The downloads stage on a worker: fetch with a spool, and tell the driver how it goes."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd
from distributed import Client, get_worker

from lakehouse import spool
from lakehouse.lake import Lake
from lakehouse.spool import Spool
from transforms import downloads
from transforms.downloads import DownloadRules, Network, Refused, Tally

TOPIC = "pairlake-downloads"
TELL_SECONDS = 2.0  # between two accounts of a task
SLOWEST = 10  # hosts that a task tells of


@dataclass(frozen=True)
class Fetch:
    """What a task does with its URLs; picklable. `spool` is the batch's."""

    rules: DownloadRules
    network: Network
    spool: Spool

    def __call__(self, frame: pd.DataFrame, number: int, given: Refused) -> Iterator[pd.DataFrame]:
        """The rows of the URLs of task `number`, in frames of bounded size; `given` is held against them."""
        tally = Tally()
        with _telling(self.spool.folder, number, tally):
            yield from downloads.fetch_spooled(
                frame, self.rules, self.network, self.spool.part(number), tally, given
            )

    def clear(self) -> None:
        """Forget what was kept: the batch is done."""
        spool.clear(self.spool.storage, self.spool.folder)


def spool_of(
    lake: Lake, fingerprint: str, works: Sequence[str], tasks: int, lists: Mapping[str, Any]
) -> Spool:
    """The spool of these works, by these rules and lists, cut into so many tasks.

    A repeat of just that finds what was kept; what was kept under other rules is deleted.
    """
    generation = lake.ledger.generations().get("downloads", (0, 0))[1]
    rules = f"{spool.FOLDER}/{generation}-{fingerprint}"
    for path in {"/".join(path.split("/")[:2]) for path in lake.storage.files(spool.FOLDER)} - {rules}:
        spool.clear(lake.storage, path)
    name = hashlib.sha256(json.dumps([list(works), tasks, lists]).encode()).hexdigest()[:16]
    return Spool(lake.storage, f"{rules}/{name}")


@contextmanager
def _telling(batch: str, number: int, tally: Tally) -> Iterator[None]:
    """Sends the driver what `tally` says, every few seconds and at the end."""
    worker = _worker()
    ended = threading.Event()

    def tell() -> None:
        slowest = sorted(dict(tally.seconds).items(), key=lambda item: -item[1])[:SLOWEST]
        account = {
            "batch": batch,
            "task": number,
            "urls": tally.urls,
            "done": tally.done,
            "success": tally.success,
            "bytes": tally.bytes,
            "slowest": slowest,
            "ended": ended.is_set(),
        }
        if worker is not None:
            worker.log_event(TOPIC, account)

    def keep_telling() -> None:
        while not ended.wait(TELL_SECONDS):
            tell()

    thread = threading.Thread(target=keep_telling, name="telling", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        tell()


def _worker() -> Any:
    try:
        return get_worker()
    except ValueError:  # not in a task
        return None


@dataclass(frozen=True)
class Account:
    """How fetching stands, over all tasks of a run so far."""

    urls: int
    done: int
    success: int
    bytes: int
    seconds: float
    slowest: tuple[tuple[str, float], ...]  # hosts, and the seconds that requests to them took

    def line(self) -> str:
        """One line for people."""
        share = f"{self.success / self.done:.0%}" if self.done else "–"
        seconds = max(self.seconds, 0.1)
        return (
            f"{self.done:,} of {self.urls:,} URLs, {share} with a picture, "
            f"{self.success / seconds:,.1f} pictures/s, {self.bytes / seconds / 1e6:,.1f} MB/s"
        )

    def hosts(self, most: int = 5) -> str:
        """The slowest hosts, for people; empty where none was asked."""
        return ", ".join(f"{host} {seconds:,.0f} s" for host, seconds in self.slowest[:most])


class Watch:
    """Adds up what the tasks of a run tell; on the driver. Tasks that have ended are held as one sum."""

    def __init__(self, told: Callable[[Account], None]) -> None:
        self._told = told
        self._began = time.monotonic()
        self._tasks: dict[tuple[str, int], Mapping[str, Any]] = {}
        self._ended: Mapping[str, Any] | None = None
        self._lock = threading.Lock()

    def account(self) -> Account | None:
        """The sum; None where no task has told anything."""
        with self._lock:
            tasks = [*self._tasks.values(), *([self._ended] if self._ended else [])]
        return Account(seconds=time.monotonic() - self._began, **_sum(tasks)) if tasks else None

    @contextmanager
    def watching(self, client: Client) -> Iterator[Watch]:
        """Listens to the tasks that run on the client's cluster."""
        client.subscribe_topic(TOPIC, self.take)
        try:
            yield self
        finally:
            client.unsubscribe_topic(TOPIC)

    def take(self, event: tuple[Any, Mapping[str, Any]]) -> None:
        """Takes in what a task tells."""
        _, task = event
        with self._lock:
            if task["ended"]:
                self._tasks.pop((task["batch"], task["task"]), None)
                self._ended = _sum([task, *([self._ended] if self._ended else [])])
            else:
                self._tasks[task["batch"], task["task"]] = task
        if (account := self.account()) is not None:
            self._told(account)


def _sum(tasks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    hosts = sorted((tuple(pair) for task in tasks for pair in task["slowest"]), key=lambda pair: -pair[1])
    sums = {name: sum(task[name] for task in tasks) for name in ("urls", "done", "success", "bytes")}
    return {**sums, "slowest": tuple(hosts[:SLOWEST])}
