"""Does filtering help? `python -m lakehouse.training.study --root LAKE --release NAME --to FOLDER`.

Trains a small CLIP on each arm (`arms.ARMS`) with each seed, always on as many samples, and measures it on
held-out pictures. Every run leaves a file in FOLDER/results; the same command does those that are missing and
then writes summary.json, table.md and study.svg. LAKE is one that `build` made, beside its `held_out.parquet`
and `truth.parquet`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from lakehouse.cluster import connect
from lakehouse.export.plan import MANIFEST
from lakehouse.lake import Lake, open_lake
from lakehouse.training import arms, clip, evaluate, report
from lakehouse.training.build import export_view
from lakehouse.training.pictures import read_held_out

SCHEDULE = clip.Schedule()
COMPOSITION = """\
select kind || if(copy, ' (copy)', ''), count(*)
from read_parquet(?) as pairs
join (select distinct on (url, text) * from read_parquet(?) order by kind = 'right' desc) as truth
    on pairs.url = truth.url and pairs.caption = truth.text
group by 1 order by 1"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", required=True, help="the study's lake")
    parser.add_argument("--release", required=True, help="the release to study")
    parser.add_argument("--to", type=Path, required=True, help="folder of shards, results and the report")
    parser.add_argument("--samples", type=int, default=SCHEDULE.samples, help="seen by each model")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(arms.SEEDS)), help="which to run")
    parser.add_argument("--arms", choices=arms.ARMS, nargs="+", default=list(arms.ARMS), help="which to run")
    parser.add_argument("--minutes", type=float, help="begin no run after so long")
    asked = parser.parse_args()
    schedule = dataclasses.replace(SCHEDULE, samples=asked.samples)
    lake = open_lake(asked.root, release=asked.release)
    left = run(lake, asked.to, schedule, asked.seeds, asked.arms, asked.minutes)
    if left:
        print(f"{left} runs are left: the same command goes on", file=sys.stderr)
        return
    results = report.read(asked.to / "results")
    report.write(results, composition(Path(asked.root).parent, asked.to), asked.to)


def run(
    lake: Lake,
    to: Path,
    schedule: clip.Schedule,
    seeds: Sequence[int],
    chosen: Sequence[str] = tuple(arms.ARMS),
    minutes: float | None = None,
) -> int:
    """Does the runs that have no result yet; returns how many are left for want of time."""
    begun = time.monotonic()
    held_out = read_held_out(Path(lake.storage.root).parent / "held_out.parquet")
    counts = _export(lake, to / "shards", seeds)
    left = 0
    for seed in seeds:
        for arm in chosen:
            result = to / "results" / f"{arm}-{seed}.json"
            if result.exists():
                continue
            if minutes is not None and time.monotonic() - begun > 60 * minutes:
                left += 1
                continue
            view = arms.view(arm, seed)
            told = {"arm": arm, "seed": seed, "pairs": counts[view], "samples": schedule.samples}
            told |= _one(to, view, dataclasses.replace(schedule, seed=seed), held_out)
            _store(result, told)
            print(f"{arm} {seed}: zero-shot {told['zero_shot_top1']:.2%}", file=sys.stderr, flush=True)
    return left


def _export(lake: Lake, to: Path, seeds: Sequence[int]) -> dict[str, int]:
    """The shards of every arm's view; returns each view's pairs."""
    views = sorted({arms.view(arm, seed) for arm in arms.ARMS for seed in seeds})
    assert lake.moment is not None
    found = {view: _exported(to / view, lake.moment.what) for view in views}
    if None in found.values():
        with connect(lake.settings.cluster) as client:
            found = {view: export_view(lake, client, view, to / view) for view in views}
    return {view: pairs for view, pairs in found.items() if pairs is not None}


def _exported(folder: Path, of: str) -> int | None:
    """The pairs of a finished export of this moment, without a cluster; None where there is none."""
    if not (folder / MANIFEST).exists():
        return None
    manifest = json.loads((folder / MANIFEST).read_text())
    return int(manifest["rows"]) if manifest["of"] == of else None


def _one(to: Path, view: str, schedule: clip.Schedule, held_out: pa.Table) -> dict[str, Any]:
    """One run: its figures, and the CPU seconds of its training."""
    model = to / "models" / f"{view}-{schedule.seed}"
    shutil.rmtree(model, ignore_errors=True)
    started = time.process_time()
    clip.train(sorted((to / "shards" / view).glob("*.tar")), model, schedule)
    seconds = time.process_time() - started
    measured = evaluate.measure(evaluate.encode(model, held_out))
    loss = json.loads((model / "loss.json").read_text())
    shutil.rmtree(model)
    return {**measured, "chance": 1 / len(held_out), "cpu_seconds": round(seconds, 1), "loss": loss}


def composition(folder: Path, to: Path) -> dict[str, Mapping[str, int]]:
    """Per arm (the random one: of seed 0) its pairs by what the crawl's truth says of them."""
    found: dict[str, Mapping[str, int]] = {}
    for arm in arms.ARMS:
        rows = to / "shards" / arms.view(arm, 0) / "*.parquet"
        told = duckdb.execute(COMPOSITION, [str(rows), str(folder / "truth.parquet")])
        found[arm] = dict(told.fetchall())
    return found


def _store(path: Path, told: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(told))
    part.replace(path)


if __name__ == "__main__":
    main()
