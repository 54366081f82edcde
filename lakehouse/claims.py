"""Claims: who may write a batch, and who may not while somebody else does.

Each decision is made on one state of the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from lakehouse.errors import ConflictError
from lakehouse.events import REMOVALS, Event, Events, is_alive, owner

LEASE = timedelta(minutes=10)  # how long a claim holds without a sign of life from another machine

ACTIVE: set[str] = set()  # tokens of this process's own claims


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


def holds(claim: Event, state: Events) -> bool:
    """Whether the driver that made the claim may still be at work."""
    return is_alive(claim, state.lease_until(claim["token"]), ACTIVE)


def refuse_live(claim: Event, state: Events) -> None:
    """Raises ConflictError, with its identity, while the driver that made the claim may be at work."""
    if holds(claim, state):
        until = state.lease_until(claim["token"])
        raise ConflictError(
            f"{claim['key']}: batch {claim['batch']} is claimed by {claim['owner']} "
            f"until {until:%H:%M:%S} UTC: wait for it (--wait), or stop that driver"
        )


def refuse_removal(key: str, state: Events) -> None:
    """Nobody adds rows while some are taken out, or before an interrupted removal is complete."""
    removal = state.unfinished(REMOVALS)
    if removal is not None and key != REMOVALS:
        refuse_live(removal, state)
        raise ConflictError(
            f"{REMOVALS}: removal {removal['batch']} was interrupted: `lake remove --yes` completes it"
        )


def given_up(key: str, state: Events) -> Iterable[Mapping[str, Any]]:
    """Ends what a dead driver has claimed of `key`, should it wake up. Raises where the driver is alive."""
    left = state.unfinished(key)
    if left is not None:
        refuse_live(left, state)
        names = ("key", "batch", "generation", "token", "attempt")
        yield {"event": "abandon", "owner": owner(), **{name: left[name] for name in names}}


def refuse_done(state: Events, key: str, generation: int, selection: str, works: Sequence[str]) -> None:
    """Two drivers may have planned the same works: the later one must not make their rows again."""
    for event in state.done(key):
        both = set(works) & set(event["units"] or ())
        if both and (event["generation"], event["selection"]) == (generation, selection):
            raise ConflictError(
                f"{key}: another driver has done {min(both)} meanwhile, in batch {event['batch']}: run again"
            )


def own(claim: Claim, state: Events) -> Event:
    """The claim's own event. Raises `ConflictError` if somebody else took the batch over, or if it ended."""
    current = state.unfinished(claim.keys[0])
    if current is None or current["token"] != claim.token:
        taker = f"taken over by {current['owner']}" if current else "ended"
        raise ConflictError(
            f"{claim.keys[0]}: the claim of batch {claim.batch} was {taker}: nothing is kept here"
        )
    return current
