"""Small lakes for tests, written through the tables and the ledger, without a cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from lakehouse.fingerprints import fingerprint as row_hashes
from lakehouse.lake import Lake, init
from lakehouse.ledger import Result
from lakehouse.tables import Range
from transforms.candidates.keys import sample_id, url_id

UNIT = "crawl-1"
SIMILARITY = "similarity_b32"  # the scorer of that role in a lake with default settings

Rows = Sequence[Mapping[str, Any]]
Counts = Mapping[tuple[str, str], int]  # (unit, name) -> n


def candidate(name: str, language: str | None = "en", unit: str = UNIT, **changes: Any) -> dict[str, Any]:
    """A candidate whose picture is NAME.jpg and whose text is "a picture of NAME"."""
    url, text = f"https://pictures.test/{name}.jpg", f"a picture of {name}"
    row = {
        "sample_id": sample_id(url, text),
        "url": url,
        "text": text,
        "url_id": url_id(url),
        "host": "pictures.test",
        "language": language,
        "language_probability": None if language is None else 0.9,
        "unit": unit,
        "position": 0,
    }
    return row | changes


def download(
    of: Mapping[str, Any], status: str = "success", attempt: int = 1, **changes: Any
) -> dict[str, Any]:
    """An attempt at the URL of the candidate `of`."""
    row = {
        "url_id": of["url_id"],
        "attempt": attempt,
        "url": of["url"],
        "host": of["host"],
        "status": status,
        "http_status": 200,
        "opt_out": [],
        "unit": of["unit"],
        "fetched_at": datetime(2026, 11, 1, tzinfo=UTC),
    }
    if status == "success":
        row |= {"width": 640, "height": 480, "bytes": 10_000}
        row |= {"sha256": "ab" * 32, "md5": "cd" * 16, "phash": 1}
    return row | changes


def image(of: Mapping[str, Any]) -> dict[str, Any]:
    """The picture of the candidate `of`: some bytes that compress badly."""
    return {"url_id": of["url_id"], "image": str(of["url"]).encode() * 20, "unit": of["unit"]}


def score(of: Mapping[str, Any], value: float | None, scorer: str = SIMILARITY) -> dict[str, Any]:
    """What `scorer` says of the candidate `of`."""
    return {"sample_id": of["sample_id"], "scorer": scorer, "value": value, "unit": of["unit"]}


def append(
    lake: Lake,
    rows: Mapping[str, Rows],
    works: Sequence[str] = (),
    counts: Mapping[str, Counts] | None = None,
    selection: str = "all",
    fingerprint: str = "0" * 16,
) -> int:
    """One finished batch of the keys of `rows`; each in its own file per unit. Returns its number.

    Unless `works` names them, it did works that nobody has done; unless `counts` says otherwise, as many
    rows came in as went out.
    """
    number, _ = lake.ledger.state().next_batch(next(iter(rows)))
    claim = lake.ledger.claim(list(rows), works or [f"work:{number}"], fingerprint, selection, "{}")
    results = {}
    for key, some in rows.items():
        spec = lake.spec(key.partition("/")[0])
        table = lake.table(key)
        found = pa.Table.from_pylist([{**row, "batch": claim.batch} for row in some], schema=spec.schema)
        files = table.writer(key.partition("/")[2] or None).write(found)
        version = table.commit(files, {"key": key, "batch": claim.batch})
        given = (counts or {}).get(key) or Counter((row["unit"], "in") for row in some)
        total = sum(file.bytes for file in files)
        results[key] = Result(len(found), total, given, files, row_hashes(found), version)
    lake.ledger.finish(claim, results, 1.0, "{}")
    return claim.batch


def write(lake: Lake, name: str, rows: Rows, batch: int) -> None:
    """Commits rows to a table as a driver does that then dies, or that has lost its claim."""
    table = lake.table(name)
    found = pa.Table.from_pylist([{**row, "batch": batch} for row in rows], schema=table.spec.schema)
    table.commit(table.writer().write(found), {"key": name, "batch": batch})


def small(root: Path | str) -> Lake:
    """A sound lake: three candidates, two pictures of three URLs, and scores; two batches of candidates."""
    lake = init(str(root))
    apple, pear, plum = candidate("apple"), candidate("pear", "de"), candidate("plum", None)
    dropped = {(UNIT, "in"): 4, (UNIT, "drop:no_alt"): 2}
    append(lake, {"candidates": [apple, pear]}, [UNIT], {"candidates": dropped})
    append(lake, {"candidates": [plum]}, ["crawl-2"])
    for number, fetched in ((1, [download(apple), download(pear)]), (2, [download(plum, "timeout")])):
        good = [row for row in (apple, pear, plum) if (row["url_id"], "success") in _outcomes(fetched)]
        pictures = {(UNIT, "in"): len(fetched), (UNIT, "drop:not_fetched"): len(fetched) - len(good)}
        append(
            lake,
            {"downloads": fetched, "images": [image(row) for row in good]},
            [f"candidates:{number}"],
            {"images": {name: n for name, n in pictures.items() if n}},
        )
    append(
        lake,
        {f"scores/{SIMILARITY}": [score(apple, 0.31), score(pear, 0.27), score(plum, None)]},
        counts={f"scores/{SIMILARITY}": {(UNIT, "in"): 3, (UNIT, "note:no_embedding"): 1}},
    )
    return lake


def _outcomes(rows: Rows) -> set[tuple[int, str]]:
    return {(row["url_id"], row["status"]) for row in rows}


def stored(lake: Lake, key: str) -> tuple[int, int]:
    """Rows of a ledger key at head, read from its table, and the sum of their hashes over all columns."""
    low, high = lake.pins()[key]
    rows = lake.table(key).arrow([Range(low, high, key.partition("/")[2] or None)])
    return len(rows), row_hashes(rows).whole
