"""What the rows of `stored_pairs` follow from, told by the ledger alone.

A pair's row joins its candidate with attempts at its URL and with its scores. Which batches of those can
say something about the candidates of one batch, the ledger knows: each batch names its works. So the
stored rows of a batch of candidates are out of date exactly when such a batch has come or gone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from lakehouse.events import Event, Events, Pins

TABLE = "stored_pairs"
IMPORT = "import:"  # begins the name of a work that reads what another tool made
FETCHED_BEFORE = "drop:fetched_before"  # counts URLs that an earlier batch of downloads had asked for
_BATCH = re.compile(r"(candidates|downloads|embeddings_[^:]+):(\d+)")

Sources = dict[str, list[int]]  # per ledger key, the batches that say something


def fingerprint(rules: Mapping[str, Any]) -> str:
    """16 hex digits over a stage's rules."""
    text = json.dumps(rules, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_import(event: Event) -> bool:
    """Whether a batch was made from files of another tool, and not by the stage of its table."""
    return any(work.startswith(IMPORT) for work in event["units"])


def sources(state: Events, pins: Pins, scorers: Iterable[str]) -> dict[int, Sources]:
    """Per batch of candidates in `pins`, the batches of downloads and scores that can tell of its rows.

    A batch with a work that is no batch (scores of another origin, say) can tell of every row.
    """
    low, high = pins.get("candidates", (1, 0))
    found: dict[int, Sources] = {batch: {} for batch in range(low, high + 1)}
    every = frozenset(found)
    done = {(e["key"], e["batch"]): e for e in state.done()}
    about: dict[tuple[str, int], frozenset[int]] = {}

    def told_of(key: str, batch: int) -> frozenset[int]:
        if key == "candidates":
            return frozenset([batch])
        if (key, batch) not in about:
            event = done.get((key, batch))
            works = event["units"] if event else [""]
            about[key, batch] = frozenset[int]().union(*[of_work(work, key, batch) for work in works])
        return about[key, batch]

    def of_work(work: str, key: str, batch: int) -> frozenset[int]:
        named = _BATCH.fullmatch(work)
        if named:
            return told_of(named[1], int(named[2]))
        if work.startswith("retry-") and key == "downloads":  # of URLs that batches before it asked for
            return frozenset[int]().union(*[told_of(*k) for k in done if k[0] == key and k[1] < batch])
        return every

    for key in ("downloads", *sorted({f"scores/{name}" for name in scorers})):
        first, last = pins.get(key, (1, 0))
        for batch in range(first, last + 1):
            if (key, batch) in done and not done[key, batch]["rows"]:
                continue  # a retry that found nothing to try, and what came of it
            for one in told_of(key, batch) & every:
                found[one].setdefault(key, []).append(batch)
    return found


def works(state: Events, pins: Pins, scorers: Iterable[str]) -> dict[str, int]:
    """The works of the stage pairs, each with its batch of candidates.

    A work names the batch and what its rows follow from: `candidates:7@3f0c…`.
    """
    return {
        f"candidates:{batch}@{_digest(told)}": batch for batch, told in sources(state, pins, scorers).items()
    }


def _digest(told: Sources) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


def is_current(state: Events, pins: Pins, scorers: Iterable[str], rules: Mapping[str, Any]) -> bool:
    """Whether the stored rows that `pins` show are what the join over `pins` gives, under these `rules`."""
    stored = _pinned(state, pins)
    if not stored:
        return False
    made = {work for event in stored for work in event["units"]}
    same_rules = {event["fingerprint"] for event in stored} == {fingerprint(rules)}
    return same_rules and made == works(state, pins, scorers).keys()


def _pinned(state: Events, pins: Pins) -> list[Event]:
    low, high = pins.get(TABLE, (1, 0))
    return [event for event in state.done(TABLE) if low <= event["batch"] <= high]
