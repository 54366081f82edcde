"""What a lake no longer needs: orphaned and spooled files, generations that nothing pins, old versions.

A release needs none of it: its pins are batches, and a batch that a release pins is never taken out. Pictures
that the settings do not keep go too, whatever their age; of those, releases have that many less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow.fs as pafs
from distributed import Client

from lakehouse import care, faults, releases, removal, retention, run, soundness, spool
from lakehouse.batch import where
from lakehouse.claims import holds
from lakehouse.errors import ConflictError
from lakehouse.events import Events
from lakehouse.lake import Lake
from lakehouse.stages import stages
from lakehouse.storage import storage_errors
from lakehouse.tables import open_table
from transforms.tombstones import Keys

AGE = timedelta(days=7)  # older than any run: what is younger may belong to a task that still writes


@dataclass(frozen=True)
class Generation:
    """Rows of a rebuilt stage that no reader can ask for any more."""

    key: str
    number: int
    low: int
    high: int
    rows: int


@dataclass(frozen=True)
class Plan:
    """What a cleanup takes away."""

    age: timedelta  # only what is older
    orphans: Mapping[str, int] = field(default_factory=dict)  # path below the root -> bytes
    generations: Sequence[Generation] = ()
    versions: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # as `Table.prune` gives it
    pictures: Keys = field(default_factory=lambda: np.zeros(0, np.int64))  # url_ids of those not kept
    waiting: Sequence[str] = ()  # stages that have yet to look at them: until then they stay

    def __bool__(self) -> bool:
        return bool(self.orphans or self.generations or self.versions or self.drops)

    @property
    def drops(self) -> bool:
        """Whether pictures go."""
        return len(self.pictures) > 0 and not self.waiting


def plan(lake: Lake, age: timedelta = AGE) -> Plan:
    """What is older than `age` and not needed. Raises ConflictError while a driver is at work."""
    before = datetime.now(UTC) - age
    state = lake.ledger.state()
    _refuse_live(state)
    orphans: dict[str, int] = {}
    versions = {}
    for folder in soundness.folders(lake):
        name = folder.spec.name
        paths = [f"{name}/{path}" for path in soundness.orphans(lake, folder)]
        orphans.update(_old(lake, set(paths) - _needed(state), before))
        if folder.spec not in soundness.OWN:
            oldest, count = open_table(lake.storage, folder.spec).prune(before, dry_run=True)
            if count:
                versions[folder.spec.name] = oldest, count
    orphans.update(_old(lake, _spooled(lake, state), before))
    pictures = retention.unkept(lake)
    waiting = retention.unseen(lake) if len(pictures) else ()
    return Plan(age, orphans, _generations(lake, state, before), versions, pictures, waiting)


def clean(lake: Lake, planned: Plan, client: Client | None = None) -> None:
    """Takes away what was planned; interrupted, it is planned and done again.

    Pictures are dropped on the workers of `client`, or here.
    """
    _refuse_live(lake.ledger.state())
    for path in planned.orphans:
        lake.storage.remove(path)
        faults.point("cleanup:orphan")
    for old in planned.generations:
        _drop(lake, old)
    for name in sorted({*planned.versions, *(old.key.partition("/")[0] for old in planned.generations)}):
        table = lake.table(name)
        oldest, _ = table.prune(datetime.now(UTC) - planned.age, dry_run=False)
        faults.point("cleanup:pruned")
        lake.ledger.pruned(name, oldest)
        faults.point("cleanup:recorded")
    if planned.drops:
        removal.drop(lake, planned.pictures, client)


def _refuse_live(state: Events) -> None:
    for key in {event["key"] for event in state.rows if event["event"] == "claim"}:
        claim = state.unfinished(key)
        if claim is not None and holds(claim, state):
            raise ConflictError(
                f"{key}: batch {claim['batch']} is being written by {claim['owner']}: "
                "clean up when that driver is done"
            )


def _needed(state: Events) -> set[str]:
    """Files of unfinished batches that the ledger knows: the next try may still take them."""
    return {
        file["path"]
        for claim in soundness.unfinished(state)
        for event in state.rows
        if (event["key"], event["batch"]) == (claim["key"], claim["batch"])
        for file in event["files"] or ()
    }


def _spooled(lake: Lake, state: Events) -> set[str]:
    """What the spool has while nothing is left to download: a crash came right after a batch was done."""
    kept = lake.storage.files(spool.FOLDER)
    if not kept or state.unfinished("downloads") is not None:
        return set()
    (stage,) = [stage for stage in stages(lake) if stage.name == "downloads"]
    return set(kept) if run.plan(lake, stage).fresh else set()


def _old(lake: Lake, paths: Set[str], before: datetime) -> dict[str, int]:
    """Those of `paths` that were written before that moment, with their sizes."""
    with storage_errors(lake.storage.root):
        infos = lake.storage.filesystem().get_file_info(sorted(paths))
    found = [info for info in infos if info.type == pafs.FileType.File and info.mtime < before]
    return {info.path: info.size for info in found}


def _generations(lake: Lake, state: Events, before: datetime) -> list[Generation]:
    """Those that readers of head left before that moment, and that no release pins."""
    pinned = [release.pins for release in releases.list_releases(lake)]
    gone = state.dropped()
    found = []
    for key, kept in state.generations().items():
        for number in sorted({e["generation"] for e in state.done(key)} - set(kept)):
            move = "switch" if number < kept[0] else "rebuild"  # it was seen, or given up while it was built
            moves = [e for e in state.rows if e["key"] == key and e["event"] == move]
            left = min(e["at"] for e in moves if e["generation"] > number)
            batches = [e for e in state.done(key) if e["generation"] == number]
            low, high = min(e["batch"] for e in batches), max(e["batch"] for e in batches)
            held = any(key in pins and pins[key][0] <= high and pins[key][1] >= low for pins in pinned)
            if left < before and not held and (key, number) not in gone:
                found.append(Generation(key, number, low, high, sum(e["rows"] for e in batches)))
    return found


def _drop(lake: Lake, old: Generation) -> None:
    """Deletes the rows; their bytes go with the native versions that hold them."""
    table = lake.table(old.key)
    table.delete(where(table.spec, old.key, f"batch >= {old.low} and batch <= {old.high}"))
    faults.point("cleanup:deleted")
    care.compact(lake, table.spec.name)
    faults.point("cleanup:compacted")
    lake.ledger.dropped(old.key, old.number, (old.low, old.high))
    faults.point("cleanup:dropped")
