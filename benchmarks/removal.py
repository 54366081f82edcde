"""What a removal costs in a lake with ten releases, against deletes by the engines' own means.

A lake of candidates, downloads, pictures and one score is made in ten batches, with a release after each.
The pictures of a list of sha256 digests, spread over all batches, are removed: from a lake with all ten
releases, and from a copy of it with a single one. Then every release is verified. The peer takes the same
rows out of a copy of the same tables with what deltalake and Lance offer (delete, compact, vacuum): it
looks nothing up, sums nothing, and leaves no release that could be proved. One process, no cluster.

    uv run python benchmarks/removal.py --rows 1000000 --listed 1000 --json
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
from deltalake import DeltaTable

from lakehouse import lake as lakes
from lakehouse import open_lake, releases, removal, requests, schema
from lakehouse.fingerprints import fingerprint
from lakehouse.lake import Lake
from lakehouse.ledger import Result

BATCHES = 10
PICTURE = 500  # bytes: what a removal rewrites beside the rows
SCORER = "similarity_b32"


def rows(first: int, n: int, batch: int) -> Mapping[str, pa.Table]:
    """`n` pairs, the same on every call."""
    random = np.random.default_rng(first)
    numbers = range(first, first + n)
    ids = np.arange(first, first + n) * 7_919_317 % (1 << 61)
    urls = [f"https://host-{i % 5000}.test/{i:x}.jpg" for i in numbers]
    hosts = [url.split("/")[2] for url in urls]
    texts = [f"a picture {i} of something that was somewhere" for i in numbers]
    payload = random.bytes(n * PICTURE)
    made: dict[str, dict[str, object]] = {
        "candidates": {"url": urls, "text": texts, "host": hosts, "position": np.arange(n)},
        "downloads": {
            "attempt": np.ones(n, "i4"),
            "url": urls,
            "host": hosts,
            "status": ["success"] * n,
            "sha256": [digest(i) for i in numbers],
            "width": random.integers(64, 2048, n).astype("i4"),
        },
        "images": {"image": [payload[i * PICTURE : (i + 1) * PICTURE] for i in range(n)]},
        f"scores/{SCORER}": {"value": random.normal(0.28, 0.05, n).astype("f4")},
    }
    constant = {"unit": "unit", "scorer": SCORER, "batch": batch}
    tables = {}
    for key, given in made.items():
        spec = schema.FIXED[key.partition("/")[0]].schema
        columns = {"sample_id": ids, "url_id": ids, **given}
        tables[key] = pa.table(
            [
                pa.array(columns[f.name], f.type)
                if f.name in columns
                else pa.array([constant.get(f.name)] * n, f.type)
                for f in spec
            ],
            schema=spec,
        )
    return tables


def digest(number: int) -> str:
    """The sha256 of a picture, so to speak: its first bytes, which a tombstone keeps, tell pictures apart."""
    return f"{number * 2_654_435_761 % (1 << 64):016x}".ljust(64, "0")


def append(lake: Lake, first: int, n: int) -> None:
    """One finished batch of all tables."""
    number, _ = lake.ledger.state().next_batch("candidates")
    for key, table in rows(first, n, number).items():
        claim = lake.ledger.claim([key], [f"work:{number}"], "0" * 16, "all", "{}")
        target = lake.table(key)
        files = target.writer(key.partition("/")[2] or None).write(table)
        version = target.commit(files, {"key": key})
        size = sum(file.bytes for file in files)
        result = Result(n, size, {("unit", "in"): n}, files, fingerprint(table), version)
        lake.ledger.finish(claim, {key: result}, 1.0, "{}")


def timed(action: Callable[[], object]) -> dict[str, float]:
    """Wall and CPU seconds, and bytes read and written."""
    wall, cpu, before = time.perf_counter(), time.process_time(), _io()
    action()
    after = _io()
    spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    moved = {f"{name}_mb": (after[name] - before[name]) / 1e6 for name in ("rchar", "wchar")}
    return {name: round(value, 2) for name, value in {**spent, **moved}.items()}


def _io() -> dict[str, int]:
    pairs = (line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return {name: int(value) for name, value in pairs}


def remove(root: Path, digests: list[str]) -> dict[str, float]:
    """Our removal."""
    lake = open_lake(str(root))
    asked = requests.request(lake.settings.candidates, {"sha256": digests})
    report: list[removal.Report] = []
    spent = timed(lambda: report.append(removal.remove(lake, asked, "measured")))
    assert report[0].pairs == len(digests), report
    return spent


def delete(root: Path, keys: list[int]) -> None:
    """The peer: rows leave all files and versions, by the engines' own means."""
    listed = ", ".join(map(str, keys))
    for name, key in (("candidates", "url_id"), ("downloads", "url_id"), ("scores", "sample_id")):
        table = DeltaTable(str(root / name))
        assert table.delete(f"{key} in ({listed})")["num_deleted_rows"] == len(keys)
        table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    dataset = lance.dataset(str(root / "images"))
    dataset.delete(f"url_id in ({listed})")
    dataset.optimize.compact_files(materialize_deletions=True, materialize_deletions_threshold=0.0)
    dataset.cleanup_old_versions(older_than=timedelta(0), delete_unverified=True)


def main() -> None:
    """Measures and prints; with --json, one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--listed", type=int, default=1_000, help="pictures that are removed")
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    numbers = [int(i) for i in np.linspace(0, told.rows - 1, told.listed)]
    with tempfile.TemporaryDirectory() as folder:
        root, one, peer = (Path(folder) / name for name in ("ten", "one", "peer"))
        lake = lakes.init(str(root))
        for batch in range(BATCHES):
            append(lake, batch * told.rows // BATCHES, told.rows // BATCHES)
            releases.create(lake, f"v{batch}")
        size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
        for copy in (one, peer):
            shutil.copytree(root, copy)
        shutil.rmtree(one / "releases")
        releases.create(open_lake(str(one)), "v9")
        found = {
            "ten releases": remove(root, [digest(i) for i in numbers]),
            "one release": remove(one, [digest(i) for i in numbers]),
            "peer": timed(lambda: delete(peer, [i * 7_919_317 % (1 << 61) for i in numbers])),
        }
        names = [f"v{batch}" for batch in range(BATCHES)]
        fast = timed(lambda: [_sound(lake, name, False) for name in names])
        whole = timed(lambda: _sound(lake, names[-1], True))
        found |= {"verify ten, ledger": fast, "verify the largest, every row": whole}
    for name, spent in found.items():
        print(f"{name}: {spent}", file=sys.stderr)
    moved = found["ten releases"]["rchar_mb"] + found["ten releases"]["wchar_mb"]
    result = {
        "name": "removal",
        "ours": found["ten releases"]["cpu"],
        "peer": found["peer"]["cpu"],
        "unit": "CPU seconds to take the rows out of all tables and releases",
        "ratio": round(found["peer"]["cpu"] / found["ten releases"]["cpu"], 2),
        "floor_ratio": round(moved * 1e6 / (2 * size), 2),  # of reading and writing the lake's bytes once
        "rows": told.rows,
        "listed": told.listed,
        "lake_mb": round(size / 1e6),
        "parts": found,
    }
    if told.json:
        print(json.dumps(result))


def _sound(lake: Lake, name: str, full: bool) -> None:
    assert releases.verify(lake, name, full=full) == []


if __name__ == "__main__":
    main()
