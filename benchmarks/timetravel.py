"""What a query costs at a release, against the same query at head.

A lake of 5 million pairs (candidates, downloads, one score each) in batches of half a million is made without
a cluster and released. Then each query is run in turns at head and at the release, on connections that are
open already; opening is measured by itself. First head holds what the release pins; then a tenth more has
come in and every table has been compacted, so that files hold rows of both: the release has to leave out rows
that lie between its own.

    uv run python benchmarks/timetravel.py --rows 5000000 --json
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from lakehouse import care, open_lake, releases, schema, views
from lakehouse import lake as lakes
from lakehouse.fingerprints import Fingerprint
from lakehouse.lake import Lake
from lakehouse.ledger import Result

BATCH = 500_000
RUNS = 7
LANGUAGES = ("en", "de", "fr", "es", "ru", "zh", None)
SCORER = "similarity_b32"
QUERIES = {
    "count by language": "select language, count(*), avg(similarity) from pairs group by all order by all",
    "subset": "select count(*), avg(width) from laion2b_en where aesthetic is null",
    "selective": "select url from pairs where host = 'host-17.test' and similarity > 0.39 and width > 999",
    "one table": "select count(*) from candidates where text like '%picture 4999%'",
}


def rows(first: int, n: int, batch: int) -> Mapping[str, pa.Table]:
    """`n` pairs, the same on every call."""
    random = np.random.default_rng(first)
    ids = np.arange(first, first + n) * 7_919_317 % (1 << 61)
    names = [f"https://host-{i % 5000}.test/{i:x}.jpg" for i in range(first, first + n)]
    languages = random.choice(len(LANGUAGES), n)
    made: dict[str, dict[str, object]] = {
        "candidates": {
            "sample_id": ids,
            "url": names,
            "text": [f"a picture {i} of something that was somewhere" for i in range(first, first + n)],
            "url_id": ids,
            "host": [name.split("/")[2] for name in names],
            "language": [LANGUAGES[i] for i in languages],
            "position": np.arange(n),
        },
        "downloads": {
            "url_id": ids,
            "attempt": np.ones(n, "i4"),
            "url": names,
            "status": np.where(random.random(n) < 0.9, "success", "timeout"),
            "width": random.integers(64, 2048, n).astype("i4"),
            "height": random.integers(64, 2048, n).astype("i4"),
        },
        f"scores/{SCORER}": {"sample_id": ids, "value": random.normal(0.28, 0.05, n).astype("f4")},
    }
    constant = {"unit": "unit", "scorer": SCORER, "batch": batch}
    tables = {}
    for key, columns in made.items():
        spec = schema.FIXED[key.partition("/")[0]].schema
        arrays = [
            pa.array(columns[f.name], f.type)
            if f.name in columns
            else pa.array([constant.get(f.name)] * n, f.type)
            for f in spec
        ]
        tables[key] = pa.table(arrays, schema=spec)
    return tables


def append(lake: Lake, first: int, n: int) -> None:
    """One finished batch of all three tables."""
    number, _ = lake.ledger.state().next_batch("candidates")
    for key, table in rows(first, n, number).items():
        claim = lake.ledger.claim([key], [f"work:{number}"], "0" * 16, "all", "{}")
        target = lake.table(key)
        files = target.writer(key.partition("/")[2] or None).write(table)
        version = target.commit(files, {"key": key})
        size = sum(file.bytes for file in files)
        result = Result(n, size, {("unit", "in"): n}, files, Fingerprint(), version)
        lake.ledger.finish(claim, {key: result}, 1.0, "{}")


def timed(action: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - wall, time.process_time() - cpu


def compare(root: str) -> dict[str, dict[str, float]]:
    """Per query the medians of wall and CPU seconds, at head and at the release."""
    found: dict[str, dict[str, float]] = {}
    sides = {"head": open_lake(root), "release": open_lake(root, release="v1")}
    connections = {name: views.connect(lake) for name, lake in sides.items()}
    for query, sql in QUERIES.items():
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
        for run in range(RUNS + 1):
            for name in sides if run % 2 else reversed(sides):
                spent = timed(lambda name=name, sql=sql: connections[name].sql(sql).fetchall())
                if run:  # the first fills caches
                    times[name].append(spent)
        found[query] = {
            f"{name}_{what}": round(statistics.median(t[place] for t in spent), 4)
            for name, spent in times.items()
            for place, what in ((0, "wall"), (1, "cpu"))
        }
    opening = {
        "head": lambda: views.query(open_lake(root), "select 1 from candidates limit 0"),
        "release": lambda: views.query(open_lake(root, release="v1"), "select 1 from candidates limit 0"),
    }
    spent = {name: [timed(action) for _ in range(RUNS)] for name, action in opening.items()}
    found["opening"] = {
        f"{name}_{what}": round(statistics.median(t[place] for t in times), 4)
        for name, times in spent.items()
        for place, what in ((0, "wall"), (1, "cpu"))
    }
    return found


def worst(found: Mapping[str, Mapping[str, float]]) -> float:
    """The largest cost of a query at the release, as a multiple of its cost at head; CPU seconds."""
    return max(times["release_cpu"] / times["head_cpu"] for name, times in found.items() if name in QUERIES)


def main() -> None:
    """Measures and prints; with --json, one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lake = lakes.init(str(Path(folder) / "lake"))
        batch = min(BATCH, told.rows)
        for first in range(0, told.rows, batch):
            append(lake, first, batch)
        releases.create(lake, "v1")
        same = compare(lake.storage.root)
        append(lake, told.rows, told.rows // 10)
        for name in ("candidates", "downloads", "scores"):
            care.compact(lake, name)
        grown = compare(lake.storage.root)
    for title, found in (("head = release", same), ("head a tenth larger, compacted", grown)):
        for name, times in found.items():
            print(f"{title}: {name}: {times}", file=sys.stderr)
    ours = max(worst(same), worst(grown))
    result = {
        "name": "timetravel",
        "ours": round(ours, 3),
        "peer": 1.0,
        "unit": "cost of a query at a release, as a multiple of its cost at head (CPU, the worst query)",
        "ratio": round(1 / ours, 3),
        "floor_ratio": round(ours, 3),
        "rows": told.rows,
        "same": same,
        "grown": grown,
    }
    if told.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
