"""The road to LAION-5B's numbers: measured costs per row times rows, with machines, hours and money.

Prints the table of docs/scale.md. Every factor stands here once, with where it comes from; costs are those of
docs/scale.md and docs/benchmarks.md, so a new measurement means a new number here and a new table there.

    uv run python benchmarks/road.py
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass

PAIRS = 5.85e9  # of LAION-5B: 2.32 en + 2.26 multi + 1.27 nolang (laion.ai)
LOOKED_AT = 50e9  # candidates that LAION fetched and scored for them (laion.ai: "50+ billion")
PAIRS_PER_WAT = 300_000  # rom1504/cc2dataset, issue 5

CPU_DOLLARS = 0.68 / 16  # an hour of a vCPU: c5.4xlarge on demand, from AWS's EC2 Auto Scaling guide
GPU_DOLLARS = 14.75 / 8  # an hour of an A100: p4d.24xlarge in a Capacity Block, AWS's price list of 2024
TERABYTE_DOLLARS = 23.0  # a month of S3 standard: assumed, as remembered
CORES = 1_000  # that work at the same time
GPUS = 32  # as LAION had
UNITS, ROWS = 512, 16_384  # of [batches], for a lake of this size


@dataclass(frozen=True)
class Step:
    """One line: rows, what a row costs, and who measured it."""

    name: str
    rows: float
    cpu_us: float = 0.0  # CPU microseconds per row
    gpu_us: float = 0.0  # A100 microseconds per row
    bytes: float = 0.0  # stored per row
    source: str = ""


STEPS = (
    Step("candidates: extraction, rules, language, keys", LOOKED_AT, 38.7, source="benchmarks/candidates.py"),
    Step("candidates: dedupe and writing", LOOKED_AT, 4.4, source="benchmarks/dedupe.py"),
    Step("candidates: kept", PAIRS, bytes=94, source="benchmarks/scale.py"),
    Step("downloads, of the pairs kept", PAIRS, 3_670, bytes=38_000, source="benchmarks/downloads.py"),
    Step("downloads, of all looked at", LOOKED_AT, 3_670, source="benchmarks/downloads.py"),
    Step("vectors, B/32, all looked at", LOOKED_AT, gpu_us=1e6 / 1_800, source="laion.ai: 1,800/s an A100"),
    Step("vectors, L/14, both sides", PAIRS, gpu_us=1e6 / 312, bytes=3_090, source="clip-retrieval: 312/s"),
    Step("scores: similarity", PAIRS, 113, bytes=24, source="benchmarks/scale.py"),
    Step("stored pairs", PAIRS, 11.7, bytes=108, source="benchmarks/subsets.py"),
    Step("index of a side, 768 dimensions", PAIRS, 220, bytes=518, source="see below"),
    Step("SQL: English, similar, safe", PAIRS, 0.019, source="benchmarks/subsets.py"),
)


def table() -> str:
    """The steps in Markdown."""
    lines = [
        "| step | rows | cost of a row | core hours | GPU hours | hours | stored | dollars | from |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for step in STEPS:
        cores, gpus = step.rows * step.cpu_us / 3.6e9, step.rows * step.gpu_us / 3.6e9
        hours = cores / CORES + gpus / GPUS
        dollars = cores * CPU_DOLLARS + gpus * GPU_DOLLARS
        stored = step.rows * step.bytes / 1e12
        cost = f"{step.cpu_us:,g} µs" if step.cpu_us else f"{step.gpu_us:,.0f} µs of an A100" if gpus else ""
        cells = [
            step.name,
            f"{step.rows / 1e9:g} B",
            cost,
            short(cores),
            short(gpus),
            short(hours),
            f"{short(stored)} TB" if stored else "",
            short(dollars),
            step.source,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def short(number: float) -> str:
    """A number with two digits or more; empty for none."""
    if not number:
        return ""
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def counts() -> dict[str, int]:
    """Files and commits of the tables, where batches have `UNITS` WAT files and frames `ROWS` rows."""
    wats = LOOKED_AT / PAIRS_PER_WAT
    batches = wats / UNITS
    return {
        "WAT files": round(wats),
        "batches of each stage": round(batches),
        "commits in all, six tables": round(6 * batches),
        "events of the ledger, at least": round(3 * 6 * batches),
        "files of candidates": round(wats),
        "files of downloads, fragments of images and of vectors": round(PAIRS / ROWS),
        "dollars a month for what is stored, in S3": round(
            sum(step.rows * step.bytes for step in STEPS) / 1e12 * TERABYTE_DOLLARS
        ),
    }


def main() -> None:
    """Prints the table and the counts; with --json, one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    print(table())
    for name, number in counts().items():
        print(f"| {name} | {number:,} |")
    if told.json:
        dollars = sum(s.rows * (s.cpu_us * CPU_DOLLARS + s.gpu_us * GPU_DOLLARS) / 3.6e9 for s in STEPS)
        peer = 26_880 * CPU_DOLLARS  # img2dataset's 7 days on 160 vCPUs, downloads alone
        print(
            json.dumps(
                {"name": "road", "ours": round(dollars), "peer": round(peer), "unit": "$", "ratio": None}
                | {"floor_ratio": None, **counts()}
            )
        )


if __name__ == "__main__":
    main()
