"""Subset queries on a lake against plain DuckDB over the same rows as parquet in LAION's layout.

Synthetic rows, as the same numbers give them each time: the shares of languages, sizes, scores over LAION's
thresholds and rows per host are those published for LAION-5B (docs/recipe.md, section 8, and its sources),
similarity as of a crawl of which 10 % pass. The lake gets them through its tables and ledger, `stored_pairs`
through its stage; a release is made before the last hundredth comes. The peer has the columns, types and
compression of LAION's files (snappy, random order), 500,000 rows a file.

Six queries, each at head and at the release, on open connections, in turns with the peer, five times;
medians. Wall seconds, and the process's CPU seconds beside them; answers are compared first.

    uv run python benchmarks/subsets.py --rows 10000000 --json
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lakehouse import cluster, lineage, releases, run, settings, views
from lakehouse import lake as lakes
from lakehouse.fingerprints import Fingerprint
from lakehouse.lake import Lake
from lakehouse.ledger import Result
from lakehouse.stages import chosen

FILE_ROWS = 500_000
BATCH_FILES = 2
ROUNDS = 5
MOST, MORE = 1.1, 0.030  # asked for: at most so many times the peer's seconds, and so many more
THREADS = 2
JOIN_MEMORY = "4GB"  # of DuckDB, beyond which it goes to disk
TOML = """
[models.b32]
[models.l14]
[scores]
scorers = ["similarity_b32", "punsafe_l14", "aesthetic_v2_l14"]
"""
# Shares of LAION-5B: 2.32 of 5.85 billion English, 1.27 not known; the others by recipe.md
OTHERS = {
    "ru": 0.106, "fr": 0.074, "de": 0.066, "es": 0.066, "zh": 0.063, "ja": 0.057, "it": 0.042,
    "pt": 0.038, "nl": 0.029, "pl": 0.027, "no": 0.021,
}  # fmt: skip
REST = [f"x{n}" for n in range(60)]
# (share of rows below, value): shorter side of pictures, by LAION2B-en's counts; LAION-Aesthetics V2's
SIDES = [(0, 60), (0.43, 256), (0.79, 512), (0.967, 1024), (1, 6000)]
AESTHETICS = [
    (0, 1.5), (0.483, 4.5), (0.595, 4.75), (0.741, 5), (0.9948, 6), (0.9987, 6.25), (0.99973, 6.5), (1, 7.4),
]  # fmt: skip
UNSAFE = [(0, 0), (0.9, 0.02), (0.97, 0.5), (1, 1)]
WORDS, HOSTS = 20_000, 200_000

QUERIES = {
    "languages": (
        "select language, count(*) as n from pairs group by all order by n desc, language",
        'select "LANGUAGE" as language, count(*) as n from laion group by all order by n desc, language',
    ),
    "en_safe": (
        "select count(*) as n, avg(width) as w from laion2b_en where punsafe <= 0.5",
        'select count(*) as n, avg("WIDTH") as w from laion '
        "where \"LANGUAGE\" = 'en' and similarity >= 0.28::real and punsafe <= 0.5",
    ),
    "aesthetic_large": (
        "select count(*) as n from pairs where aesthetic >= 6 and width >= 1024 and height >= 1024",
        'select count(*) as n from laion where aesthetic >= 6 and "WIDTH" >= 1024 and "HEIGHT" >= 1024',
    ),
    "hosts": (
        "select host, count(*) as n from pairs group by all order by n desc, host limit 20",
        "select split_part(\"URL\", '/', 3) as host, count(*) as n from laion "
        "group by all order by n desc, host limit 20",
    ),
    "one_row": (
        "select url, text, similarity from pairs where sample_id = {id}",
        'select "URL" as url, "TEXT" as text, similarity from laion where hash = {id}',
    ),
    "histogram": (
        "select floor(similarity * 100)::int as bin, count(*) as n from pairs group by all order by bin",
        "select floor(similarity * 100)::int as bin, count(*) as n from laion group by all order by bin",
    ),
}


def quantiles(points: Sequence[tuple[float, float]], shares: np.ndarray) -> np.ndarray:
    """The values at these shares, linear between `points`."""
    below, values = zip(*points, strict=True)
    found: np.ndarray = np.interp(shares, below, values)
    return found


def words(random: np.random.Generator, dictionary: pa.Array, counts: np.ndarray) -> pa.Array:
    """A text for each of `counts`, of so many words, the frequent ones frequently."""
    places = (WORDS * random.random(int(counts.sum())) ** 3).astype(np.int32)
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    return pc.binary_join(pa.ListArray.from_arrays(offsets, dictionary.take(pa.array(places))), " ")


def synthetic(part: int, rows: int) -> pa.Table:
    """Rows of one file, the same for each `part`."""
    fixed = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    dictionary = pa.array(["".join(fixed.choice(letters, n)) for n in fixed.integers(2, 11, WORDS)])
    random = np.random.default_rng(1 + part)
    names = ["en", None, *OTHERS, *REST]
    multi = 2.26 / 5.85
    left = (1 - sum(OTHERS.values())) / len(REST)
    shares = np.array(
        [2.32 / 5.85, 1.27 / 5.85, *[multi * s for s in [*OTHERS.values(), *[left] * len(REST)]]]
    )
    language = pa.array(names).take(pa.array(random.choice(len(names), rows, p=shares / shares.sum())))
    host = pc.binary_join_element_wise(
        "host-",
        pa.array((HOSTS * random.random(rows) ** 4).astype(np.int32)).cast(pa.string()),
        ".example",
        "",
    )
    ids = pa.array(random.integers(-(1 << 63), 1 << 63, rows, np.int64))
    leaf = pa.array(random.integers(1 << 40, 1 << 62, rows, np.int64)).cast(pa.string())
    folder = dictionary.take(pa.array(random.integers(0, WORDS, rows)))
    url = pc.binary_join_element_wise("https://", host, "/wp-content/", folder, "/", leaf, ".jpg", "")
    short = quantiles(SIDES, random.random(rows))
    long = short * np.exp(np.abs(random.normal(0, 0.35, rows)))
    wide = random.random(rows) < 0.6
    return pa.table(
        {
            "sample_id": ids,
            "url": url,
            "text": words(random, dictionary, random.integers(3, 17, rows)),
            "host": host,
            "language": language,
            "width": pa.array(np.where(wide, long, short).astype(np.int32)),
            "height": pa.array(np.where(wide, short, long).astype(np.int32)),
            "similarity": pa.array(random.normal(0.2, 0.0624, rows).astype(np.float32)),
            "punsafe": pa.array(quantiles(UNSAFE, random.random(rows)).astype(np.float32)),
            "aesthetic": pa.array(quantiles(AESTHETICS, random.random(rows)).astype(np.float32)),
        }
    )


def write_peer(rows: pa.Table, path: Path) -> None:
    """LAION's columns and types; compressed as Spark does."""
    count = len(rows)
    table = pa.table(
        {
            "SAMPLE_ID": rows["sample_id"],
            "URL": rows["url"],
            "TEXT": rows["text"],
            "HEIGHT": rows["height"],
            "WIDTH": rows["width"],
            "LICENSE": pa.array(["?"] * count),
            "NSFW": pa.array(["UNLIKELY"] * count),
            "LANGUAGE": rows["language"],
            "similarity": rows["similarity"].cast(pa.float64()),
            "hash": rows["sample_id"],
            "punsafe": rows["punsafe"],
            "aesthetic": rows["aesthetic"],
        }
    )
    pq.write_table(table, path, compression="snappy")


def put(lake: Lake, found: Mapping[str, list[pa.Table]], works: list[str]) -> int:
    """One finished batch of the keys of `found`, a file per table."""
    claim = lake.ledger.claim(list(found), works, "0" * 16, "all", "{}")
    results = {}
    for key, tables in found.items():
        spec, table = lake.spec(key.partition("/")[0]), lake.table(key)
        writer = table.writer(key.partition("/")[2] or None)
        files, rows = [], 0
        for some in tables:
            nulls = {f.name: pa.nulls(len(some), f.type) for f in spec.schema}
            given = {name: some[name] for name in some.column_names if name in nulls}
            batch = pa.array(np.full(len(some), claim.batch))
            files += writer.write(pa.table({**nulls, **given, "batch": batch}).cast(spec.schema))
            rows += len(some)
        version = table.commit(files, {"key": key, "batch": claim.batch})
        counts = {("synthetic", "in"): rows}
        results[key] = Result(rows, sum(f.bytes for f in files), counts, files, Fingerprint(), version)
    lake.ledger.finish(claim, results, 1.0, "{}")
    return claim.batch


def put_rows(lake: Lake, tables: Sequence[pa.Table]) -> None:
    """A batch of candidates, with its downloads and scores."""
    candidates, downloads = [], []
    scores: dict[str, list[pa.Table]] = {name: [] for name in lake.settings.scorers}
    for rows in tables:
        unit = pa.array(["synthetic"] * len(rows))
        base = {"sample_id": rows["sample_id"], "url_id": rows["sample_id"], "unit": unit}
        position = pa.array(range(len(rows)), pa.int64())
        told = {name: rows[name] for name in ("url", "text", "host", "language")}
        candidates.append(pa.table({**base, **told, "position": position}))
        fetched = {name: rows[name] for name in ("url", "host", "width", "height")}
        fetched["attempt"] = pa.array(np.ones(len(rows), np.int32))
        fetched["status"] = pa.array(["success"] * len(rows))
        fetched["sha256"] = pc.binary_join_element_wise(*[rows["sample_id"].cast(pa.string())] * 3, "")
        downloads.append(pa.table({**base, **fetched}))
        for name, parts in scores.items():
            value = rows[name.partition("_")[0]]
            scorer = pa.array([name] * len(rows))
            parts.append(pa.table({**base, "scorer": scorer, "value": value}))
    number = put(
        lake, {"candidates": candidates}, [f"synthetic-{lake.ledger.state().next_batch('candidates')[0]}"]
    )
    put(lake, {"downloads": downloads}, [f"candidates:{number}"])
    for name, parts in scores.items():
        put(lake, {f"scores/{name}": parts}, [f"candidates:{number}"])


def build(folder: Path, rows: int) -> tuple[Lake, dict[str, float]]:
    """The lake and the peer's files; seconds of the stage for all rows, and for the last hundredth."""
    lake = lakes.init(str(folder / "lake"), TOML)
    (folder / "laion").mkdir()
    last = rows // 100
    parts = [min(FILE_ROWS, rows - last - start) for start in range(0, rows - last, FILE_ROWS)]
    waiting: list[pa.Table] = []
    seconds = {}
    for number, count in enumerate([*parts, last]):
        some = synthetic(number, count)
        write_peer(some, folder / "laion" / f"part-{number:05}.parquet")
        waiting.append(some)
        if len(waiting) == BATCH_FILES or number >= len(parts) - 1:
            put_rows(lake, waiting)
            waiting = []
        if number >= len(parts) - 1:
            seconds["one percent" if number == len(parts) else "all"] = store(lake)
        if number == len(parts) - 1:
            releases.create(lake, "v1")
    return lake, seconds


def store(lake: Lake) -> float:
    """Wall seconds of the stage pairs."""
    with cluster.connect(settings.Cluster(workers=THREADS, memory="4GB")) as client:
        started = time.perf_counter()
        run.run(lake, client, chosen(lake, ["pairs"]))
        return time.perf_counter() - started


def timed(action: Callable[[], Any]) -> tuple[float, float, Any]:
    """Wall seconds, CPU seconds, result."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = action()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def peer(files: Sequence[Path]) -> duckdb.DuckDBPyConnection:
    """Plain DuckDB over these files."""
    connection = duckdb.connect(":memory:")
    connection.execute(f"create view laion as from read_parquet({[str(file) for file in files]})")
    return connection


def measure(
    ours: duckdb.DuckDBPyConnection, theirs: duckdb.DuckDBPyConnection, sample: int
) -> dict[str, dict[str, Any]]:
    """Per query the medians of both, and whether what is asked for is met."""
    found = {}
    for connection in (ours, theirs):
        connection.execute(f"set threads = {THREADS}")
    for name, texts in QUERIES.items():
        mine, other = [text.format(id=sample) for text in texts]
        times: dict[str, list[tuple[float, float]]] = {"ours": [], "peer": []}
        for turn in range(ROUNDS + 1):
            answers = {}
            for who, connection, sql in (("ours", ours, mine), ("peer", theirs, other)):
                wall, cpu, rows = timed(lambda c=connection, s=sql: c.sql(s).to_arrow_table().to_pylist())  # type: ignore[misc]
                answers[who] = rows
                if turn:  # the first warms the caches
                    times[who].append((wall, cpu))
            if not turn:
                assert_equal(name, answers["ours"], answers["peer"])
        middle = {
            who: [statistics.median(column) for column in zip(*some, strict=True)]
            for who, some in times.items()
        }
        (wall, cpu), (peer_wall, peer_cpu) = middle["ours"], middle["peer"]
        found[name] = {
            "ours": wall, "peer": peer_wall, "ours_cpu": cpu, "peer_cpu": peer_cpu,
            "ratio": peer_wall / wall, "met": wall <= MOST * peer_wall + MORE,
        }  # fmt: skip
    return found


def by_the_join(lake: Lake) -> dict[str, float]:
    """What the second query takes where nothing is stored, once."""
    with views.connect(lake, only=["joined_pairs", "laion2b_en"]) as connection:
        connection.execute(f"set threads = {THREADS}; set memory_limit = '{JOIN_MEMORY}'")
        connection.execute("create or replace view pairs as from joined_pairs")
        wall, cpu, _ = timed(lambda: connection.sql(QUERIES["en_safe"][0]).to_arrow_table())
    return {"wall": wall, "cpu": cpu}


def assert_equal(name: str, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    """Raises where the answers differ; the peer's similarities are the same numbers as float64."""
    same = len(ours) == len(theirs) > 0 and all(
        np.allclose(a, b, rtol=1e-6) if isinstance(a, float) else a == b
        for mine, other in zip(ours, theirs, strict=True)
        for a, b in zip(mine.values(), other.values(), strict=True)
    )
    if not same and name != "histogram":  # its bins' bounds are other numbers in float64
        raise AssertionError(f"{name}: {ours[:3]} is not {theirs[:3]}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument(
        "--folder", type=Path, help="Keep lake and files here, and use them if they are there."
    )
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = told.folder or Path(made)
        folder.mkdir(exist_ok=True)
        report(folder, told.rows, told.json)


def report(folder: Path, rows: int, as_json: bool) -> None:
    """Builds what is not there, measures, prints."""
    notes = folder / "built.json"
    if notes.exists():
        lake, seconds = lakes.open_lake(str(folder / "lake")), json.loads(notes.read_text())
    else:
        lake, seconds = build(folder, rows)
        notes.write_text(json.dumps(seconds))
    files = sorted((folder / "laion").glob("*.parquet"))
    sample = int(pq.ParquetFile(files[0]).read_row_group(0, ["hash"])["hash"][7].as_py())
    found = {}
    for what, release, those in (("head", None, files), ("release", "v1", files[:-1])):
        opening, _, ours = timed(lambda r=release: views.connect(lake, release=r))  # type: ignore[misc]
        found[what] = {"opening": opening, "queries": measure(ours, peer(those), sample)}
        for name, line in found[what]["queries"].items():
            print(
                what, name, {key: round(value, 4) for key, value in line.items()}, file=sys.stderr, flush=True
            )
    joined = by_the_join(lake)
    print("head en_safe by the join", joined, file=sys.stderr, flush=True)
    low, high = lake.pins()[lineage.TABLE]
    size = sum(e["bytes"] for e in lake.ledger.done(lineage.TABLE) if low <= e["batch"] <= high)
    every = [line for what in found.values() for line in what["queries"].values()]
    ratios = [line["ratio"] for line in every]
    total = {
        "name": "subsets",
        "ours": sum(line["ours"] for line in every),
        "peer": sum(line["peer"] for line in every),
        "unit": "s of wall time, twelve queries",
        "ratio": statistics.geometric_mean(ratios),
        "floor_ratio": None,
        "rows": rows,
        "met": sum(line["met"] for line in every),
        "faster": sum(ratio > 1 for ratio in ratios),
        "of": len(every),
        "seconds_of_the_stage": seconds,
        "en_safe_by_the_join": joined,
        "bytes": {"stored_pairs": size, "laion": sum(file.stat().st_size for file in files)},
        **found,
    }
    print(json.dumps(total) if as_json else json.dumps(total, indent=2))


if __name__ == "__main__":
    main()
