"""The vector index of a Lance table: making it, adding rows, taking the codes of rows that left out of it.

Lance keeps an index beside the table, in versions of its own: a row's place in it follows the row through
compaction, and a row that is deleted is not found from that moment on. Rows that are not in the index are
found all the same, by looking at each: an index that is behind costs time, never results.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import lance

LEAST_OF_A_CELL = 16  # rows; a cell's centre is their mean, and that of very few would tell of one that left
#: Vectors of a cell, on average, that its centre is found from. Lance takes 256, and half of the time of
#: building goes there; FAISS warns below 39 (Clustering, min_points_per_centroid).
SAMPLED = 64
MERGED = 1 << 20  # segments of an index that are made one: all
METRIC = "dot"  # vectors have length 1, so it orders as the cosine does

Modality = Literal["image", "text"]
COLUMNS: dict[Modality, str] = {"image": "image_embedding", "text": "text_embedding"}


@dataclass(frozen=True)
class Parameters:
    """What an index is made with: an inverted file of RaBitQ codes."""

    partitions: int  # k-means cells; a search looks into the few that are nearest
    bits: int  # per element of a vector


@dataclass(frozen=True)
class State:
    """An index as it is."""

    parameters: Parameters
    rows: int  # that are in it
    missing: int  # rows of the table that are not
    segments: int  # each is searched on its own
    bytes: int
    smallest: int  # rows of the smallest cell


def name(modality: Modality) -> str:
    """The index's name in Lance."""
    return f"{COLUMNS[modality]}_nearest"


def state(dataset: lance.LanceDataset, modality: Modality) -> State | None:
    """The index of a modality's vectors; None where there is none."""
    found = [index for index in dataset.describe_indices() if index.name == name(modality)]
    if not found:
        return None
    told: dict[str, Any] = dataset.stats.index_stats(name(modality))
    first = told["indices"][0]
    cells = [sum(c["size"] for c in some) for some in zip(*[i["partitions"] for i in told["indices"]])]  # noqa: B905
    return State(
        Parameters(int(first["num_partitions"]), int(first["sub_index"]["num_bits"])),
        int(told["num_indexed_rows"]),
        int(told["num_unindexed_rows"]),
        int(told["num_indices"]),
        int(found[0].total_size_bytes or 0),
        min(cells, default=0),
    )


def build(dataset: lance.LanceDataset, modality: Modality, parameters: Parameters) -> None:
    """Makes the index anew from all rows."""
    dataset.create_index(
        COLUMNS[modality],
        "IVF_RQ",
        name=name(modality),
        metric=METRIC,
        replace=True,
        num_partitions=parameters.partitions,
        num_bits=parameters.bits,
        sample_rate=SAMPLED,
    )


def add(dataset: lance.LanceDataset, modality: Modality, merge: bool) -> None:
    """Adds the rows that are missing, as a segment of their own; or with `merge`, makes all segments one.

    Merging leaves out the codes of rows that the table has no more.
    """
    dataset.optimize.optimize_indices(
        num_indices_to_merge=MERGED if merge else 0, index_names=[name(modality)]
    )


def drop(dataset: lance.LanceDataset, modality: Modality) -> None:
    """Takes the index away, where there is one."""
    if any(index.name == name(modality) for index in dataset.describe_indices()):
        dataset.drop_index(name(modality))


def forget(dataset: lance.LanceDataset) -> None:
    """Takes what tells of rows that the table has no more out of its indices, or drops these.

    Their codes leave when segments are merged. What stays are the cells' centres, each a mean of many rows.
    Where all fragments were rewritten Lance would make a single cell of all rows: such an index is made anew.
    """
    mine = {name(modality): modality for modality in COLUMNS}
    there = {fragment.fragment_id for fragment in dataset.get_fragments()}
    for index in dataset.describe_indices():
        modality = mine.get(index.name)
        found = state(dataset, modality) if modality else None
        if modality is None or found is None or found.smallest < LEAST_OF_A_CELL:
            dataset.drop_index(index.name)
        elif any(not there.isdisjoint(segment.fragment_ids) for segment in index.segments):
            add(dataset, modality, merge=True)
        elif dataset.count_rows() >= LEAST_OF_A_CELL * found.parameters.partitions:
            build(dataset, modality, found.parameters)
        else:
            dataset.drop_index(index.name)
