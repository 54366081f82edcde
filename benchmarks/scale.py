"""What a row costs at three sizes, what bounds more workers, and what breaks first in a lake that grows.

Each part prints its own figures and may be run alone:

- stages: each stage on 2 workers, in fresh lakes of three sizes: CPU and wall seconds, bytes, files and
  commits, and a straight line through them: what a run costs whatever its size, and what a row costs more.
  Candidates are extracted from WAT files (benchmarks/crawl.py); pictures (benchmarks/photos.py) are fetched
  from nginx under 200 host names, and embedded by the demo's model.
- workers: the largest of these sizes with 1, 2 and 4 workers.
- delta, lance, ledger: tables and ledgers with as many files, fragments and batches as large lakes have
  (benchmarks/growth.py), each in a process of its own.
- dedupe: benchmarks/dedupe.py with 50 million rows.

There is no peer: `ratio` is the throughput of two workers divided by that of one.

    uv run python benchmarks/scale.py --part stages --json
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import crawl
import downloads as pictures
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from distributed import Client

from lakehouse import cluster, lake, releases, run, settings, sources, views
from lakehouse.lake import Lake
from lakehouse.stages import stages

HERE = Path(__file__).parent
SIZES = (1, 2, 4)  # WAT files, and `PICTURES` times as many pictures
WAT_BYTES = 24_000_000  # of a WAT file, inflated
PICTURES = 750  # per unit of size, all different
GROWN = {"delta": (1_000, 10_000, 100_000), "lance": (100, 1_000, 10_000), "ledger": (1_000, 10_000, 100_000)}
DEDUPE_ROWS = 50_000_000
PARTS = ("stages", "workers", *GROWN, "dedupe")
COUNTED = "select language, count(*) as n from pairs where similarity >= 0.2 group by 1"
TOML = """
[lake]
schema = 1
[network]
user_agent = "PairlakeBenchmark/0.1 (+https://photos.test/contact)"
resolve = {{"*.{domain}" = "127.0.0.1:{port}"}}
host_delay_seconds = 0
[batches]
rows = 512
[models.demo]
[scores]
scorers = ["similarity_demo", "toxicity_profanity_check"]
"""

Figures = dict[str, float]


@contextmanager
def inputs(largest: int) -> Iterator[tuple[list[Path], Path, int]]:
    """WAT files, a folder for lists, and the port at which the pictures are served."""
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        raise SystemExit("nginx serves the pictures: install it")
    with (
        tempfile.TemporaryDirectory() as folder,
        pictures.serving(pictures.photos(max(SIZES) * PICTURES), nginx) as port,
    ):
        wats = [Path(folder) / f"crawl-{n}.warc.wat.gz" for n in range(largest)]
        for n, path in enumerate(wats):
            crawl.write(path, WAT_BYTES, crawl.Spread(seed=n + 1))
        yield wats, Path(folder), port


def listed(folder: Path, size: int, port: int) -> Path:
    """A list of `size` times `PICTURES` URLs with captions."""
    names = range(size * PICTURES)
    urls = [f"http://h{i % pictures.HOSTS}.{pictures.DOMAIN}:{port}/{i:05d}.jpg" for i in names]
    texts = [f"photograph number {i} of a harbour with boats in the evening" for i in names]
    path = folder / f"list-{size}.parquet"
    pq.write_table(pa.table({"url": urls, "text": texts}), path)
    return path


def lakes_of(folder: Path, size: int, wats: Sequence[Path], port: int) -> tuple[Lake, Lake]:
    """A lake of WAT files, for candidates alone, and one of pictures, for the rest."""
    text = TOML.format(domain=pictures.DOMAIN, port=port)
    crawled = lake.init(str(folder / f"crawled-{size}"), text)
    sources.add(crawled, "wat", [str(path) for path in wats[:size]])
    fetched = lake.init(str(folder / f"fetched-{size}"), text)
    sources.add(fetched, "urls", [str(listed(folder, size, port))])
    return crawled, fetched


def spent(client: Client) -> float:
    """CPU seconds of driver and workers so far."""
    return time.process_time() + sum(client.run(time.process_time).values())


def build(client: Client, crawled: Lake, fetched: Lake) -> dict[str, Figures]:
    """Runs every stage; what each cost."""
    found = {"candidates": stage_cost(client, crawled, "candidates")}
    for stage in stages(fetched):
        cost = stage_cost(client, fetched, stage.name)
        if stage.kind != "candidates":
            found[stage.name] = cost
    for name, call in (
        ("release", lambda: releases.create(fetched, "r")),
        ("release verified from the ledger", lambda: releases.verify(fetched, "r", full=False)),
        ("SQL over pairs", lambda: views.query(fetched, COUNTED)),
    ):
        began, cpu = time.monotonic(), spent(client)
        call()
        rows = sum(e["rows"] for e in fetched.ledger.done("candidates"))
        found[name] = {"rows": rows, "cpu": spent(client) - cpu, "wall": time.monotonic() - began}
    return found


def stage_cost(client: Client, made: Lake, name: str) -> Figures:
    """Rows that came out of the stage, and what they cost."""
    (stage,) = [s for s in stages(made) if s.name == name]
    began, cpu = time.monotonic(), spent(client)
    commits = run.run(made, client, [stage])
    cpu, wall = spent(client) - cpu, time.monotonic() - began
    done = [e for key in stage.keys for e in made.ledger.done(key)]
    figures = {"rows": sum(e["rows"] for e in done if e["key"] == name), "cpu": cpu, "wall": wall}
    figures["bytes"] = sum(e["bytes"] for e in done)
    figures["files"] = sum(len(e["files"]) for e in done)
    return {**figures, "commits": commits * len(stage.keys)}


def measured_stages(sizes: Sequence[int]) -> dict[str, Any]:
    """Every stage at each size on two workers, and the lines through them."""
    found: dict[str, list[Figures]] = {}
    with inputs(max(sizes)) as (wats, folder, port), cluster.connect(here(2)) as client:
        # Models and compiled loops, on both workers
        build(client, *lakes_of(folder / "warm", min(2, max(sizes)), wats, port))
        for size in sizes:
            for name, figures in build(client, *lakes_of(folder, size, wats, port)).items():
                found.setdefault(name, []).append(figures)
                print(size, name, figures, file=sys.stderr)
    return {"stages": {name: {"sizes": some, **line(some)} for name, some in found.items()}}


def line(sizes: Sequence[Figures]) -> Figures:
    """CPU microseconds and bytes per row, and CPU seconds of a run without rows, by least squares.

    `off`: how far a size is from the line at most, as a share of its CPU seconds.
    """
    rows, cpu = (np.array([size[name] for size in sizes], float) for name in ("rows", "cpu"))
    slope, fixed = np.polyfit(rows, cpu, 1)
    off = np.max(np.abs(slope * rows + fixed - cpu) / cpu)
    told = {"cpu_us_a_row": 1e6 * slope, "cpu_s_a_run": fixed, "off": off}
    if "bytes" in sizes[-1]:
        told["bytes_a_row"] = sizes[-1]["bytes"] / sizes[-1]["rows"]
    return {name: round(float(value), 3) for name, value in told.items()}


def measured_workers(workers: Sequence[int], size: int) -> dict[str, Any]:
    """Rows a second of each stage, and how many cores it kept busy, by the number of workers."""
    found: dict[str, dict[int, Figures]] = {}
    with inputs(size) as (wats, folder, port):
        for number in workers:
            with cluster.connect(here(number)) as client:
                client.wait_for_workers(number)
                build(client, *lakes_of(folder / f"warm-{number}", number, wats, port))
                for name, figures in build(client, *lakes_of(folder / str(number), size, wats, port)).items():
                    told = {
                        "rows_a_second": round(figures["rows"] / figures["wall"], 1),
                        "cores_busy": round(figures["cpu"] / figures["wall"], 2),
                        "cpu_us_a_row": round(1e6 * figures["cpu"] / figures["rows"], 1),
                    }
                    found.setdefault(name, {})[number] = told
                    print(number, name, told, file=sys.stderr)
    return {"workers": found}


def here(workers: int) -> settings.Cluster:
    """A local cluster."""
    return settings.Cluster(workers=workers, memory="3GB")


def grown(part: str, sizes: Sequence[int]) -> dict[str, Any]:
    """A simulation at each size."""
    found = []
    for size in sizes:
        command = [sys.executable, str(HERE / "growth.py"), part, str(size)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found.append(json.loads(done.stdout))
        print(part, found[-1], file=sys.stderr)
    return {part: found}


def dedupe(rows: int) -> dict[str, Any]:
    """benchmarks/dedupe.py with so many rows."""
    command = [sys.executable, str(HERE / "dedupe.py"), "--rows", str(rows), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return {"dedupe": json.loads(done.stdout.splitlines()[-1])}


def main() -> None:
    """Measures and prints; with --json, one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--part", choices=PARTS, action="append", help="all where none is named")
    parser.add_argument("--sizes", type=int, nargs="+", help="of the parts named, in place of theirs")
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    parts: dict[str, Any] = {}
    for part in told.part or PARTS:
        if part == "stages":
            parts |= measured_stages(told.sizes or SIZES)
        elif part == "workers":
            parts |= measured_workers((1, 2, 4), max(told.sizes or SIZES))
        elif part == "dedupe":
            parts |= dedupe(max(told.sizes or [DEDUPE_ROWS]))
        else:
            parts |= grown(part, told.sizes or GROWN[part])
    print(json.dumps(parts, indent=1), file=sys.stderr)
    if told.json:
        print(json.dumps(summary(parts)))


def summary(parts: dict[str, Any]) -> dict[str, Any]:
    """All figures, and the throughput of downloads with two workers against one where that was measured."""
    by_workers = parts.get("workers", {}).get("downloads", {})
    one, two = (by_workers.get(n, {}).get("rows_a_second") for n in (1, 2))
    ratio = round(two / one, 2) if one and two else None
    told = {"name": "scale", "ours": two, "peer": one, "unit": "pictures/s with two workers, with one"}
    return {**told, "ratio": ratio, "floor_ratio": ratio and ratio / 2, **parts, "load": os.getloadavg()}


if __name__ == "__main__":
    main()
