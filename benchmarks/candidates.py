"""How fast pairs come out of a WAT file: ours against cc2dataset 1.5.0, one process each.

Measured on one file that benchmarks/crawl.py makes of real records (kept in bench-envs/, with cc2dataset in
an environment of its own), each part in a fresh process, in turns:

- peer: cc2dataset's own `process_wat(path, "image")`, every pair taken;
- extraction: our resolved URLs and their alt texts, as Arrow columns, under its rules (no format, host or
  beacon left out, no limit on lengths); that both give the same set of (URL, alt) is checked first.
  cc2dataset leaves `&amp;` in URLs as the WAT has it: that is decoded before the sets are compared;
- stage: `extract` under the default rules with text cleaning, language and keys, and its rows written to
  parquet;
- floor: the file inflated by igzip, and nothing else.

What each part imports is imported before its clock starts, the peer's as ours. Ours has compiled loops to
load: `load_seconds` says how long that takes a process. `floor_ratio` says how many times the floor's CPU
seconds extraction takes.

    uv run python benchmarks/candidates.py --json
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from isal import igzip
from output import show

from transforms import columns
from transforms.candidates import SCHEMA, UNITS, CandidateRules, columnar, extract, wat
from transforms.candidates.links import Tally, decoded

HERE = Path(__file__).parent
ENVS = HERE.parent / "bench-envs"
PEER = "cc2dataset==1.5.0"
PARTS = ("floor", "peer", "extraction", "stage")
UNLIMITED = 1 << 30
EQUAL = CandidateRules(
    excluded_extensions=(),
    tracking_hosts=(),
    tracking_paths=(),
    max_url_chars=UNLIMITED,
    max_host_chars=UNLIMITED,
)
# Runs in the peer's environment: CPU and wall seconds, then the pairs where a place for them is given
PEER_SCRIPT = """
import json, sys, time
from loguru import logger
logger.remove()
from cc2dataset.main import process_wat
cpu, wall = time.process_time(), time.perf_counter()
rows = list(process_wat(sys.argv[1], "image"))
print(json.dumps([time.process_time() - cpu, time.perf_counter() - wall, len(rows)]))
if len(sys.argv) > 2:
    with open(sys.argv[2], "w", encoding="utf-8", errors="surrogatepass") as file:
        json.dump([row[1:3] for row in rows], file)
"""


def floor(path: str) -> int:
    """Bytes in the file once inflated."""
    total = 0
    with igzip.open(path, "rb") as file:  # type: ignore[no-untyped-call]
        while piece := file.read(1 << 20):
            total += len(piece)
    return total


def tables(path: str) -> list[pa.Table]:
    """URL and alt text of every image that has both, under cc2dataset's rules."""
    return list(columnar.links(path, EQUAL, Counter(), Tally()))


def extraction(path: str) -> int:
    """The number of pairs, all of them made."""
    return sum(map(len, tables(path)))


def load() -> float:
    """CPU seconds for loading numba and the compiled loops."""
    before = time.process_time()
    importlib.import_module("transforms.candidates.compiled")
    return time.process_time() - before


def stage(path: str) -> int:
    """The number of rows, all of them written."""
    unit = [["u"], [path], ["wat"], [0], [None], [None]]
    units = pa.table([pa.array(v, f.type) for v, f in zip(unit, UNITS, strict=True)], schema=UNITS)
    frame = extract(columns.to_pandas(units), CandidateRules())
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(columns.to_arrow(frame, SCHEMA), Path(folder) / "rows.parquet", compression="zstd")
    return len(frame)


def environment() -> Path:
    """The Python that has the peer, installed on the first call."""
    python = ENVS / "cc2dataset" / "bin" / "python"
    if not python.exists():
        subprocess.run(["uv", "venv", "-q", "--python", "3.11", str(ENVS / "cc2dataset")], check=True)
        subprocess.run(["uv", "pip", "install", "-q", "--python", str(python), PEER], check=True)
    return python


def crawl_file(size: int) -> Path:
    """The file to measure on, made on the first call; another generator makes another file."""
    import crawl

    version = hashlib.sha256((HERE / "crawl.py").read_bytes()).hexdigest()[:8]
    path = ENVS / f"candidates-{size}-{version}.warc.wat.gz"
    if not path.exists():
        ENVS.mkdir(exist_ok=True)
        part = path.with_suffix(".part")
        print(f"making {path.name}: {crawl.write(part, size, crawl.Spread())}", file=sys.stderr)
        part.rename(path)
    return path


def check(path: Path, python: Path) -> dict[str, float]:
    """Stops where the two sets of pairs differ; else what the file holds."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "pairs.json"
        subprocess.run([python, "-c", PEER_SCRIPT, path, place], check=True, capture_output=True)
        theirs = [(wat.decoded(url), alt) for url, alt in json.loads(place.read_text("utf-8"))]
    made = pa.concat_tables(tables(str(path)))
    ours = list(zip(made["url"].to_pylist(), map(decoded, made["alt"].to_pylist()), strict=True))
    if set(ours) != set(theirs) or len(ours) != len(theirs):
        odd = sorted(set(ours) ^ set(theirs))
        raise SystemExit(f"{len(ours)} pairs here, {len(theirs)} there; in one alone: {odd[:5]}")
    return {"pairs": len(ours), "distinct_texts": round(len({alt for _, alt in ours}) / len(ours), 3)}


def timed(part: str, path: Path, python: Path) -> list[float]:
    """CPU seconds, wall seconds and the count of one part, run in a fresh process."""
    command: list[str | Path] = [python, "-c", PEER_SCRIPT, path]
    if part != "peer":
        command = [Path(sys.executable), Path(__file__), "--part", part, "--file", path]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def run_part(run: Callable[[str], int], path: str) -> None:
    """Runs one part in this process and prints what `timed` reads."""
    loading = load()
    cpu, wall = time.process_time(), time.perf_counter()
    count = run(path)
    print(json.dumps([time.process_time() - cpu, time.perf_counter() - wall, count, loading]))


def report(found: dict[str, list[list[float]]], about: dict[str, Any]) -> dict[str, Any]:
    """The result from the runs of each part: medians."""
    cpu, wall = (
        {part: round(statistics.median(run[i] for run in runs), 3) for part, runs in found.items()}
        for i in (0, 1)
    )
    return {
        "name": "candidates",
        "ours": cpu["extraction"],
        "peer": cpu["peer"],
        "unit": "CPU seconds for extraction",
        "ratio": round(cpu["peer"] / cpu["extraction"], 2),
        "floor_ratio": round(cpu["extraction"] / cpu["floor"], 2),
        "wall_ratio": round(wall["peer"] / wall["extraction"], 2),
        "stage_to_peer": round(cpu["stage"] / cpu["peer"], 2),
        "stage_to_peer_wall": round(wall["stage"] / wall["peer"], 2),
        "load_seconds": round(statistics.median(run[3] for run in found["extraction"]), 2),
        "cpu_seconds": cpu,
        "wall_seconds": wall,
        "load": [round(load, 1) for load in os.getloadavg()],
        **about,
    }


def main() -> None:
    """Checks, measures in turns and prints; with --json, one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bytes", type=int, default=252_000_000, help="of the WAT before compression")
    parser.add_argument("--runs", type=int, default=5, help="of each part")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.part:
        run_part({"floor": floor, "extraction": extraction, "stage": stage}[told.part], told.file)
        return
    python, path = environment(), crawl_file(told.bytes)
    about = check(path, python)
    found: dict[str, list[list[float]]] = {part: [] for part in PARTS}
    for _ in range(told.runs):
        for part in PARTS:
            found[part].append(timed(part, path, python))
    about["bytes"] = int(found["floor"][0][2])
    result = report(found, {**about, "compressed_bytes": path.stat().st_size, "runs": told.runs})
    show(result, told.json)


if __name__ == "__main__":
    main()
