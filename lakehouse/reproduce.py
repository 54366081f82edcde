"""Reproduces a release: its stages made again from what it recorded, with today's code, and compared.

The batches that the release pins are done once more in a lake of their own, in the order in which they were
finished, each over the same works with the same rules. So every batch sees what it saw then, and a difference
is found in the first batch that has one.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import dask.dataframe as dd
import pandas as pd
import pyarrow as pa
from distributed import Client

from lakehouse import batch, lineage, removal, run, settings, sqlfiles, tombstones
from lakehouse import lake as lakes
from lakehouse.comparison import Compared, compare
from lakehouse.errors import ConflictError, LakeError, UsageError
from lakehouse.events import REMOVALS, Event
from lakehouse.fingerprints import fingerprint
from lakehouse.lake import Lake
from lakehouse.ledger import Result
from lakehouse.releases import Release, get
from lakehouse.schema import TableSpec
from lakehouse.stages import RETRY, Options, Stage, stages, unit_of
from lakehouse.storage import Storage
from lakehouse.tables import Range
from lakehouse.tables.lance import LanceFormat
from lakehouse.verification import pinned, totals
from transforms import columns
from transforms.candidates.reasons import Note
from transforms.downloads import FETCHED

MARK = "reproduces.json"  # at the new lake's root: which release it reproduces
KEPT = (
    "cluster",
    "batches",
    "network",
    "crawls",
    "reads",
    "writes",
    "thresholds",
)  # of lake.toml, as they are
RULES = ("candidates", "downloads")  # of lake.toml, as the release recorded them
RETRIED = "retry-"  # begins the work of trying failed URLs again


@dataclass(frozen=True)
class Step:
    """One batch of a release: what was done, and what came of it."""

    stage: str
    works: tuple[str, ...]
    selection: str
    rules: Mapping[str, Any]
    done: Mapping[str, Event]  # the event of each ledger key

    @property
    def batch(self) -> int:
        """Its number in the lake that was released."""
        return int(next(iter(self.done.values()))["batch"])


@dataclass
class Outcome:
    """What became of one ledger key."""

    key: str
    verdict: str = "not rebuilt"  # equal, within tolerance, differs, not rebuilt
    batches: int = 0
    rows: int = 0
    largest: float = 0.0  # difference of two numbers
    details: list[str] = field(default_factory=list)  # the first rows that differ, or why nothing was made


def reproduce(
    lake: Lake,
    name: str,
    into: str,
    client: Client,
    refetch: bool = False,
    report: Callable[[Step], None] = lambda step: None,
) -> list[Outcome]:
    """Makes the release `name` again in a new lake at `into`; one outcome per ledger key, upstream first.

    Pictures are taken from the pinned tables, unless `refetch`: then their URLs are asked for again, and what
    has changed on the web differs. What removals have taken out does not come in again, and is not compared:
    the new lake gets the tombstones first. Ends at the first stage that differs. What an interrupted call has
    done is not done again. Raises UsageError where something else is at `into`, ConflictError while a removal
    is not complete, LakeError where today's code or models cannot be made to follow the recorded rules.
    """
    release = get(lake, name)
    if lake.published is not None:
        raise UsageError("a pushed copy does not have what a release was made from: reproduce it at home")
    if removal.pending(lake):
        raise ConflictError("a removal is not complete: wait for it, or `lake remove --yes` completes it")
    steps = _steps(lake, release)
    made = _prepared(lake, release, steps, settings.storage_at(into))
    known = {stage.name: stage for stage in stages(made)}
    outcomes = {key: Outcome(key) for step in steps for key in step.done}
    numbers: dict[tuple[str, int], int] = {}
    absent: set[str] = set()  # works that name batches which are not made again
    for step in steps:
        imported = step.stage not in known or any(work.startswith(lineage.IMPORT) for work in step.works)
        if imported or absent.intersection(work.partition("@")[0] for work in step.works):
            why = (
                "no stage of today makes it: it was imported"
                if imported
                else "it was made of what was imported"
            )
            outcomes[step.stage].details = [why]
            absent.update(f"{key}:{step.batch}" for key in step.done)
            continue
        report(step)
        stage = _faithful(known[step.stage], step)
        if stage.kind == "downloads" and not refetch:
            stage = replace(stage, build=_pinned_downloads(lake, step))
        number = 1 + sum(name == step.stage for name, _ in numbers)
        _do(made, client, stage, _mapped(step.works, numbers), number, step)
        numbers[step.stage, step.batch] = number
        if _differs(lake, made, client, step, number, outcomes):
            break
    return list(outcomes.values())


# ---------------------------------------------------------------------- what was done


def _steps(lake: Lake, release: Release) -> list[Step]:
    """The pinned batches in the order in which they were finished; stored pairs follow from the others."""
    state = lake.ledger.state()
    claims = {event["token"]: event for event in state.rows if event["event"] == "claim"}
    together: dict[str, dict[str, Event]] = {}
    for events in pinned(state.done(), release.pins).values():
        for event in events:
            if event["key"] == lineage.TABLE:
                continue
            together.setdefault(event["token"], {})[event["key"]] = event
    found = []
    for token, done in sorted(together.items(), key=lambda item: min(e["at"] for e in item[1].values())):
        first = next(iter(done.values()))
        stage = "downloads" if "downloads" in done else first["key"]
        rules = json.loads(claims[token]["details"]) if token in claims else {}
        found.append(Step(stage, tuple(first["units"]), first["selection"], rules, done))
    return found


def _prepared(lake: Lake, release: Release, steps: Sequence[Step], storage: Storage) -> Lake:
    """The new lake, with the recorded rules, the views of the release and the same sources."""
    removals = len(lake.ledger.done(REMOVALS))  # one more, and what was made so far is no longer right
    told = {"release": release.name, "at": str(release.at), "root": lake.storage.root, "removals": removals}
    mark = json.dumps(told)
    if not settings.is_lake(storage):
        lakes.init(storage.root, _toml(_settings(lake, steps)))
        storage.write(MARK, mark.encode())
    elif not storage.exists(MARK) or storage.read(MARK).decode() != mark:
        raise UsageError(f"there is a lake at {storage.root}: reproduce into a root of its own")
    own = release.views.keys() - sqlfiles.house().keys() - {"scorers", "duplicate_methods", "own_thresholds"}
    for view in own if storage.is_local else ():
        storage.write(f"sql/{view}.sql", release.views[view].encode())
    made = lakes.open_lake(storage.root)
    units = {unit_of(work) for step in steps if step.stage == "candidates" for work in step.works}
    wanted = [source for source in lake.ledger.sources() if source.unit in units]
    made.ledger.add_sources(lambda have: [source for source in wanted if source not in have])
    _copy_tombstones(lake, made)
    return made


def _copy_tombstones(lake: Lake, made: Lake) -> None:
    """What was withdrawn does not come in again: every removal's rows, under the number that it has."""
    have = len(made.ledger.done(REMOVALS))
    for event in lake.ledger.done(REMOVALS)[have:]:
        claim = made.ledger.claim([REMOVALS], event["units"], "", "", "{}")
        if claim.takeover:
            batch.recover(made, claim)
        rows = tombstones.rows(lake, removal=event["batch"])
        table = made.table(REMOVALS)
        files = table.writer().write(rows)
        version = table.commit(files, {"key": REMOVALS, "batch": claim.batch, "claim": claim.token})
        counts = {(count["unit"], count["name"]): count["n"] for count in event["counts"]}
        size = sum(file.bytes for file in files)
        result = Result(len(rows), size, counts, files, fingerprint(rows), version)
        made.ledger.finish(claim, {REMOVALS: result}, 0.0, "{}")


def _settings(lake: Lake, steps: Sequence[Step]) -> dict[str, Any]:
    told = tomllib.loads(lake.storage.read(settings.FILE).decode())
    found = {name: told[name] for name in ("lake", *KEPT) if name in told}
    for name in RULES:
        recorded = [step.rules for step in steps if step.stage == name]
        if recorded:
            found[name] = {key: value for key, value in recorded[-1].items() if value is not None}
    for model in lake.settings.models:
        entry = {k: v for k, v in dataclasses.asdict(model).items() if v and k != "name"}
        if model.name in settings.BUILTIN:
            entry = {k: v for k, v in entry.items() if k == "multilingual"}
        found.setdefault("models", {})[model.name] = entry
    scorers = dict.fromkeys(
        step.stage.partition("/")[2] for step in steps if step.stage.startswith("scores/")
    )
    ordered = [scorer.name for scorer in lake.scorers() if scorer.name in scorers]
    found["scores"] = {"scorers": ordered}
    grouped = {
        step.stage.partition("/")[2]: step.rules for step in steps if step.stage.startswith("duplicates/")
    }
    if grouped:
        numbers = {k: v for rules in grouped.values() for k, v in rules.items() if k != "method"}
        chosen = [method for method in lake.settings.duplicates.methods if method in grouped]
        found["duplicates"] = {"methods": chosen, **numbers}
    return found


def _toml(table: Mapping[str, Any], above: str = "") -> str:
    """`table` as TOML. JSON writes texts, numbers, truth values and lists of them the same way."""
    told = {k: json.dumps(v, ensure_ascii=False) for k, v in table.items() if not isinstance(v, Mapping)}
    plain = [f"{json.dumps(name)} = {value}" for name, value in told.items()]
    text = "\n".join(plain) + "\n"
    for name, inner in table.items():
        if isinstance(inner, Mapping):
            path = f"{above}{json.dumps(name)}"
            text += f"[{path}]\n{_toml(inner, f'{path}.')}"
    return text


def _faithful(stage: Stage, step: Step) -> Stage:
    """`stage`, if it follows the rules that the release recorded."""
    today = json.loads(json.dumps(stage.rules(), sort_keys=True, default=str))
    differ = sorted(k for k in today.keys() & step.rules.keys() if today[k] != step.rules[k])
    unknown = sorted(step.rules.keys() - today.keys())
    if differ or unknown:
        why = ", ".join(
            [*(f"{name} is another" for name in differ), *(f"{name} is unknown" for name in unknown)]
        )
        raise LakeError(
            f"{step.stage}: cannot be made by the recorded rules: {why}: "
            "bring the model that was used, or the version of Pairlake that `lake release show` names"
        )
    return stage


# ---------------------------------------------------------------------- doing it again


def _mapped(works: Sequence[str], numbers: Mapping[tuple[str, int], int]) -> tuple[str, ...]:
    """Works that name batches, such as `candidates:7`, with the numbers that these have in the new lake."""
    found = []
    for work in works:
        key, _, number = work.rpartition(":")
        place = (key, int(number)) if number.isdigit() else ("", 0)
        found.append(f"{key}:{numbers[place]}" if place in numbers else work)
    return tuple(found)


def _do(made: Lake, client: Client, stage: Stage, works: Sequence[str], number: int, step: Step) -> None:
    if any(event["batch"] == number for event in made.ledger.done(stage.name)):
        return  # by an earlier call, which was interrupted
    retry = tuple(works[0].rpartition(":")[0].removeprefix(RETRIED).split("-"))
    again = works[0].startswith(RETRIED) and not works[0].startswith(RETRY)
    view = step.selection.removeprefix("view:").rpartition("@")[0] or None
    noted = any(c["name"] == f"note:{Note.UNREADABLE}" for c in next(iter(step.done.values()))["counts"])
    options = Options(retry=retry if again else (), view=view, skip_unreadable=noted)
    run.run_one(made, client, stage, works, options, run.Progress())


def _pinned_downloads(lake: Lake, step: Step) -> Callable[[Lake, Sequence[str], Options], list[dd.DataFrame]]:
    """In the place of fetching: the rows and pictures of a pinned batch, as they are stored."""

    def build(made: Lake, works: Sequence[str], options: Options) -> list[dd.DataFrame]:
        pin = (step.batch, step.batch)
        rows = lake.read("downloads", [pin], columns.DOWNLOADS.names, lake.settings.batches.rows)
        images = lake.table("images")
        assert isinstance(images, LanceFormat)
        meta = columns.meta(columns.counted(FETCHED))
        pictures = rows.map_partitions(
            _with_pictures,
            images.storage,
            images.spec,
            images.version(),
            images.fragments([Range(*pin)]) if "images" in step.done else [],
            meta=meta,
            enforce_metadata=False,
        )
        told = _less_withdrawn(lake, step.done["downloads"])
        counts = dd.from_map(_counts, [told], meta=meta, enforce_metadata=False)
        return [pictures, counts]

    return build


def _with_pictures(
    part: pd.DataFrame, storage: Storage, spec: TableSpec, version: int | None, fragments: Sequence[int]
) -> pd.DataFrame:
    wanted = part["url_id"][part["status"] == "success"].tolist()
    pictures: dict[int, bytes] = {}
    if wanted and fragments and version is not None:
        taken = LanceFormat(storage, spec).take(version, fragments, wanted)
        pictures = dict(zip(taken["url_id"].to_pylist(), taken["image"].to_pylist(), strict=True))
    image = pa.array([pictures.get(key) for key in part["url_id"].tolist()], pa.large_binary())
    rows = part.assign(image=pd.array(image, pd.ArrowDtype(pa.large_binary())))
    fields = pa.schema([f.with_nullable(True) for f in FETCHED])
    return columns.to_pandas(columns.with_counts(columns.to_arrow(rows, fields), "", {}))


def _less_withdrawn(lake: Lake, event: Event) -> dict[str, dict[str, int]]:
    """Per unit the counts of a batch, as if what was withdrawn since had never come in."""
    found: dict[str, dict[str, int]] = {}
    for count in event["counts"]:
        found.setdefault(count["unit"], {})[count["name"]] = count["n"]
    for gone in _withdrawals(lake, event):
        for count in gone["counts"]:
            if count["name"] == "withdrawn":
                found[count["unit"]]["in"] -= count["n"]
    return found


def _withdrawals(lake: Lake, event: Event) -> list[Event]:
    """What removals took out of a batch."""
    place = event["key"], event["batch"]
    return [gone for gone in lake.ledger.state().withdrawn() if (gone["key"], gone["batch"]) == place]


def _counts(by_unit: Mapping[str, Mapping[str, int]]) -> pd.DataFrame:
    tables = [columns.count_rows(FETCHED, unit, counts) for unit, counts in by_unit.items()]
    return columns.to_pandas(pa.concat_tables([columns.counted(FETCHED).empty_table(), *tables]))


# ---------------------------------------------------------------------- comparing


def _differs(
    lake: Lake, made: Lake, client: Client, step: Step, number: int, outcomes: Mapping[str, Outcome]
) -> bool:
    """Notes what came of a step; whether one of its keys differs."""
    again = {event["key"]: event for event in made.ledger.done() if event["batch"] == number}
    for key, before in step.done.items():
        outcome, after = outcomes[key], again[key]
        spec = lake.spec(key.partition("/")[0])
        part = key.partition("/")[2] or None
        then = totals({"recorded": [before], "gone": _withdrawals(lake, before), "now": [after]})
        wanted, have = then["recorded"] - then["gone"], then["now"]
        same = (wanted.rows, wanted.fingerprint.content) == (have.rows, have.fingerprint.content)
        found: Compared = client.submit(
            compare,
            lake.storage,
            made.storage,
            spec,
            Range(step.batch, step.batch, part),
            Range(number, number, part),
            content=not same,
            pure=False,
        ).result()
        outcome.batches += 1
        outcome.rows += have.rows
        outcome.largest = max(outcome.largest, found.largest)
        if not same or found.beyond:
            outcome.verdict = "differs"
            where = f"batch {step.batch} ({', '.join(step.works[:3])}{', …' if len(step.works) > 3 else ''})"
            outcome.details = [f"{where}: {wanted.rows} rows then, {have.rows} now", *found.rows]
        elif outcome.verdict != "within tolerance":
            outcome.verdict = "within tolerance" if found.largest else "equal"
    return any(outcomes[key].verdict == "differs" for key in step.done)
