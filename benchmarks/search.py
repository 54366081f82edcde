"""Nearest neighbours: our index against autofaiss 2.18, on the same vectors and with the same memory.

The vectors have clusters in clusters, as pictures of the web have: 100 groups of 50 clusters, 512 dimensions.
A cluster's share falls as its rank to the power 0.7. Within a cluster, vectors lie 0.8 (before normalising)
off its centre, along 512 directions whose lengths fall as the square root of their number. Captions'
vectors are made the same way, around the same centres. Queries are drawn from the same mixture and are not
among the rows. Exact neighbours are found by NumPy, in float32.

- ours: a lake with these rows. `lake index` chooses, builds and measures; searches are `Searcher`'s. What is
  compared is the way from a vector to sample_ids with cosines; a whole search with its SQL is told beside it.
- peer: `autofaiss.build_index` with its own choice of index and its own tuning, for the same memory and
  metric, in an environment and processes of its own; a search is `index.search` of one vector.

The floor is reading the codes of the cells that are looked into from memory, once.

Both are given --memory bytes for the index. Latency is measured for one client, and for eight threads at
once. Beside: conditions that leave 1 %, 10 % and 50 % of the rows, drawn at random, and one that leaves ten
of the groups; a deletion, and an append of 1 %.

    uv run python benchmarks/search.py --json

Parts can be run one at a time (--part data, ours, peer-build, peer-search, report); what they find is kept
below --folder.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lance
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakehouse import index
from lakehouse.fingerprints import Fingerprint
from lakehouse.index import IndexRules
from lakehouse.lake import Lake, init, open_lake
from lakehouse.ledger import Result
from lakehouse.search import Query, Searcher
from lakehouse.tables import indexing
from lakehouse.vectors import LanceVectors

HERE = Path(__file__).parent
ENVS = HERE.parent / "bench-envs"
PEER = ("autofaiss==2.18.0", "pyarrow<21")  # newer pyarrow needs a newer NumPy than autofaiss takes
DIMENSION, GROUPS, CLUSTERS = 512, 100, 50
SPREAD, SKEW = 0.8, 0.7
BLOCK = 50_000  # rows made, and committed, at a time
QUERIES = 400
CONDITIONED = 100  # of these, searched under each condition
CLIENTS = 8
K = 10
#: a condition over `pairs`, and the share of rows that it leaves
CONDITIONS = {
    "random 1 %": "language_probability < 0.005",
    "random 10 %": "language_probability < 0.095",
    "random 50 %": "language_probability < 0.495",
    "ten groups": "language in ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')",
}

Floats = npt.NDArray[np.float32]

# Runs in the peer's environment: builds, then answers the queries, and prints one object
PEER_SCRIPT = """
import json, os, resource, sys, time
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import faiss
folder, memory, part, k, clients = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
if part == "build":
    from autofaiss import build_index
    started = time.perf_counter()
    build_index(embeddings=folder + "/npy", index_path=folder + "/peer.index",
                index_infos_path=folder + "/peer.json", max_index_memory_usage=memory,
                current_memory_available="6G", metric_type="ip", save_on_disk=True)
    print(json.dumps({"build_seconds": time.perf_counter() - started, "index_bytes":
        os.path.getsize(folder + "/peer.index"), "told": json.load(open(folder + "/peer.json"))}))
else:
    index = faiss.read_index(folder + "/peer.index")
    queries, true = np.load(folder + "/queries.npy"), np.load(folder + "/truth.npy")
    told = json.load(open(folder + "/peer.json"))
    faiss.ParameterSpace().set_index_parameters(index, told["index_param"])
    def one(query):
        started = time.perf_counter()
        found = index.search(query[None], k)[1][0]
        return time.perf_counter() - started, found
    for query in queries[:50]:
        one(query)
    answers = [one(query) for query in queries]
    hits = sum(len(set(f.tolist()) & set(t.tolist())) for (_, f), t in zip(answers, true))
    faiss.omp_set_num_threads(1)
    with ThreadPoolExecutor(clients) as pool:
        many = list(pool.map(one, queries))
    spent = lambda some: [float(np.quantile([s for s, _ in some], q) * 1000) for q in (0.5, 0.99)]
    print(json.dumps({"recall": hits / true.size, "one_ms": spent(answers), "eight_ms": spent(many),
        "resident_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))
"""


# ---------------------------------------------------------------------- the vectors


class Mixture:
    """Clusters in clusters; see the module's first words."""

    def __init__(self) -> None:
        rng = np.random.default_rng(7)
        lengths = np.arange(1, DIMENSION + 1) ** -0.5
        turned, _ = np.linalg.qr(rng.normal(size=(DIMENSION, DIMENSION)))
        self._directions = (SPREAD * (lengths / np.linalg.norm(lengths))[:, None] * turned).astype(np.float32)
        groups = _unit(rng.normal(size=(GROUPS, 1, DIMENSION)))
        off = rng.normal(size=(GROUPS, CLUSTERS, DIMENSION)) / np.sqrt(DIMENSION)
        order = rng.permutation(GROUPS * CLUSTERS)
        self._centres = _unit(groups + SPREAD * off).reshape(-1, DIMENSION)[order].astype(np.float32)
        self._groups = (order // CLUSTERS).astype(np.int64)
        shares = np.arange(1, len(order) + 1) ** -SKEW
        self._shares = shares / shares.sum()

    def draw(self, n: int, seed: int, views: int = 1) -> tuple[list[Floats], npt.NDArray[np.int64]]:
        """`views` vectors [n, D] for each of n things, and the group that each is of."""
        rng = np.random.default_rng(seed)
        chosen = rng.choice(len(self._centres), n, p=self._shares)
        made = []
        for _ in range(views):
            off = rng.standard_normal((n, DIMENSION), np.float32) @ self._directions
            made.append(_unit(self._centres[chosen] + off))
        return made, self._groups[chosen]


def _unit(vectors: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


# ---------------------------------------------------------------------- the lake


def append(lake: Lake, rows: int, start: int, mixture: Mixture) -> None:
    """A batch of candidates and of embeddings, written as the stages' workers do."""
    (images, texts), groups = mixture.draw(rows, start, views=2)
    numbers = np.arange(start, start + rows)
    ids = keys(numbers)
    urls = [f"https://pictures.test/{number}.jpg" for number in numbers]
    candidates = {
        "sample_id": ids,
        "url": urls,
        "text": [f"picture {number}" for number in numbers],
        "url_id": ids,
        "host": pa.repeat("pictures.test", rows),
        "language": groups.astype(str),
        "language_probability": (numbers % 100 / 100).astype(np.float32),
        "position": numbers,
    }
    vectors = {"sample_id": ids, "image_embedding": _lists(images), "text_embedding": _lists(texts)}
    for name, values in (("candidates", candidates), ("embeddings_b32", vectors)):
        claim = lake.ledger.claim([name], [f"rows:{start}"], "0" * 16, "all", "{}")
        more: dict[str, Any] = {
            "unit": pa.repeat("made", rows),
            "batch": pa.repeat(pa.scalar(claim.batch), rows),
        }
        spec = lake.spec(name).schema
        given = {**values, **more}
        columns = [
            pa.array(given[f.name], f.type) if f.name in given else pa.nulls(rows, f.type) for f in spec
        ]
        table = lake.table(name)
        files = table.writer().write(pa.table(columns, schema=spec))  # type: ignore[arg-type]
        version = table.commit(files, {"key": name, "batch": claim.batch})
        counts = {("made", "in"): rows}
        size = sum(file.bytes for file in files)
        lake.ledger.finish(
            claim, {name: Result(rows, size, counts, files, Fingerprint(), version)}, 1.0, "{}"
        )


def keys(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """sample_ids in no order: an odd multiplier is one to one in 64 bits."""
    return (numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)).astype(np.int64)


def _lists(vectors: Floats) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float16).ravel()), DIMENSION)


def stored(lake: Lake) -> Iterator[tuple[npt.NDArray[np.int64], Floats]]:
    """Numbers of rows and their image vectors, a block at a time, in the order of their making."""
    start = 0
    columns = ["image_embedding"]
    dataset: lance.LanceDataset = lake.table("embeddings_b32").dataset()
    for rows in dataset.scanner(columns=columns, batch_size=16_384, scan_in_order=True).to_batches():
        flat = rows["image_embedding"].flatten().to_numpy().reshape(-1, DIMENSION)
        yield np.arange(start, start + len(flat)), flat.astype(np.float32)
        start += len(flat)


# ---------------------------------------------------------------------- the parts


def make(folder: Path, rows: int) -> dict[str, Any]:
    """The lake, the peer's files, queries, and their exact neighbours among all and under each condition."""
    mixture = Mixture()
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "npy").mkdir(parents=True)
    os.environ["LAKE_WRITES_FSYNC"] = "false"
    lake = init(str(folder / "lake"))
    for start in range(0, rows, BLOCK):
        append(lake, min(BLOCK, rows - start), start, mixture)
    (queries,), _ = mixture.draw(QUERIES, rows + 10**9)
    np.save(folder / "queries.npy", queries)
    groups = np.concatenate([mixture.draw(min(BLOCK, rows - s), s)[1] for s in range(0, rows, BLOCK)])
    leaves = {
        "all": np.ones(rows, bool),
        "random 1 %": np.arange(rows) % 100 < 1,
        "random 10 %": np.arange(rows) % 100 < 10,
        "random 50 %": np.arange(rows) % 100 < 50,
        "ten groups": groups < 10,
    }
    asked = {name: QUERIES if name == "all" else CONDITIONED for name in leaves}
    best = {name: (np.empty((n, 0), np.int64), np.empty((n, 0), np.float32)) for name, n in asked.items()}
    for number, (places, vectors) in enumerate(stored(lake)):
        np.save(folder / "npy" / f"{number:05}.npy", vectors)
        cosines = queries @ vectors.T
        for name, mask in leaves.items():
            here = mask[places]
            new = np.broadcast_to(places[here], (asked[name], int(here.sum())))
            ids = np.concatenate([best[name][0], new], axis=1)
            some = np.concatenate([best[name][1], cosines[: asked[name], here]], axis=1)
            first = np.argpartition(-some, min(K, some.shape[1]) - 1, axis=1)[:, :K]
            best[name] = (np.take_along_axis(ids, first, 1), np.take_along_axis(some, first, 1))
    np.save(folder / "truth.npy", best["all"][0])
    np.savez(folder / "conditions.npz", **{name: ids for name, (ids, _) in best.items() if name != "all"})
    return {"rows": rows, "shares": {name: round(float(mask.mean()), 4) for name, mask in leaves.items()}}


def ours(folder: Path, memory: int) -> dict[str, Any]:
    """Builds, searches with and without conditions, deletes and appends, in a copy of the lake."""
    lake = open_lake(str(folder / "lake"))
    built = {r.modality: r for r in index.update(lake, "b32", IndexRules(memory=memory), anew=True)}
    image = built["image"]
    assert image.tuning is not None
    state = indexing.state(lake.table("embeddings_b32").dataset(), "image")
    assert state is not None
    queries, truth = np.load(folder / "queries.npy"), np.load(folder / "truth.npy")
    searcher = Searcher(lake)
    vectors = searcher._current()
    assert isinstance(vectors, LanceVectors)
    nearest = _timed(lambda q: vectors.nearest("image", q, K, None).ids, queries)
    found: dict[str, Any] = {
        "build_seconds": image.seconds,
        "build_seconds_captions": built["text"].seconds,
        "index_bytes": image.bytes,
        "parameters": vars(state.parameters),
        "tuning": vars(image.tuning),
        "recall": _recall([ids for _, ids in nearest], truth),
        "one_ms": _spent(nearest),
    }
    looked = image.tuning.probes * image.bytes / state.parameters.partitions
    found["floor_ms"] = round(looked / _bandwidth() * 1000, 3)
    with ThreadPoolExecutor(CLIENTS) as pool:
        many = list(pool.map(lambda q: _once(lambda v: vectors.nearest("image", v, K, None).ids, q), queries))
    found["eight_ms"] = _spent(many)
    found["whole"] = _whole(searcher, queries[:200], None, truth)
    found["conditions"] = {}
    with np.load(folder / "conditions.npz") as true:
        for name, where in CONDITIONS.items():
            found["conditions"][name] = _whole(searcher, queries[:CONDITIONED], where, true[name])
    found["large_k"] = _large(searcher, queries[:20])
    found["resident_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return found | _changed(folder, lake, queries, image.seconds)


def _bandwidth() -> float:
    """Bytes a second that one core reads from memory: the floor is reading the codes of the cells."""
    some = np.ones(1 << 25)
    spent = min(_once(np.sum, some)[0] for _ in range(5))  # type: ignore[arg-type]
    return some.nbytes / spent


def _once(search: Callable[[Floats], Any], query: Floats) -> tuple[float, Any]:
    started = time.perf_counter()
    found = search(query)
    return time.perf_counter() - started, found


def _timed(search: Callable[[Floats], Any], queries: Floats) -> list[tuple[float, Any]]:
    for query in queries[:50]:
        search(query)
    return [_once(search, query) for query in queries]


def _spent(timed: Sequence[tuple[float, Any]]) -> list[float]:
    """Median and 99th percentile, in milliseconds."""
    return [round(float(np.quantile([s for s, _ in timed], q) * 1000), 2) for q in (0.5, 0.99)]


def _recall(found: Sequence[npt.NDArray[np.int64]], true: npt.NDArray[np.int64]) -> float:
    hits = sum(len(np.intersect1d(ids, keys(row))) for ids, row in zip(found, true, strict=False))
    return round(hits / (len(found) * true.shape[1]), 4)


def _whole(
    searcher: Searcher, queries: Floats, where: str | None, true: npt.NDArray[np.int64]
) -> dict[str, Any]:
    """Whole searches, SQL included: recall, fewest results, and the median of each step."""
    searcher.find(Query(vector=queries[0], where=where, k=K))
    found = [searcher.find(Query(vector=query, where=where, k=K)) for query in queries]
    steps = {s: round(float(np.median([f.seconds[s] for f in found]) * 1000), 2) for s in found[0].seconds}
    ids = [f.rows["sample_id"].to_numpy() for f in found]
    fewest = min(len(some) for some in ids)
    return {"how": found[0].how, "recall": _recall(ids, true), "fewest": fewest, "ms": steps}


def _large(searcher: Searcher, queries: Floats) -> dict[str, Any]:
    """Ten thousand results."""
    vectors = searcher._current()
    spent = _timed(lambda q: len(vectors.nearest("image", q, 10_000, None).ids), queries)
    return {"k": 10_000, "fewest": min(n for _, n in spent), "ms": _spent(spent)}


def _changed(folder: Path, lake: Lake, queries: Floats, build_seconds: float) -> dict[str, Any]:
    """What a deletion and an append of 1 % do, in a copy of the lake."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(lake.storage.root, copy, copy_function=os.link)
    other = open_lake(str(copy))
    searcher = Searcher(other)
    first = searcher.find(Query(vector=queries[0], k=1)).rows["sample_id"][0].as_py()
    other.table("embeddings_b32").delete(f"sample_id = {first}")
    gone = first not in searcher.find(Query(vector=queries[0], k=K)).rows["sample_id"].to_pylist()
    total = other.table("embeddings_b32").dataset().count_rows()
    rows = total // 100
    append(other, rows, 10**8, Mixture())
    updated = {r.modality: r for r in index.update(other, "b32")}
    shutil.rmtree(copy)
    return {
        "deleted_is_gone_at_once": gone,
        "append_rows": rows,
        "append": updated["image"].done,
        "append_share_of_build": round(updated["image"].seconds / build_seconds, 4),
    }


def environment() -> Path:
    """The Python that has the peer, installed on the first call."""
    python = ENVS / "autofaiss" / "bin" / "python"
    if not python.exists():
        subprocess.run(["uv", "venv", "-q", "--python", "3.11", str(ENVS / "autofaiss")], check=True)
        subprocess.run(["uv", "pip", "install", "-q", "--python", str(python), *PEER], check=True)
    return python


def peer(folder: Path, memory: int, part: str) -> dict[str, Any]:
    """What the peer's script says of building or searching."""
    command = [environment(), "-c", PEER_SCRIPT, folder, f"{memory / 1e9}G", part, str(K), str(CLIENTS)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def report(kept: dict[str, Any], memory: int) -> dict[str, Any]:
    """The result from what the parts found."""
    mine, other = kept["ours"], kept["peer"]
    return {
        "name": "search",
        "ours": mine["one_ms"][0],
        "peer": round(other["one_ms"][0], 2),
        "unit": "ms, median of a search by one client",
        "ratio": round(other["one_ms"][0] / mine["one_ms"][0], 2),
        "floor_ratio": round(mine["one_ms"][0] / mine["floor_ms"], 1),
        "recall": {"ours": mine["recall"], "peer": round(other["recall"], 4)},
        "build_ratio": round(other["build_seconds"] / mine["build_seconds"], 2),
        "memory": memory,
        "ours_found": mine,
        "peer_found": other,
        **kept["data"],
    }


def main() -> None:
    """Runs the parts asked for; prints, with --json, one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--memory", type=int, default=2_500_000_000, help="bytes that an index may take")
    parser.add_argument("--folder", type=Path, help="where all is kept; default: bench-envs/search-ROWS")
    parser.add_argument("--part", choices=("data", "ours", "peer-build", "peer-search", "report"))
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    folder = told.folder or ENVS / f"search-{told.rows}"
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "data": lambda: make(folder, told.rows),
        "ours": lambda: ours(folder, told.memory),
        "peer-build": lambda: peer(folder, told.memory, "build"),
        "peer-search": lambda: peer(folder, told.memory, "search"),
    }
    for name in [told.part] if told.part else [*parts, "report"]:
        if name == "report":
            kept = {part: json.loads((folder / f"{part}.json").read_text()) for part in parts}
            kept["peer"] = kept.pop("peer-build") | kept.pop("peer-search")
            result = report(kept, told.memory)
            print(json.dumps(result) if told.json else json.dumps(result, indent=1))
        else:
            found = parts[name]()
            (folder / f"{name}.json").write_text(json.dumps(found))
            print(name, json.dumps(found), file=sys.stderr)


if __name__ == "__main__":
    main()
