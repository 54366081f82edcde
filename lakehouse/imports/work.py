"""An import as a stage of its own: batches of a table whose rows come from files that other tools wrote.

Its works are pieces of those files, and say what they were joined with: `import:UNIT@3f0c…`, where the
digits stand for the file and the batches of candidates. New candidates make new works of the same pieces,
and what is there already is counted as known.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dask.dataframe as dd
from distributed import Client

from lakehouse import lineage, run
from lakehouse.errors import RulesChangedError, UsageError
from lakehouse.imports import files
from lakehouse.lake import Lake
from lakehouse.stages import Options, Stage, stages

PIECES = 16  # in a batch: they are small, and their keys are held together

Build = Callable[[Sequence[str]], dd.DataFrame]  # units -> their rows, a frame of the table's schema


def candidates_pin(lake: Lake) -> tuple[int, int]:
    """The batches of candidates that rows can belong to. Raises UsageError where there are none."""
    pin = lake.pins(building=True).get("candidates")
    if pin is None:
        raise UsageError(
            "the lake has no candidates that this could belong to: `lake import img2dataset`, "
            "or `lake add --urls` and `lake run candidates`, come first"
        )
    return pin


def bring(
    lake: Lake,
    client: Client,
    key: str,
    tool: str,
    rules: Mapping[str, Any],
    pieces: Mapping[str, Sequence[str]],
    build: Build,
    progress: run.Progress,
) -> None:
    """Writes what `build` makes of the pieces, in batches of the ledger key, one after the other.

    `pieces`: the files that each unit is read from. What an interrupted call has done is not done again.
    Raises RulesChangedError where the stage of the key has rows of other rules.
    """
    stage = next((stage for stage in stages(lake) if key in stage.keys), None)
    if stage is not None and (todo := run.plan(lake, stage)).stale:
        raise RulesChangedError(f"{key}: {'; '.join(todo.stale)}: `lake rebuild {stage.kind}` comes first")
    generation = lake.ledger.generations().get(key, (0, 0))[1]
    done = {w for e in lake.ledger.done(key) if e["generation"] == generation for w in e["units"]}
    works = {_work(lake, unit, paths): unit for unit, paths in pieces.items()}
    left = [work for work in works if work not in done]
    digests: dict[str, tuple[int, str]] = {}
    groups = [left[i : i + PIECES] for i in range(0, len(left), PIECES)]
    for number, group in enumerate(groups):
        units = [works[work] for work in group]
        paths = list(dict.fromkeys(path for unit in units for path in pieces[unit]))
        new = [path for path in paths if path not in digests]
        digests.update(files.digests(client, new, lake.settings.reads))
        told = [{"tool": tool, "file": p, "bytes": digests[p][0], "sha256": digests[p][1]} for p in paths]
        made = Stage(
            key,
            "imports",
            (key,),
            "files",
            "cpu",
            lambda: rules,
            lambda lake, works, options, units=units: [build(units)],  # type: ignore[misc]
            origin=lambda lake, works, told=told: {"imported": told},  # type: ignore[misc]
        )
        progress.start(run.Plan(made, tuple(group), len(done)), len(groups) - number)
        run.run_one(lake, client, made, group, Options(), progress)
        progress.batch(made, len(group))


def _work(lake: Lake, unit: str, paths: Sequence[str]) -> str:
    told = json.dumps([*paths, candidates_pin(lake)])
    return f"{lineage.IMPORT}{unit}@{hashlib.sha256(told.encode()).hexdigest()[:12]}"
