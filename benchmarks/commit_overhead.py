"""What fingerprints, checksums and waiting for the disk cost, as shares of each stage's time.

Builds the embedded demo's lake, every stage over real HTTP on loopback, on one worker thread of this
process, with a clock around each of the three. Fingerprints and checksums are counted in CPU seconds of
the thread, waits for the disk in wall seconds; a stage's time is wall time from claim to done. There is no
peer: other tools do none of it.

    uv run python benchmarks/commit_overhead.py --json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from distributed import Client

from lakehouse import batch, lake, run, sources
from lakehouse.demo import pages, server, wat
from lakehouse.stages import stages
from lakehouse.storage import Storage
from lakehouse.tables import delta

ALLOWED = 0.10  # share of a stage's time

TOML = """
[lake]
schema = 1
[network]
user_agent = "PairlakeBenchmark/0.1 (+https://pictures.emoji.test/contact)"
resolve = {{"*.test" = "{address}"}}
[downloads]
read_seconds = 4.0
retries = 0
[models.demo]
"""

spent: Counter[str] = Counter()


def clocked(name: str, call: Callable[..., Any], clock: Callable[[], float]) -> Callable[..., Any]:
    """`call`, with its seconds added to `spent[name]`."""

    def timed(*given: Any, **named: Any) -> Any:
        started = clock()
        try:
            return call(*given, **named)
        finally:
            spent[name] += clock() - started  # type: ignore[assignment]

    return timed


def measure(folder: Path, web: Any) -> dict[str, dict[str, float]]:
    """Seconds per stage: all, and of each of the three."""
    batch.fingerprint = clocked("fingerprints", batch.fingerprint, time.thread_time)  # type: ignore[assignment]
    delta.hashlib = SimpleNamespace(sha256=clocked("checksums", hashlib.sha256, time.thread_time))  # type: ignore[assignment]
    Storage.sha256 = clocked("checksums", Storage.sha256, time.thread_time)  # type: ignore[method-assign]
    os.fsync = clocked("fsync", os.fsync, time.monotonic)
    found = {}
    with (
        server.serve(web) as (host, port),
        Client(processes=False, dashboard_address=None, n_workers=1, threads_per_worker=1) as client,
    ):
        made = lake.init(str(folder / "lake"), TOML.format(address=f"{host}:{port}"))
        sources.add(made, "wat", [str(file) for file in wat.write_wats(web, folder, 2)])
        for stage in stages(made):
            spent.clear()
            before = time.process_time()
            run.run(made, client, [stage])
            cpu = time.process_time() - before
            seconds = sum(e["seconds"] for e in made.ledger.done(stage.name))
            parts = {name: float(spent[name]) for name in ("fingerprints", "checksums", "fsync")}
            found[stage.name] = {"seconds": seconds, "cpu_seconds": cpu, **parts}
    return found


def main() -> None:
    """Measures and prints; with --json, one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pages", type=int, default=40, help="of the demo's web; 0: all")
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    web = pages.build()
    if told.pages:
        web = replace(web, pages=web.pages[: told.pages])
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), web)
    for name, some in found.items():
        of_cpu = (some["fingerprints"] + some["checksums"]) / some["cpu_seconds"]
        waits = some["fsync"] / some["seconds"]
        text = f"{some['seconds']:.1f} s: sums {of_cpu:.1%} of its CPU time, fsync {waits:.1%} of its time"
        print(f"{name}: {text}", file=sys.stderr)
    whole = Counter[str]()
    for some in found.values():
        whole.update(some)  # type: ignore[arg-type]
    share = (whole["fingerprints"] + whole["checksums"]) / whole["cpu_seconds"]
    share += whole["fsync"] / whole["seconds"]
    result = {
        "name": "commit_overhead",
        "ours": round(share, 4),
        "peer": ALLOWED,
        "unit": "share of the stages' time",
        "ratio": round(ALLOWED / share, 2),
        "floor_ratio": round(1 / (1 - share), 3),  # times what the stages would take without
        "stages": found,
    }
    if told.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
