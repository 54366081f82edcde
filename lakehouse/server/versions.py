"""The lake as it is and at its releases, each opened once and kept open while people ask for it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from functools import cached_property
from pathlib import Path
from typing import Any

from lakehouse import releases, views
from lakehouse.errors import UsageError
from lakehouse.lake import Lake
from lakehouse.moments import resolve
from lakehouse.search import Searcher
from lakehouse.server.limits import Limits
from lakehouse.server.sessions import Sessions

LOOK_SECONDS = 1.0  # between two looks at whether the lake has changed


class Opened:
    """One version of the lake: its sessions, and what is asked of it again and again."""

    def __init__(self, lake: Lake, release: str | None, limits: Limits) -> None:
        self.lake = lake
        self.release = release
        self.sessions = Sessions(lake, limits)
        self.columns: tuple[str, ...] = tuple(self.sessions.rows("select * from pairs limit 0").column_names)
        self._searchers: dict[str, Searcher] = {}
        self._making = threading.Lock()

    def searcher(self, model: str | None) -> Searcher:
        """The searcher of a model; None means the lake's first."""
        name = model or self.lake.settings.models[0].name
        with self._making:
            if name not in self._searchers:
                self._searchers[name] = Searcher(self.lake, name)
            return self._searchers[name]

    @cached_property
    def unsafe(self) -> float | None:
        """The value of punsafe above which a picture is unsafe; None where nobody knows."""
        rows = self.sessions.rows("select value from active_thresholds where rule = 'punsafe'")
        values = rows["value"].to_pylist()
        return values[0] if values else None

    @cached_property
    def views(self) -> list[dict[str, str]]:
        """The views whose rows are pairs, with the first line of what they say of themselves."""
        return [
            {"name": name, "about": _about(text)}
            for name, text in sorted(views.definitions(self.lake).items())
            if text.startswith(f"-- {name}: pairs") or _own(self.lake, name)
        ]


def _about(text: str) -> str:
    first = text.partition("\n")[0]
    return first.partition(": ")[2] if first.startswith("-- ") else ""


def _own(lake: Lake, name: str) -> bool:
    return lake.storage.is_local and (Path(lake.storage.root) / "sql" / f"{name}.sql").is_file()


class Versions:
    """Opens what is asked for, keeps the `limits.versions` asked for last, and follows the lake.

    Every version is opened anew after any change: a removal takes rows out of releases too.
    """

    def __init__(self, lake: Lake, limits: Limits) -> None:
        self._lake = lake
        self._limits = limits
        self._open: OrderedDict[str | None, Opened] = OrderedDict()
        self._lock = threading.Lock()
        self._looked = 0.0
        self._state: Any = None

    @property
    def lake(self) -> Lake:
        """The lake that is served."""
        return self._lake

    def names(self) -> list[str]:
        """The releases that can be asked for."""
        if self._lake.moment is not None:
            return []
        return [release.name for release in releases.list_releases(self._lake)]

    def get(self, release: str | None = None) -> Opened:
        """The version of that name, or the lake as it is. Raises UsageError where there is none."""
        with self._lock:
            self._look()
            if release not in self._open:
                self._open[release] = Opened(self._at(release), release, self._limits)
                while len(self._open) > self._limits.versions:
                    self._open.popitem(last=False)
            self._open.move_to_end(release)
            return self._open[release]

    def changed(self) -> None:
        """Something was changed from here: the next question sees it."""
        with self._lock:
            self._looked = 0.0

    def state(self) -> Any:
        """What differs once the lake has changed: for what is kept of answers."""
        with self._lock:
            self._look()
            return self._state

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS and self._looked:
            return
        self._looked = now
        state = (len(self._lake.ledger.state().rows), _folder(self._lake))
        if state != self._state:
            self._state = state
            self._open.clear()

    def _at(self, release: str | None) -> Lake:
        if release is None:
            return self._lake
        if self._lake.moment is not None:
            raise UsageError(f"this server shows {self._lake.moment.what} alone")
        told = Lake(self._lake.settings)
        return Lake(self._lake.settings, resolve(told, release))


def _folder(lake: Lake) -> tuple[tuple[str, float], ...]:
    """The user's own views, by name and time."""
    if not lake.storage.is_local:
        return ()
    folder = Path(lake.storage.root) / "sql"
    return tuple((path.name, path.stat().st_mtime) for path in sorted(folder.glob("*.sql")))
