"""Time travel: a release, a moment of the past, or native versions, resolved to what a reader sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lakehouse.errors import UsageError
from lakehouse.events import Events, Pins
from lakehouse.lake import Lake

At = str | datetime | Sequence[str]  # a moment, TABLE=VERSION, or several of these


@dataclass(frozen=True)
class Moment:
    """What a reader sees who does not look at head."""

    what: str  # in words
    pins: Pins
    versions: Mapping[str, int] = field(
        default_factory=dict
    )  # tables read at a native version, with all rows
    views: Mapping[str, str] | None = None  # name -> SELECT, as recorded; None: those of today
    time: datetime | None = None  # of the release, or the time that was asked for


def resolve(lake: Lake, release: str | None = None, at: At = ()) -> Moment:
    """The moment that `release` names, or `at`: an ISO 8601 time, `TABLE=VERSION`, or both.

    At a time, a reader sees the batches that were finished by then, with the views and settings of today; a
    time without a zone is UTC. Raises UsageError for what does not exist, lies ahead or contradicts itself.
    """
    times, versions = _parsed(at)
    if release is not None:
        if times or versions:
            raise UsageError("a release reads what it pinned: leave out --at")
        from lakehouse.releases import get  # here, because releases record views, which read moments

        found = get(lake, release)
        return Moment(f"release {release}", found.pins, {}, found.views, found.at)
    if len(times) > 1:
        raise UsageError("--at takes one time; tables at native versions beside it: --at TABLE=VERSION")
    words = [*(f"{time:%Y-%m-%d %H:%M:%S %Z}" for time in times), *(f"{n}={v}" for n, v in versions.items())]
    pins = _pins(lake, times[0]) if times else lake.pins()
    return Moment("the lake at " + ", ".join(words), pins, versions, time=times[0] if times else None)


def _pins(lake: Lake, time: datetime) -> Pins:
    if time > datetime.now(UTC):
        raise UsageError(f"--at {time:%Y-%m-%dT%H:%M:%SZ} lies ahead: leave it out to read the lake as it is")
    state = lake.ledger.state()
    pins = state.until(time).pins()
    if not pins:
        first = min((event["at"] for event in state.done()), default=None)
        there = (
            "it has none yet"
            if first is None
            else f"the first batch was finished at {first:%Y-%m-%dT%H:%M:%S.%fZ}"
        )
        raise UsageError(f"the lake had no rows at {time:%Y-%m-%dT%H:%M:%SZ}: {there}")
    gone = [key for key, pin in pins.items() if _is_dropped(state, key, pin)]
    if gone:
        raise UsageError(
            f"the rows that {', '.join(sorted(gone))} had at {time:%Y-%m-%dT%H:%M:%SZ} were cleaned up "
            "after a rebuild: only a release keeps such rows"
        )
    return pins


def _is_dropped(state: Events, key: str, pin: tuple[int, int]) -> bool:
    numbers = {event["generation"] for event in state.done(key) if pin[0] <= event["batch"] <= pin[1]}
    return any((key, number) in state.dropped() for number in numbers)


def _parsed(at: At) -> tuple[list[datetime], dict[str, int]]:
    times: list[datetime] = []
    versions: dict[str, int] = {}
    for given in [at] if isinstance(at, str | datetime) else at:
        if isinstance(given, datetime):
            times.append(_utc(given))
            continue
        name, equals, number = given.partition("=")
        try:
            if equals:
                versions[name] = int(number)
            else:
                times.append(_utc(datetime.fromisoformat(given)))
        except ValueError as error:
            raise UsageError(
                f"--at {given}: expected TABLE=VERSION, where VERSION is a whole number, "
                "or a time such as 2026-11-22T10:00Z"
            ) from error
    return times, versions


def _utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
