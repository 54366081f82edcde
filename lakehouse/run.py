"""What is to do, and doing it: plan, run, rebuild."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from distributed import Client

from lakehouse import lineage, removal, views
from lakehouse.batch import recover, run_batch
from lakehouse.errors import ConflictError, LakeError, RulesChangedError, UsageError
from lakehouse.lake import Lake, batches_of, model_errors
from lakehouse.stages import (
    ALL,
    UNREADABLE,
    Options,
    Stage,
    chosen,
    downstream,
    retried,
    unit_of,
    units_behind,
)
from lakehouse.stages import stages as stages_of
from transforms.candidates.reasons import Note

READ_BY_VIEWS = ("candidates", "downloads", "scores", "duplicates")
WAIT_SECONDS = 2.0  # between two looks at another driver's claim


@dataclass(frozen=True)
class Plan:
    """What a stage has yet to do."""

    stage: Stage
    works: tuple[str, ...]
    done: int
    stale: tuple[str, ...] = ()  # why its rows are out of date: the rules that changed
    rows: int | None = None  # rows of input, where the ledger knows them
    seconds: float | None = None  # to expect, at the rate of earlier batches
    bytes: int | None = None
    unreadable: tuple[str, ...] = ()  # units that are done without having been read

    @property
    def fresh(self) -> bool:
        """Nothing to do."""
        return not self.works and not self.stale


@dataclass
class Progress:
    """What a run tells while it runs; the command line draws it."""

    start: Callable[[Plan, int], None] = field(default=lambda plan, batches: None)
    step: Callable[[int, int, int], None] = field(default=lambda done, total, rows: None)
    batch: Callable[[Stage, int], None] = field(default=lambda stage, works: None)
    end: Callable[[Stage], None] = field(default=lambda stage: None)


@model_errors()
def plan(lake: Lake, stage: Stage, options: Options | None = None) -> Plan:
    """Compares the stage's driving input with what the ledger has as done.

    Reads the ledger alone, and for a retry counts the URLs that it is for.
    """
    selection = _selection(lake, stage, options or Options())
    generation = lake.ledger.generations().get(stage.name, (0, 0))[1]
    history = [e for e in lake.ledger.done(stage.name) if e["generation"] == generation]
    finished = {work for e in history if e["selection"] == selection for work in e["units"]}
    available = _available(lake, stage)
    works = tuple(work for work in available if work not in finished)
    unreadable = _unreadable(history)
    number = max((e["batch"] for e in history), default=0) + 1
    retry = options.retry if options else ()
    asked_again = None
    if retry and retry != UNREADABLE and stage.kind == "downloads":
        asked_again = _failed(lake, retry)
        works = () if asked_again == 0 else (f"retry-{'-'.join(retry)}:{number}",)
    if retry == UNREADABLE and stage.kind == "candidates":
        works = tuple(retried(unit, number) for unit in unreadable)
    own = [e for e in history if not lineage.is_import(e)]
    stale = _changed(lake, stage, own[-1]) if own else ()
    if stage.follows and not stale:
        stale = _overtaken(finished, available)
    if stage.follows and stale:
        works = tuple(available)
    if options and options.units:
        works = tuple(work for work in works if _units(lake, stage, work) <= options.units)
    rows = _input_rows(lake, stage, works)
    spent = sum(e["seconds"] for e in history)
    seen = _input_rows(lake, stage, [w for e in history for w in e["units"]])
    share = rows / seen if seen else None
    return Plan(
        stage,
        works,
        len(finished & set(available)),
        stale,
        asked_again or (rows if stage.source != "sources" else None),
        spent * share if share is not None else None,
        int(sum(e["bytes"] for e in history) * share) if share is not None else None,
        unreadable,
    )


def _units(lake: Lake, stage: Stage, work: str) -> set[str]:
    """The units of input that a work of `stage` is about."""
    return {unit_of(work)} if stage.source == "sources" else units_behind(lake, [work])


def _failed(lake: Lake, statuses: Sequence[str]) -> int | None:
    """URLs whose newest attempt ended in one of `statuses`; None where head is not what would be retried."""
    pin = lake.pins(building=True).get("downloads")
    if pin is None or pin != lake.pins().get("downloads"):
        return None
    listed = ", ".join("'" + status.replace("'", "''") + "'" for status in statuses)
    counted = views.query(lake, f"select count(*) from newest_downloads where status in ({listed})")
    return int(counted.column(0)[0].as_py())


def _input_rows(lake: Lake, stage: Stage, works: Sequence[str]) -> int:
    """Rows of the batches that `works` name; 0 for works of another kind."""
    if not any(work.startswith(f"{stage.source}:") for work in works):
        return 0
    rows = {e["batch"]: e["rows"] for e in lake.ledger.done(stage.source)}
    named = [work for work in works if work.startswith(f"{stage.source}:")]
    return sum(rows.get(batch, 0) for batch in batches_of(named)[stage.source])


def _overtaken(finished: set[str], available: Sequence[str]) -> tuple[str, ...]:
    """The batches whose rows would be other ones now: works that are done and no longer asked for."""
    gone = sorted({work.partition("@")[0] for work in finished.difference(available)})
    return (f"what the rows of {len(gone)} batches follow from: other batches came",) if gone else ()


def _unreadable(history: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The units that were passed over when they were read last, in the order of their works."""
    found: dict[str, bool] = {}
    for event in history:
        noted = {c["unit"] for c in event["counts"] if c["name"] == f"note:{Note.UNREADABLE}"}
        found.update({unit: unit in noted for unit in map(unit_of, event["units"])})
    return tuple(unit for unit, passed_over in found.items() if passed_over)


def _selection(lake: Lake, stage: Stage, options: Options) -> str:
    """What of its works the stage is asked for: all, or a view as it stands.

    A view's rows change with its SQL and with the tables that it reads, so both are in the selection:
    when either moves on, every work is looked at again, and only rows that are missing are computed.
    """
    if not options.view:
        return ALL
    if stage.kind != "embeddings":
        raise UsageError(
            f"--view chooses what is embedded; {stage.name} works on all: `lake run embeddings --view …`"
        )
    pins = {
        key: pin for key, pin in lake.pins(building=True).items() if key.partition("/")[0] in READ_BY_VIEWS
    }
    state = json.dumps([views.definition(lake, options.view), sorted(pins.items())])
    return f"view:{options.view}@{hashlib.sha256(state.encode()).hexdigest()[:16]}"


def _available(lake: Lake, stage: Stage) -> list[str]:
    if stage.source == "sources":
        return [source.unit for source in lake.ledger.sources()]
    if stage.works is not None:
        return list(stage.works(lake))
    pin = lake.pins(building=True).get(stage.source)
    batches = list(range(pin[0], pin[1] + 1)) if pin else []
    if stage.units is not None:
        done = {e["batch"]: map(unit_of, e["units"]) for e in lake.ledger.done(stage.source)}
        batches = [batch for batch in batches if not stage.units.isdisjoint(done.get(batch, ()))]
    return [f"{stage.source}:{batch}" for batch in batches]


def _changed(lake: Lake, stage: Stage, newest: Mapping[str, Any]) -> tuple[str, ...]:
    """The rules that are not those of `newest`, the batch done last."""
    if newest["fingerprint"] == stage.fingerprint():
        return ()
    claims = [e for e in lake.ledger.events() if e["event"] == "claim" and e["token"] == newest["token"]]
    if not claims:
        return ()  # of a pushed copy, in which nothing is made
    before, now = json.loads(claims[0]["details"]), json.loads(_rules(stage))
    names = sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k))
    return tuple(f"{name}: {before.get(name)!r} -> {now.get(name)!r}" for name in names)


def _rules(stage: Stage) -> str:
    return json.dumps(stage.rules(), sort_keys=True, default=str)


def run(
    lake: Lake,
    client: Client,
    stages: Sequence[Stage],
    options: Options | None = None,
    progress: Progress | None = None,
) -> int:
    """Does what `stages` have not done, upstream first; returns the number of batches committed.

    Each batch is committed as it finishes, so that an interrupted run goes on where it was. Raises
    RulesChangedError where rows of other rules are there: `rebuild` makes them anew. A removal that was
    interrupted is completed first.
    """
    options, progress = options or Options(), progress or Progress()
    removal.complete(lake, client)
    committed = sum(_run_stage(lake, client, stage, options, progress) for stage in stages)
    _change_over(lake)
    return committed


def _run_stage(lake: Lake, client: Client, stage: Stage, options: Options, progress: Progress) -> int:
    """All batches of one stage. With `wait`, what another driver holds is planned anew when it lets go."""
    committed = 0
    while True:
        todo = plan(lake, stage, options)
        if todo.stale and stage.follows:  # nothing is lost, and nothing but reading is to do
            lake.ledger.rebuild(stage.keys, again=stage.keys)
            todo = plan(lake, stage, options)
        if todo.stale:
            raise RulesChangedError(
                f"{stage.name}: its rules changed since its rows were made ({'; '.join(todo.stale)}): "
                f"`lake rebuild {stage.kind}` makes them anew; or put the settings back"
            )
        groups = _groups(lake, todo)
        progress.start(todo, len(groups))
        try:
            for works in groups:
                run_one(lake, client, stage, works, options, progress)
                progress.batch(stage, len(works))
                committed += 1
        except ConflictError:
            if not options.wait:
                raise
            time.sleep(WAIT_SECONDS)
            continue
        progress.end(stage)
        return committed


def _change_over(lake: Lake) -> None:
    """Lets readers see the generations that are being built, once all of them are complete."""
    building = _building(lake)
    if building and all(plan(lake, stage).fresh for stage in building):
        lake.ledger.switch()


def _building(lake: Lake) -> list[Stage]:
    """The stages with a generation that readers do not see yet."""
    keys = {key for key, (current, made) in lake.ledger.generations().items() if made > current}
    return [stage for stage in stages_of(lake) if keys & set(stage.keys)] if keys else []


def _groups(lake: Lake, todo: Plan) -> list[tuple[str, ...]]:
    """Works in their order, cut into batches: several crawl files, or one batch of a table."""
    size = lake.settings.batches.units if todo.stage.source == "sources" else todo.stage.at_once
    return [todo.works[i : i + size] for i in range(0, len(todo.works), size)]


@model_errors()
def run_one(
    lake: Lake, client: Client, stage: Stage, works: Sequence[str], options: Options, progress: Progress
) -> None:
    """One batch: claims it, computes it, commits it. What fails is given up, and nothing of it is kept."""
    selection = _selection(lake, stage, options)
    claim = lake.ledger.claim(stage.keys, works, stage.fingerprint(), selection, _rules(stage))
    try:
        if claim.takeover:
            recover(lake, claim)
        frames = stage.build(lake, works, options)
        run_batch(lake, client, claim, frames, stage.needs, progress.step, stage.origin(lake, works))
    except ConflictError:
        raise  # the batch is somebody else's now
    except BaseException:
        # Ctrl-C included: the next run must not have to wait for a lease
        with suppress(LakeError):
            lake.ledger.renew(claim)  # refuses if the batch is done after all, or somebody else's
            recover(lake, claim)
            lake.ledger.abandon(claim)
        raise


def rebuild(
    lake: Lake,
    client: Client,
    names: Sequence[str],
    options: Options | None = None,
    progress: Progress | None = None,
) -> int:
    """A new generation of the stages and of what was made from them; readers change over at the end.

    Interrupted, it is continued by `run` or by calling it again; stages whose rules have changed since
    begin once more.
    """
    asked = [*chosen(lake, names), *_building(lake)]
    stale = _with_downstream(lake, [stage for stage in _building(lake) if plan(lake, stage).stale])
    have = {event["key"] for event in lake.ledger.done()} | {stage.name for stage in asked}
    affected = [stage for stage in _with_downstream(lake, asked) if stage.name in have]
    lake.ledger.rebuild(_keys(affected), _keys(stale))
    return run(lake, client, affected, options, progress)


def _with_downstream(lake: Lake, some: Sequence[Stage]) -> list[Stage]:
    """`some` and what is made from what they make, upstream first."""
    names = {other.name for stage in some for other in downstream(lake, stage)}
    return [stage for stage in stages_of(lake) if stage.name in names]


def _keys(some: Sequence[Stage]) -> list[str]:
    return [key for stage in some for key in stage.keys]
