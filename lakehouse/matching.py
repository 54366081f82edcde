"""What of a lake a removal request stands for: pairs, and pictures that nobody else uses.

- a URL, or the host of one: all captions on it, its attempts and its picture. The URL that a download was
  redirected to counts as well as the one that was asked for;
- a picture's sha256 or md5: every URL that any attempt got it from, and so all captions on these;
- a sample_id: that caption. The picture goes with it where no other caption has it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from dask.delayed import Delayed, delayed

from lakehouse.lake import Lake
from lakehouse.pairs import KEYS
from lakehouse.tombstones import EVER
from transforms import columns
from transforms.tombstones import Keys, Tombstones

Run = Callable[[Sequence[Delayed]], list[Any]]  # computes tasks, wherever

FETCHED = ["url_id", "url", "final_url", "sha256", "md5"]
SEEN = ["sample_id", "url_id", "url", "host", "batch"]
PAIRS = pa.schema([("sample_id", pa.int64()), ("url_id", pa.int64()), ("batch", pa.int64())])


@dataclass(frozen=True)
class Found:
    """What has to leave; `pairs` has the columns of `PAIRS`, one row for each batch that holds the pair."""

    pairs: pa.Table
    pictures: Keys  # url_ids whose attempts and picture leave
    urls: Keys  # url_ids that are refused from now on, beside what was asked for
    dropped: Keys = field(default_factory=lambda: np.zeros(0, np.int64))  # url_ids whose picture alone leaves


def find(lake: Lake, asked: Tombstones, run: Run) -> Found:
    """Looks `asked` up, in one pass over downloads and one over candidates (two if sample_ids are asked)."""
    urls = _distinct(run(_over(lake, "downloads", FETCHED, _fetched, asked)))
    wider = Tombstones.of({**asked.keys, "url_id": np.union1d(asked.keys.get("url_id", urls), urls)})
    found = run(_over(lake, "candidates", SEEN, _seen, wider))
    pairs = pa.concat_tables([PAIRS.empty_table(), *[pairs for pairs, _ in found]])
    whole = np.concatenate([np.zeros(0, bool), *[mask for _, mask in found]])
    ids = pairs["url_id"].to_numpy()
    alone = np.setdiff1d(ids[~whole], ids[whole])
    if len(alone):
        gone = np.unique(pairs["sample_id"].to_numpy())
        used = _distinct(
            run(_over(lake, "candidates", SEEN[:2], _others, Tombstones.of({"url_id": alone}), gone))
        )
        alone = np.setdiff1d(alone, used)
    return Found(pairs, np.unique(np.concatenate([urls, ids[whole], alone])), urls)


def _over(lake: Lake, name: str, names: list[str], look: Callable[..., Any], *given: Any) -> list[Delayed]:
    """`look` at each partition of all that the table `name` holds, be it of old generations."""
    shared = [delayed(one) for one in given]
    parts = lake.table(name).read([EVER], names, KEYS).to_delayed()
    return [delayed(_look)(look, part, names, *shared) for part in parts]


def _look(look: Callable[..., Any], part: pd.DataFrame, names: list[str], *given: Any) -> Any:
    fields = {f.name: f for f in (*columns.CANDIDATES, *columns.DOWNLOADS)}
    known = pa.schema([fields.get(name, pa.field(name, pa.int64())) for name in names])
    return look(columns.to_arrow(part, known), *given)


def _fetched(rows: pa.Table, asked: Tombstones) -> Keys:
    """url_ids of the attempts whose URL, final URL or picture is asked for."""
    mask = asked.urls(rows["url"]) | asked.urls(rows["final_url"]) | asked.pictures(rows)
    keys: Keys = rows.filter(pa.array(mask))["url_id"].to_numpy()
    return keys


def _seen(rows: pa.Table, asked: Tombstones) -> tuple[pa.Table, np.ndarray]:
    """The candidates that are asked for, and which of them with their URL."""
    rows = rows.filter(pa.array(asked.candidates(rows)))
    kinds = {kind: keys for kind, keys in asked.keys.items() if kind != "sample_id"}
    return rows.select(PAIRS.names).cast(PAIRS), Tombstones(kinds).candidates(rows)


def _others(rows: pa.Table, urls: Tombstones, gone: Keys) -> Keys:
    """url_ids among `urls` that a caption has which is not `gone`."""
    mask = urls.has("url_id", rows["url_id"].to_numpy())
    mask &= ~pc.is_in(rows["sample_id"], value_set=pa.array(gone, pa.int64())).to_numpy()
    keys: Keys = rows.filter(pa.array(mask))["url_id"].to_numpy()
    return keys


def _distinct(parts: Sequence[Keys]) -> Keys:
    keys: Keys = np.unique(np.concatenate([np.zeros(0, np.int64), *parts]))
    return keys
