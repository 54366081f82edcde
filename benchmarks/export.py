"""How fast pairs leave a lake as webdataset shards: ours against img2dataset 1.47's own writer.

A lake of 100,000 pairs with pictures is made without a cluster. Then, in turns and a process each:

- ours: the whole export on one worker process: view, order, pictures out of Lance, tar, parquet, checksums;
- peer: img2dataset's `WebDatasetSampleWriter`, fed the same samples from memory: it neither selects, nor
  reads, nor hashes; its environment is made by this script;
- floor: the pictures' bytes read from one file and written to another, once.

    uv run python benchmarks/export.py --json
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from timetravel import append

from lakehouse import cluster, open_lake, schema, settings
from lakehouse import lake as lakes
from lakehouse.fingerprints import Fingerprint
from lakehouse.lake import Lake
from lakehouse.ledger import Result

ENVS = Path(__file__).parents[1] / "bench-envs"
PEER = ("img2dataset==1.47.0", "setuptools<81", "pandas<3")
SHARD = 10_000
BATCH = 10_000  # pairs, of the lake
DIFFERENT = 500  # pictures; the rows take them in turns
SIDE = 256  # pixels

PEER_SCRIPT = """
import json, resource, sys, time
import pyarrow as pa
from img2dataset.writer import WebDatasetSampleWriter
samples, rows, shard, to = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
with pa.ipc.open_file(samples) as file:
    pictures = [bytes(p.as_py()) for p in file.read_all()["image"]]
names = ["url", "caption", "key", "status", "error_message", "width", "height", "original_width",
         "original_height", "exif", "sha256"]
types = {name: pa.int32() for name in names if name.endswith(("width", "height"))}
made = pa.schema([pa.field(name, types.get(name, pa.string())) for name in names])
start, cpu = time.perf_counter(), time.process_time()
for number in range(0, rows, shard):
    writer = WebDatasetSampleWriter(number // shard, to, True, 5, made, "jpg")
    for i in range(number, min(number + shard, rows)):
        key = f"{number // shard:05d}{i % shard:04d}"
        text = f"a picture {i} of something that was somewhere"
        meta = dict(zip(names, [f"https://host.test/{i}.jpg", text, key, "success", None, 256, 256, 256, 256,
                                "{}", "0" * 64]))
        writer.write(pictures[i % len(pictures)], key, text, meta)
    writer.close()
print(json.dumps({"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu}))
"""


def pictures() -> list[bytes]:
    """JPEGs of smooth noise, about 20 kB each, the same on every call."""
    random = np.random.default_rng(0)
    made = []
    for _ in range(DIFFERENT):
        small = random.integers(0, 255, (SIDE // 4, SIDE // 4, 3), dtype="u1")
        out = io.BytesIO()
        Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(out, "JPEG", quality=95)
        made.append(out.getvalue())
    return made


def build(root: Path, rows: int, images: list[bytes]) -> Lake:
    """A lake with candidates, downloads, scores and images."""
    lake = lakes.init(str(root))
    spec = schema.FIXED["images"].schema
    for first in range(0, rows, BATCH):
        n = min(BATCH, rows - first)
        append(lake, first, n)
        number, _ = lake.ledger.state().next_batch("images")
        ids = np.arange(first, first + n) * 7_919_317 % (1 << 61)  # as `append` numbers them
        columns = {
            "url_id": pa.array(ids),
            "image": pa.array([images[i % DIFFERENT] for i in range(first, first + n)], pa.large_binary()),
            "batch": pa.array([number] * n, pa.int64()),
            "unit": pa.array(["unit"] * n),
        }
        table = pa.table([columns[f.name].cast(f.type) for f in spec], schema=spec)
        claim = lake.ledger.claim(["images"], [f"work:{number}"], "0" * 16, "all", "{}")
        target = lake.table("images")
        files = target.writer().write(table)
        version = target.commit(files, {"key": "images"})
        size = sum(file.bytes for file in files)
        result = Result(n, size, {("unit", "in"): n}, files, Fingerprint(), version)
        lake.ledger.finish(claim, {"images": result}, 1.0, "{}")
    return lake


def ours(root: Path, to: Path) -> dict[str, float]:
    """Seconds of one export on one worker; CPU is the worker's."""
    from lakehouse.export.plan import Request
    from lakehouse.export.run import export

    request = Request("webdataset", "pairs", "head", SHARD, 0)
    with cluster.connect(settings.Cluster(workers=1, memory="4GB")) as client:
        client.run(__import__, "lakehouse.export.run")  # imports are not what is measured
        before = sum(client.run(time.process_time).values())
        start = time.perf_counter()
        manifest = export(open_lake(str(root)), client, request, str(to))
        wall = time.perf_counter() - start
        cpu = sum(client.run(time.process_time).values()) - before
    return {"wall": wall, "cpu": cpu, "rows": manifest["rows"]}


def peer(samples: Path, rows: int, to: Path) -> dict[str, float]:
    """Seconds of img2dataset's writer in an environment of its own."""
    env = ENVS / "img2dataset"
    if not env.exists():
        subprocess.run(["uv", "venv", "-q", "--python", "3.11", str(env)], check=True)
        subprocess.run(["uv", "pip", "install", "-q", "--python", str(env), *PEER], check=True)
    to.mkdir()
    done = subprocess.run(
        [env / "bin" / "python", "-c", PEER_SCRIPT, samples, str(rows), str(SHARD), to],
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def floor(images: list[bytes], rows: int, folder: Path) -> dict[str, float]:
    """Seconds of reading the pictures' bytes from a file and writing them to another."""
    block = b"".join(images)
    source = folder / "bytes"
    with source.open("wb") as file:
        for _ in range(rows // DIFFERENT):
            file.write(block)
    start, cpu = time.perf_counter(), time.process_time()
    with source.open("rb") as read, (folder / "copy").open("wb") as write:
        while piece := read.read(8 << 20):
            write.write(piece)
        write.flush()
        os.fsync(write.fileno())
    return {"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu}


def main() -> None:
    """Measures and prints; with --json, one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    images = pictures()
    spent: dict[str, list[dict[str, float]]] = {"ours": [], "peer": [], "floor": []}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        build(root / "lake", args.rows, images)
        samples = root / "samples.arrow"
        table = pa.table({"image": pa.array(images, pa.binary())})
        with pa.ipc.new_file(str(samples), table.schema) as file:
            file.write_table(table)
        for run in range(args.runs):
            spent["ours"].append(ours(root / "lake", root / f"ours-{run}"))
            spent["peer"].append(peer(samples, args.rows, root / f"peer-{run}"))
            spent["floor"].append(floor(images, args.rows, root))
            for name in ("ours", "peer"):
                shutil.rmtree(root / f"{name}-{run}")
    cpu = {name: statistics.median(run["cpu"] for run in runs) for name, runs in spent.items()}
    wall = {name: statistics.median(run["wall"] for run in runs) for name, runs in spent.items()}
    for name in spent:
        rates = [f"{args.rows / seconds[name]:10,.0f}" for seconds in (wall, cpu)]
        print(f"{name:6} {rates[0]} images/s, {rates[1]} per CPU second")
    if args.json:
        print(
            json.dumps(
                {
                    "name": "export",
                    "ours": round(args.rows / cpu["ours"]),
                    "peer": round(args.rows / cpu["peer"]),
                    "unit": "images per CPU second",
                    "ratio": round(cpu["peer"] / cpu["ours"], 2),
                    "floor_ratio": round(cpu["ours"] / cpu["floor"], 2),
                    "wall": {name: round(value, 2) for name, value in wall.items()},
                }
            )
        )


if __name__ == "__main__":
    main()
