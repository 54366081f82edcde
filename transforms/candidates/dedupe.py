"""Exact dedupe on sample_id: the first seen of a run wins, and what the lake has wins over the run.

Only keys are shuffled, 40 bytes a row: each partition hands out the keys of its rows by bucket, each
bucket decides, and each partition takes out its losers. Rows stay in the partition that extraction put
them in, so partitions stay pure in their units, and extraction runs once.

Of what the lake has, only keys that may be among the run's are handed out, 3 % of them for a run of a
million rows: each is looked up in a table of the run's hashes first, which is one memory access. So a large
lake costs a run one reading of its keys, 8 bytes a row, and little more.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import dask.dataframe as dd
import mmh3
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from dask.delayed import delayed

from transforms import columns
from transforms.candidates.extract import ORDER, SCHEMA
from transforms.candidates.reasons import Drop

MAX_BUCKETS = 32  # buckets a run's keys are cut into: bounds what one task holds, and the number of tasks
SIEVE_BITS = 25  # 4 MB: a run of a million rows leaves 3 % of the lake's keys in

# One row's key: `check` tells rows of equal sample_id apart, `row` is its place in its partition
KEY = np.dtype([("sample_id", "i8"), ("check", "i8"), ("order", "i8"), ("position", "i8"), ("row", "i8")])
LOSER = np.dtype([("row", "i8"), ("reason", "i1")])
REASONS = (Drop.KNOWN, Drop.DUPLICATE, Drop.ID_COLLISION)

Keys = npt.NDArray[Any]  # structured: KEY
Losers = npt.NDArray[Any]  # structured: LOSER
Ids = npt.NDArray[np.int64]
Sieve = npt.NDArray[np.uint8]  # one bit for each value of the ids' upper bits

_BIT = 1 << np.arange(8, dtype=np.uint8)


def first_seen(rows: dd.DataFrame, known: dd.DataFrame | None) -> dd.DataFrame:
    """`rows` without those whose sample_id was seen before, with the losers counted per unit.

    `rows` is a frame of `extract.SCHEMA`, each unit within one partition; `known` has one column,
    sample_id: what the lake holds. Of equal rows that with the smallest (unit's order, position) stays,
    whatever the partitioning. The others become counts: ``drop:known`` where the lake has the sample_id,
    else ``drop:duplicate``, or ``drop:id_collision`` where URL or text differ from the first's. The result
    has the schema and the partitions of `rows`.
    """
    parts = rows.to_delayed()
    known_parts = known.to_delayed() if known is not None else []
    buckets = max(1, min(len(parts), MAX_BUCKETS))
    key_sets = [delayed(_keys, nout=buckets)(part, buckets) for part in parts]
    sieve = None
    for i in range(buckets if known_parts else 0):
        sieve = delayed(_marked)(sieve, [keys[i] for keys in key_sets])
    id_sets = [delayed(_ids, nout=buckets)(part, sieve, buckets) for part in known_parts]
    verdicts = [
        delayed(_decide, nout=len(parts))([keys[i] for keys in key_sets], [ids[i] for ids in id_sets])
        for i in range(buckets)
    ]
    kept = [delayed(_without)(part, [verdict[i] for verdict in verdicts]) for i, part in enumerate(parts)]
    frame: dd.DataFrame = dd.from_delayed(kept, meta=columns.meta(SCHEMA), verify_meta=False)
    return frame


def _keys(frame: pd.DataFrame, buckets: int) -> list[Keys]:
    """The keys of the data rows of a partition, one structured array (`KEY`) per bucket."""
    table = columns.to_arrow(frame, SCHEMA)
    data = pc.is_null(table[columns.COUNT])
    table = table.append_column("row", pa.array(np.arange(len(table)))).filter(data)
    keys = np.empty(len(table), KEY)
    keys["sample_id"] = table["sample_id"].to_numpy()
    keys["order"] = table[ORDER].to_numpy()
    keys["position"] = table["position"].to_numpy()
    keys["row"] = table["row"].to_numpy()
    texts = zip(table["url"].to_pylist(), table["text"].to_pylist(), strict=True)
    # the length keeps apart what the concatenation in sample_id does not: ("ab", "c") and ("a", "bc")
    hashes = (mmh3.hash64(f"{len(url)} {url}{text}")[1] for url, text in texts)
    keys["check"] = np.fromiter(hashes, np.int64, len(table))
    return [keys[chosen] for chosen in _chosen(keys["sample_id"], buckets)]


def _marked(sieve: Sieve | None, key_sets: list[Keys]) -> Sieve:
    """`sieve` with the bits of these keys set too."""
    marked = np.zeros(1 << (SIEVE_BITS - 3), np.uint8) if sieve is None else sieve.copy()
    for keys in key_sets:
        byte, bit = _places(keys["sample_id"])
        np.bitwise_or.at(marked, byte, bit)
    return marked


def _places(ids: Ids) -> tuple[Ids, Sieve]:
    """Where a sieve has the ids, by their upper bits: the bytes (negative: from the end) and the bits."""
    return ids >> (64 - SIEVE_BITS + 3), _BIT[(ids >> (64 - SIEVE_BITS)) & 7]


def _ids(frame: pd.DataFrame, sieve: Sieve, buckets: int) -> list[Ids]:
    """The sample_ids of a partition of `known` that are marked in `sieve`, one array per bucket."""
    ids = frame["sample_id"].to_numpy(np.int64)
    byte, bit = _places(ids)
    ids = ids[sieve[byte] & bit != 0]
    return [ids[chosen] for chosen in _chosen(ids, buckets)]


def _chosen(ids: Ids, buckets: int) -> list[npt.NDArray[np.intp]]:
    """For each bucket the places of the ids that fall into it."""
    bucket = (ids.view(np.uint64) % np.uint64(buckets)).astype(np.int16)
    order = np.argsort(bucket, kind="stable")
    return np.split(order, np.searchsorted(bucket[order], np.arange(1, buckets)))


def _decide(key_sets: list[Keys], id_sets: list[Ids]) -> list[Losers]:
    """The losers of a bucket, one structured array (`LOSER`) per partition of the rows."""
    sizes = [len(keys) for keys in key_sets]
    keys = np.concatenate(key_sets) if key_sets else np.empty(0, KEY)
    source = np.repeat(np.arange(len(key_sets)), sizes)
    order = np.lexsort((keys["position"], keys["order"], keys["sample_id"]))
    keys, source = keys[order], source[order]
    ids = keys["sample_id"]
    first = np.ones(len(keys), bool)
    first[1:] = ids[1:] != ids[:-1]
    winner = np.maximum.accumulate(np.where(first, np.arange(len(keys)), 0))
    same = keys["check"] == keys["check"][winner]
    known = _found(id_sets, ids[first])[np.cumsum(first) - 1]
    reason = np.select([known, first, same], [0, -1, 1], 2)
    lost = reason >= 0
    losers = np.empty(int(lost.sum()), LOSER)
    losers["row"], losers["reason"] = keys["row"][lost], reason[lost]
    return [losers[source[lost] == i] for i in range(len(key_sets))]


def _found(id_sets: list[Ids], ids: Ids) -> npt.NDArray[np.bool_]:
    """Which of `ids`, sorted and each there once, are in one of `id_sets`."""
    found = np.zeros(len(ids), bool)
    for some in id_sets if len(ids) else ():
        place = np.minimum(np.searchsorted(ids, some), len(ids) - 1)
        found[place[ids[place] == some]] = True
    return found


def _without(frame: pd.DataFrame, verdicts: list[Losers]) -> pd.DataFrame:
    """A partition without its losers, which become counts of their units after its last row."""
    table = columns.to_arrow(frame, SCHEMA)
    losers = np.concatenate(verdicts)
    keep = np.ones(len(table), bool)
    keep[losers["row"]] = False
    units = table.select(["unit", ORDER]).take(losers["row"]).to_pylist()
    counts = Counter(
        (row["unit"], row[ORDER], REASONS[reason])
        for row, reason in zip(units, losers["reason"].tolist(), strict=True)
    )
    tables = [table.filter(pa.array(keep))]
    for (unit, order, reason), n in sorted(counts.items(), key=lambda item: (item[0][1], item[0][2])):
        row = columns.count_rows(columns.CANDIDATES, unit, {f"drop:{reason}": n})
        tables.append(row.append_column(ORDER, pa.array([order], pa.int64())))
    return columns.to_pandas(pa.concat_tables(tables))
