"""Pictures whose vectors are near: every two of them, or those in one cluster of k-means.

The arithmetic is written once for NumPy and CuPy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any

import dask.dataframe as dd
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from dask.delayed import Delayed, delayed

from transforms import columns, joins
from transforms.duplicates import groups
from transforms.duplicates.components import Collected, Edges, merged, roots
from transforms.scores.arrays import array_module, as_float32, on_device, on_host

COLUMNS = ["sample_id", "image_embedding", "unit"]  # of a table of embeddings

TILE = 2048  # vectors held against as many: 16 MB of cosines
#: float32 misses a cosine of vectors of length 1 by less (float16 steps of 5e-4 / sqrt(D), summed); nearer to
#: the threshold than this, a cosine is computed in float64, so that tiles of any size find the same
MARGIN = 1e-5
SAMPLE = 64  # vectors per cluster that k-means learns from (autofaiss: 31 to 100)
ROUNDS = 10  # of k-means


@dataclass(frozen=True)
class Block:
    """Keys and vectors of some pairs: int64 [n], and float16 [n, D] on the host."""

    ids: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float16]

    def tiles(self, device: str, first: int = 0) -> Iterator[tuple[Any, Any, Any]]:
        """Keys, float16 and float32 of length 1, TILE at a time, from the tile number `first`."""
        for start in range(first * TILE, len(self.ids), TILE):
            raw = on_device(self.vectors[start : start + TILE], device)
            yield self.ids[start : start + TILE], raw, _unit(raw)


def by_vectors(
    embeddings: dd.DataFrame,
    candidates: dd.DataFrame,
    method: str,
    order: Mapping[str, int],
    cosine: float,
    device: str,
    tasks: int,
) -> list[dd.DataFrame]:
    """`columns.DUPLICATES` of pairs that a chain of pictures links, each of `cosine` or more with the next.

    `embeddings` has COLUMNS, `candidates` groups.MEMBERS. Each partition is held against each, so the work
    grows with the square of the rows; a task holds two partitions.
    """
    blocks = [delayed(_block)(part) for part in embeddings[COLUMNS].to_delayed()]
    parts = [
        delayed(_between)(one, other, cosine, device)
        for place, one in enumerate(blocks)
        for other in blocks[place:]
    ]
    return _rows(embeddings, candidates, merged(parts), method, order, tasks)


def by_vectors_in_clusters(
    embeddings: dd.DataFrame,
    candidates: dd.DataFrame,
    method: str,
    order: Mapping[str, int],
    cosine: float,
    device: str,
    tasks: int,
    count: int,
) -> list[dd.DataFrame]:
    """The same of pairs in one cluster, as SemDeDup (Abbas et al. 2023) looks for them.

    `count` is the number of rows: they are put into its square root of clusters, so that finding the clusters
    and looking through them cost alike. Near pictures in different clusters are not found.
    """
    clusters = max(1, isqrt(count))
    share = min(1.0, SAMPLE * clusters / max(count, 1))
    drawn = [delayed(_drawn)(part, share) for part in embeddings[COLUMNS].to_delayed()]
    centres = delayed(_learned)(drawn, clusters, device)
    schema = pa.schema([columns.SAMPLE_ID, ("cluster", pa.int64()), ("vector", pa.binary())])
    placed = embeddings[COLUMNS].map_partitions(
        _placed, centres, device, schema, meta=columns.meta(schema), enforce_metadata=False
    )
    if tasks > 1 or embeddings.npartitions > 1:
        placed = placed.shuffle("cluster", npartitions=tasks)
    parts = [delayed(_within)(part, cosine, device) for part in placed.to_delayed()]
    return _rows(embeddings, candidates, merged(parts), method, order, tasks)


def _rows(
    embeddings: dd.DataFrame,
    candidates: dd.DataFrame,
    stars: Delayed,
    method: str,
    order: Mapping[str, int],
    tasks: int,
) -> list[dd.DataFrame]:
    """The members of `stars` with their places in the crawl, as rows; and counts of all others."""
    ids = embeddings[["sample_id", "unit"]]
    schema = pa.schema([columns.SAMPLE_ID, columns.UNIT, ("key", pa.int64())])
    linked = ids.map_partitions(_linked, stars, meta=columns.meta(schema), enforce_metadata=False)
    found = joins.matches(linked, candidates[["sample_id", "position"]], "sample_id")
    meta = columns.meta(groups.members(pa.int64()))
    keyed = linked.map_partitions(_where, found, meta=meta, enforce_metadata=False)
    counts = ids.map_partitions(
        _counted, stars, meta=columns.meta(columns.counted(columns.DUPLICATES)), enforce_metadata=False
    )
    return [groups.rows(keyed, method, order, tasks, partial=True), counts]


def _linked(part: pd.DataFrame, stars: Edges) -> pd.DataFrame:
    ids = part["sample_id"].to_numpy(np.int64)
    inside = np.isin(ids, stars)
    key = pd.array(roots(ids[inside], stars), pd.ArrowDtype(pa.int64()))
    return part[inside].assign(key=key)


def _where(linked: pd.DataFrame, found: pa.Table) -> pd.DataFrame:
    """With the position of each; one without a candidate comes last, for the audits to find."""
    placed = linked.merge(columns.to_pandas(found), on="sample_id", how="left")
    return placed.assign(position=placed["position"].fillna(np.iinfo(np.int64).max))[[*groups.MEMBERS, "key"]]


def _counted(part: pd.DataFrame, stars: Edges) -> pd.DataFrame:
    single = ~np.isin(part["sample_id"].to_numpy(np.int64), stars)
    units = pa.Table.from_pandas(part[["unit"]], preserve_index=False)["unit"]
    alone = groups.counted(units.filter(pa.array(single)), groups.SINGLE)
    return columns.to_pandas(pa.concat_tables([groups.counted(units, "in"), alone]))


# ---------------------------------------------------------------------- near vectors


def _block(part: pd.DataFrame) -> Block:
    column = pa.Table.from_pandas(part[["image_embedding"]], preserve_index=False)["image_embedding"]
    array = column.combine_chunks()
    vectors = array.flatten().to_numpy(zero_copy_only=False).reshape(-1, array.type.list_size)
    return Block(part["sample_id"].to_numpy(np.int64), vectors)


def _between(one: Block, other: Block, cosine: float, device: str) -> Edges:
    found = Collected()
    for number, (ids, raw, unit) in enumerate(one.tiles(device)):
        for other_ids, other_raw, other_unit in other.tiles(device, number if one is other else 0):
            rows, places = near(raw, unit, other_raw, other_unit, cosine)
            found.add(np.column_stack([ids[rows], other_ids[places]]))
    return found.stars()


def near(raw: Any, unit: Any, other_raw: Any, other_unit: Any, cosine: float) -> tuple[Any, Any]:
    """Which rows of `raw` and of `other_raw` have a cosine of at least `cosine`: two int arrays [n].

    `raw` [a, D] and `other_raw` [b, D] are float16, `unit` and `other_unit` the same as float32 of length 1;
    NumPy or CuPy, the answer NumPy. Vectors that are zero or not finite are near to nothing.
    """
    xp = array_module(raw)
    cosines = unit @ other_unit.T
    rows, places = xp.nonzero(cosines >= cosine - MARGIN)
    sure = cosines[rows, places] >= cosine + MARGIN
    unsure = xp.flatnonzero(~sure)
    for start in range(0, len(unsure), TILE):
        some = unsure[start : start + TILE]
        left, right = raw[rows[some]].astype(xp.float64), other_raw[places[some]].astype(xp.float64)
        lengths = xp.sqrt((left * left).sum(axis=1) * (right * right).sum(axis=1))
        sure[some] = (left * right).sum(axis=1) >= cosine * lengths
    return on_host(rows[sure]), on_host(places[sure])


def _unit(raw: Any) -> Any:
    """float32 of length 1; zero where the vector is zero or not finite."""
    xp = array_module(raw)
    vectors = as_float32(raw)
    lengths = xp.linalg.norm(vectors, axis=1, keepdims=True)
    usable = xp.isfinite(lengths) & (lengths > 0)
    return xp.where(usable, vectors, 0) / xp.where(usable, lengths, 1)


# ---------------------------------------------------------------------- clusters


def _mixed(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Keys in another order, 53 bits each: what is chosen by it does not hang on what else goes by keys."""
    mixed: npt.NDArray[np.uint64] = (ids.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(11)
    return mixed


def _drawn(part: pd.DataFrame, share: float) -> Block:
    """About a `share` of the rows, chosen by their keys, which are hashes: the same however they are cut."""
    block = _block(part)
    chosen = _mixed(block.ids) < share * 2**53
    return Block(block.ids[chosen], block.vectors[chosen])


def _learned(drawn: list[Block], clusters: int, device: str) -> npt.NDArray[np.float64]:
    """Centres of at most so many clusters, of length 1: float64 [k, D]; by k-means on cosines."""
    order = np.argsort(_mixed(np.concatenate([block.ids for block in drawn])), kind="stable")
    vectors = _unit(on_device(np.concatenate([block.vectors for block in drawn])[order], device))
    xp = array_module(vectors)
    centres = vectors[:clusters]
    for _ in range(ROUNDS):
        sums = xp.zeros_like(centres)
        for start in range(0, len(vectors), TILE):
            some = vectors[start : start + TILE]
            mine = _nearest(some, centres)[:, None] == xp.arange(len(centres))
            sums += mine.astype(xp.float32).T @ some
        lengths = xp.linalg.norm(sums, axis=1, keepdims=True)
        centres = xp.where(lengths > 0, sums / xp.where(lengths > 0, lengths, 1), centres)
    return np.unique(on_host(centres).astype(np.float64), axis=0)


def _nearest(vectors: Any, centres: Any) -> Any:
    """The number of the centre nearest to each vector."""
    xp = array_module(vectors)
    parts = [
        (vectors[start : start + TILE] @ centres.T).argmax(axis=1) for start in range(0, len(vectors), TILE)
    ]
    return xp.concatenate(parts) if parts else xp.zeros(0, xp.int64)


def _placed(
    part: pd.DataFrame, centres: npt.NDArray[np.float64], device: str, schema: pa.Schema
) -> pd.DataFrame:
    """Each row with its cluster, and its vector as bytes: a shuffle carries no lists."""
    block = _block(part)
    if not len(block.ids):
        return columns.meta(schema)
    # in float64, in which no two ways to cut the work are likely to differ
    vectors = _unit(on_device(block.vectors, device)).astype(np.float64)
    cluster = on_host(_nearest(vectors, on_device(centres, device)))
    packed = [vector.tobytes() for vector in block.vectors]
    return columns.to_pandas(pa.table([block.ids, cluster, pa.array(packed, pa.binary())], schema=schema))


def _within(part: pd.DataFrame, cosine: float, device: str) -> Edges:
    found = Collected()
    for _, some in part.groupby("cluster", sort=True):
        vectors = np.frombuffer(b"".join(some["vector"]), np.float16).reshape(len(some), -1)
        block = Block(some["sample_id"].to_numpy(np.int64), vectors)
        found.add(_between(block, block, cosine, device))
    return found.stars()
