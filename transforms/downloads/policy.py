"""Manners: what robots.txt and the headers of an answer say about fetching and using a picture."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

from protego import Protego
from yarl import URL

from transforms.downloads.resolve import mapping
from transforms.downloads.rules import ROBOTS_HOSTS, ROBOTS_SECONDS, DownloadRules, Network
from transforms.downloads.status import DownloadError, DownloadStatus

# Google's robots meta tag specification: directives that have a value after a colon, which therefore is not
# the colon after a user agent's name.
_VALUED = {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
_NAME = re.compile(r"[a-z*][a-z0-9_-]{0,39}")  # of a directive or crawler: no longer ones are in use


def opt_outs(robots_tags: Iterable[str], tdm_reservation: str | None, product: str) -> list[str]:
    """The directives of an answer's headers that are addressed to us, such as "x-robots-tag: noai".

    `robots_tags`: the values of all X-Robots-Tag headers. A value is a list of directives; after "name:",
    they are for that crawler alone (`product`, in lower case, or "*" is us), as Google's specification says
    and img2dataset reads it. `tdm_reservation`: the TDM-Reservation header, "1" where rights are reserved
    (W3C community group report "TDM Reservation Protocol").
    """
    signals = [f"x-robots-tag: {name}" for value in robots_tags for name in _directives(value, product)]
    if tdm_reservation is not None and tdm_reservation.strip() == "1":
        signals.append("tdm-reservation: 1")
    return list(dict.fromkeys(signals))


def _directives(value: str, product: str) -> list[str]:
    found, ours = [], True
    for piece in value.lower().split(","):
        name, colon, rest = (part.strip() for part in piece.partition(":"))
        if colon and name in _VALUED:
            continue
        if colon and (not name or _NAME.fullmatch(name)):
            ours = name in ("", "*", product)
            name = rest
        if ours and _NAME.fullmatch(name):
            found.append(name)
    return found


def refuse_opt_outs(signals: Iterable[str], rules: DownloadRules) -> None:
    """Raises DownloadError with status opt_out if `rules` honour one of the `signals`."""
    if not rules.honour_opt_outs:
        return
    refused = {f"x-robots-tag: {name}" for name in rules.opt_out_directives} | {"tdm-reservation: 1"}
    for signal in signals:
        if signal in refused:
            raise DownloadError(DownloadStatus.OPT_OUT, signal)


@dataclass(frozen=True)
class Robots:
    """What is known of a host's robots.txt: its rules, None for "all allowed", or why none could be had."""

    rules: Protego | None = None
    failure: DownloadError | None = None

    def check(self, url: URL, product: str) -> None:
        """Raises DownloadError if `url` may not be fetched."""
        if self.failure is not None:
            raise DownloadError(self.failure.status, self.failure.error)
        if self.rules is not None and not self.rules.can_fetch(str(url), product):
            raise DownloadError(DownloadStatus.ROBOTS_DISALLOWED, "disallowed by robots.txt")


class RobotsCache:
    """robots.txt of each origin: asked for once per partition, answers kept in the process for 24 hours.

    Those of hosts in `Network.resolve` are not kept: they are servers of our own, which come and go.
    """

    _kept: ClassVar[OrderedDict[object, tuple[float, Robots]]] = OrderedDict()
    _lock = threading.Lock()  # partitions run in several threads of a process

    def __init__(self, fetch: Callable[[URL], Awaitable[Robots]], network: Network) -> None:
        self._fetch = fetch
        self._network = network
        self._asked: dict[URL, asyncio.Task[Robots]] = {}

    async def check(self, url: URL) -> None:
        """Raises DownloadError if robots.txt of the URL's origin forbids it, or could not be asked."""
        origin = url.origin()
        if origin not in self._asked:
            self._asked[origin] = asyncio.create_task(self._robots(origin))
        robots = await self._asked[origin]
        robots.check(url, self._network.product)

    async def _robots(self, origin: URL) -> Robots:
        if mapping(origin.host or "", self._network.resolve) is not None:
            return await self._fetch(origin.with_path("/robots.txt"))
        key = (self._network.user_agent, origin)
        with self._lock:
            until, robots = self._kept.get(key, (0.0, Robots()))
        if time.monotonic() < until:
            return robots
        robots = await self._fetch(origin.with_path("/robots.txt"))
        if robots.failure is None:  # a host out of reach may be back for the next partition
            with self._lock:
                self._kept[key] = (time.monotonic() + ROBOTS_SECONDS, robots)
                self._kept.move_to_end(key)
                while len(self._kept) > ROBOTS_HOSTS:
                    self._kept.popitem(last=False)
        return robots


def parse_robots(body: bytes) -> Robots:
    """The rules in the bytes of a robots.txt; what is no robots.txt has none."""
    return Robots(rules=Protego.parse(body.decode("utf-8-sig", "replace")))
