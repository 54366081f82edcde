"""The same file by its sha256, and pictures whose perceptual hashes are near."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations, pairwise
from math import comb

import dask.dataframe as dd
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from dask.delayed import delayed

from transforms import columns
from transforms.duplicates import groups
from transforms.duplicates.components import Collected, Edges, merged, roots

BITS = 64
URL_KEYS = ["url_id", "attempt", "status"]  # of downloads, and with them the hash
PAIR_KEYS = [*groups.MEMBERS, "url_id"]  # of candidates

Hashes = npt.NDArray[np.uint64]


def by_file(
    pairs: dd.DataFrame, downloads: dd.DataFrame, order: Mapping[str, int], tasks: int
) -> list[dd.DataFrame]:
    """`columns.DUPLICATES` of pairs whose pictures came as the same file, whatever their URLs and texts.

    `pairs` has the columns PAIR_KEYS, `downloads` URL_KEYS and sha256. In `tasks` partitions.
    """
    keyed, absent = _keyed(pairs, downloads, "sha256", tasks)
    return [groups.rows(keyed, "sha256", order, tasks), absent]


def by_phash(
    pairs: dd.DataFrame,
    downloads: dd.DataFrame,
    order: Mapping[str, int],
    distance: int,
    most: int,
    tasks: int,
) -> list[dd.DataFrame]:
    """The same of pairs that a chain of pictures links, each within `distance` bits of the next.

    `downloads` has URL_KEYS and phash, at `most` so many rows. The different hashes are compared on
    each worker: 8 bytes of each, and some 40 while they are.
    """
    keyed, absent = _keyed(pairs, downloads, "phash", tasks)
    parts = keyed.to_delayed()
    different = delayed(_all_different)([delayed(_different)(part) for part in parts])
    stars = merged([delayed(near)(different, distance, mask) for mask in masks(most, distance)])
    labelled = keyed.map_partitions(_labelled, stars, meta=keyed._meta, enforce_metadata=False)
    return [groups.rows(labelled, "phash", order, tasks), absent]


# ---------------------------------------------------------------------- pairs with the hash of their picture


def _keyed(
    pairs: dd.DataFrame, downloads: dd.DataFrame, hash_name: str, tasks: int
) -> tuple[dd.DataFrame, dd.DataFrame]:
    """The pairs with their picture's hash as `key`, and counts of those that have none."""
    schema = groups.members(columns.DOWNLOADS.field(hash_name).type)
    meta = columns.meta(schema)
    left = pairs[PAIR_KEYS].shuffle("url_id", npartitions=tasks)
    right = downloads[[*URL_KEYS, hash_name]].shuffle("url_id", npartitions=tasks)
    met = left.map_partitions(
        _met, right, hash_name, schema.names, meta=columns.meta(schema), enforce_metadata=False
    )
    there = met.map_partitions(_there, meta=columns.meta(schema), enforce_metadata=False)
    meta = columns.meta(columns.counted(columns.DUPLICATES))
    return there, met.map_partitions(_absent, meta=meta, enforce_metadata=False)


def _met(pairs: pd.DataFrame, downloads: pd.DataFrame, hash_name: str, names: list[str]) -> pd.DataFrame:
    newest = downloads.sort_values("attempt", kind="stable").drop_duplicates("url_id", keep="last")
    good = newest[newest["status"] == "success"][["url_id", hash_name]].rename(columns={hash_name: "key"})
    return pairs.merge(good, on="url_id", how="left")[names]


def _there(met: pd.DataFrame) -> pd.DataFrame:
    return met[met["key"].notnull().to_numpy(bool)]


def _absent(met: pd.DataFrame) -> pd.DataFrame:
    gone = met[met["key"].isnull().to_numpy(bool)]
    units = pa.Table.from_pandas(gone[["unit"]], preserve_index=False)["unit"]
    return columns.to_pandas(groups.counted(units, "in", groups.NO_PICTURE))


def _different(keyed: pd.DataFrame) -> Hashes:
    return np.unique(keyed["key"].to_numpy(np.int64)).view(np.uint64)


def _all_different(parts: list[Hashes]) -> Hashes:
    return np.unique(np.concatenate([np.zeros(0, np.uint64), *parts]))


def _labelled(keyed: pd.DataFrame, stars: Edges) -> pd.DataFrame:
    key = roots(keyed["key"].to_numpy(np.int64), stars)
    return keyed.assign(key=pd.array(key, keyed["key"].dtype))


# ---------------------------------------------------------------------- hashes that are near


def near(hashes: Hashes, distance: int, mask: int) -> Edges:
    """Stars of those of `hashes` (different) that are equal under `mask` and within `distance` bits."""
    found = Collected()
    for some in _equal_under(hashes, np.uint64(mask), distance):
        found.add(some)
    return found.stars()


def masks(most: int, distance: int) -> list[int]:
    """Masks of which one at least finds any two 64-bit hashes that differ in up to `distance` bits.

    The 64 bits are cut into bands. If there are `distance` + k of them, the differing bits lie in `distance`
    at most, so k bands are equal: a mask for every choice of k. k is the smallest under which `most` hashes,
    were they random, would hardly ever share their bits by chance.
    """
    k = 1
    while k < BITS - distance and 2 ** (BITS * k // (distance + k)) < most and comb(distance + k, k) < 500:
        k += 1
    edges = [BITS * n // (distance + k) for n in range(distance + k + 1)]
    bands = [(1 << high) - (1 << low) for low, high in pairwise(edges)]
    return [sum(chosen) for chosen in combinations(bands, k)]


def _equal_under(hashes: Hashes, mask: np.uint64, distance: int) -> Iterator[Edges]:
    """Edges between hashes that are equal under `mask` and near. Memory is linear in the hashes."""
    key = hashes & mask
    order = np.argsort(key, kind="stable")
    key, ordered = key[order], hashes[order]
    here = np.arange(len(key))
    step = 0
    while len(here):
        step += 1
        here = here[here + step < len(key)]
        here = here[key[here] == key[here + step]]
        here_near = here[np.bitwise_count(ordered[here] ^ ordered[here + step]) <= distance]
        if len(here_near):
            yield np.column_stack([ordered[here_near], ordered[here_near + step]]).view(np.int64)
