"""Manners: what a host says about fetching and using its pictures, in files of its own and in its answers."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import ClassVar
from weakref import WeakValueDictionary

from protego import Protego
from yarl import URL

from transforms.downloads.credentials import REFUSALS
from transforms.downloads.rules import POLICY_BYTES, POLICY_HOSTS, POLICY_SECONDS, DownloadRules
from transforms.downloads.status import DownloadError, DownloadStatus

ROBOTS = "/robots.txt"
TDMREP = "/.well-known/tdmrep.json"
TDMREP_SIGNAL = "tdmrep.json: 1"

# Google's robots meta tag specification: directives that have a value after a colon, which therefore is not
# the colon after a user agent's name.
_VALUED = {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
_NAME = re.compile(r"[a-z*][a-z0-9_-]{0,39}")  # of a directive or crawler: no longer ones are in use
_VALUE_CHARS = 60  # of a directive's value are stored: the longest date form has half as many
_SITEMAP = re.compile(rb"(?im)^[ \t]*sitemap[ \t]*:.*$")
_LAPSE = "x-robots-tag: unavailable_after: "


def opt_outs(
    robots_tags: Iterable[str],
    tdm_reservation: str | None,
    product: str,
    content_usage: Iterable[str] = (),
) -> list[str]:
    """What an answer's headers say to us about the use of its body, such as "x-robots-tag: noai".

    `robots_tags`: the values of all X-Robots-Tag headers. A value is a list of directives; after "name:",
    they are for that crawler alone (`product`, in lower case, or "*" is us), as Google's specification says
    and img2dataset reads it. `tdm_reservation`: the TDM-Reservation header, "1" where rights are reserved
    (W3C community group report "TDM Reservation Protocol"). `content_usage`: the Content-Usage headers of
    the IETF's AI preferences, which are a draft yet: stored, not honoured.
    """
    signals = [f"x-robots-tag: {name}" for value in robots_tags for name in _directives(value, product)]
    if tdm_reservation is not None and tdm_reservation.strip() == "1":
        signals.append("tdm-reservation: 1")
    for value in content_usage:
        text = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        signals.append(f"content-usage: {text.strip()[:_VALUE_CHARS].lower()}")
    return list(dict.fromkeys(signals))


def _directives(value: str, product: str) -> list[str]:
    found: list[str] = []
    ours, dated = True, False
    for piece in value.lower().split(","):
        name, colon, rest = (part.strip() for part in piece.partition(":"))
        if dated and name[:1].isdigit():  # "friday, 25-jun-10 15:00:00 pst": the date had a comma in it
            found[-1] = f"{found[-1]}, {piece.strip()}"[: len("unavailable_after: ") + _VALUE_CHARS]
            dated = False
            continue
        dated = False
        if colon and name in _VALUED:
            if ours and (text := _printable(rest)):
                found.append(f"{name}: {text}")
                dated = name == "unavailable_after"
            continue
        if colon and (not name or _NAME.fullmatch(name)):
            ours = name in ("", "*", product)
            name = rest
        if ours and _NAME.fullmatch(name):
            found.append(name)
    return found


def _printable(text: str) -> str:
    return "".join(char for char in text[:_VALUE_CHARS] if char.isprintable() and char.isascii()).strip()


def refuse_opt_outs(signals: Iterable[str], rules: DownloadRules) -> None:
    """Raises DownloadError with status opt_out if `rules` honour one of the `signals`."""
    if not rules.honour_opt_outs:
        return
    refused = {f"x-robots-tag: {name}" for name in rules.opt_out_directives} | {
        "tdm-reservation: 1",
        TDMREP_SIGNAL,
        *REFUSALS,
    }
    for signal in signals:
        if signal in refused or _lapsed(signal):
            raise DownloadError(DownloadStatus.OPT_OUT, signal)


def _lapsed(signal: str) -> bool:
    """Whether the signal is a date after which the page shall not be shown, and that date is past."""
    if not signal.startswith(_LAPSE):
        return False
    text = signal.removeprefix(_LAPSE)
    for parse in (datetime.fromisoformat, parsedate_to_datetime):  # ISO 8601; RFC 822 and 850
        try:
            when = parse(text.upper())
        except (ValueError, IndexError):
            continue
        return when.replace(tzinfo=when.tzinfo or UTC) < datetime.now(UTC)
    return False


@dataclass(frozen=True)
class Robots:
    """What is known of an origin's robots.txt: its rules, None for "all allowed", or why it has none."""

    rules: Protego | None = None
    failure: DownloadError | None = None

    def check(self, url: URL, product: str) -> None:
        """Raises DownloadError if `url` may not be fetched."""
        if self.failure is not None:
            raise DownloadError(self.failure.status, self.failure.error)
        if not self.allows(url, product):
            raise DownloadError(DownloadStatus.ROBOTS_DISALLOWED, "disallowed by robots.txt")

    def allows(self, url: URL, product: str) -> bool:
        """Whether rules that could be had allow `url`."""
        return self.failure is None and (self.rules is None or self.rules.can_fetch(str(url), product))

    def delay(self, product: str) -> float:
        """Seconds between two requests that it asks for (Crawl-delay), 0 if it does not."""
        asked = self.rules.crawl_delay(product) if self.rules is not None else None
        return max(0.0, asked or 0.0)


@dataclass(frozen=True)
class Policy:
    """What an origin says of itself before it is asked for a picture.

    `reserved`: the reservations of its tdmrep.json, as rules of robots.txt that disallow them.
    """

    robots: Robots = Robots()
    reserved: Protego | None = None
    size: int = 0  # bytes of the files that were read

    def reserves(self, url: URL) -> bool:
        """Whether tdmrep.json reserves the rights in what is at `url`."""
        return self.reserved is not None and not self.reserved.can_fetch(str(url), "*")


class Policies:
    """The policies that a process knows, for 24 hours each: from one partition and batch to the next."""

    _kept: ClassVar[OrderedDict[object, tuple[float, Policy]]] = OrderedDict()
    _size: ClassVar[int] = 0
    _lock = threading.Lock()  # partitions may run in several threads of a process

    @classmethod
    def get(cls, key: object) -> Policy | None:
        """The policy kept under `key`, if there is one and it is not too old."""
        with cls._lock:
            until, policy = cls._kept.get(key, (0.0, None))
            return policy if time.monotonic() < until else None

    @classmethod
    def keep(cls, key: object, policy: Policy) -> None:
        """Remember `policy`; the least lately kept are forgotten for it."""
        with cls._lock:
            _, before = cls._kept.pop(key, (0.0, Policy()))
            cls._kept[key] = (time.monotonic() + POLICY_SECONDS, policy)
            cls._size += policy.size - before.size
            while len(cls._kept) > POLICY_HOSTS or cls._size > POLICY_BYTES:
                _, (_, gone) = cls._kept.popitem(last=False)
                cls._size -= gone.size


_PARSED: WeakValueDictionary[bytes, Protego] = WeakValueDictionary()
# The same robots.txt stands on thousands of hosts of one provider: its rules are held once.


def parse_robots(body: bytes) -> Robots:
    """The rules in the bytes of a robots.txt; what is no robots.txt has none."""
    body = _SITEMAP.sub(b"", body)
    key = hashlib.sha256(body).digest()
    rules = _PARSED.get(key)
    if rules is None:
        rules = _PARSED[key] = Protego.parse(body.decode("utf-8-sig", "replace"))
    return Robots(rules=rules)


def parse_tdmrep(body: bytes) -> Protego | None:
    """The reservations in the bytes of a tdmrep.json; None where it has none, or is none.

    A list of objects with `location`, a path pattern as in robots.txt, and `tdm-reservation`, 0 or 1 (W3C
    community group report "TDM Reservation Protocol", 10 May 2024). Of several patterns that match, the
    longest counts, as in robots.txt.
    """
    try:
        entries = json.loads(body.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None
    lines = []
    for entry in entries if isinstance(entries, list) else []:
        location = entry.get("location") if isinstance(entry, dict) else None
        if isinstance(location, str) and location.isprintable() and location.startswith(("/", "*")):
            reserved = str(entry.get("tdm-reservation")) == "1"
            lines.append(f"{'Disallow' if reserved else 'Allow'}: {location}")
    if not any(line.startswith("Disallow") for line in lines):
        return None
    return Protego.parse("\n".join(["User-agent: *", *lines]))
