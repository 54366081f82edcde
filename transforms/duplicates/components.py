"""Connected components from edges that come in pieces.

A component is written as a star: an edge from each member to the smallest one. Stars of pieces, merged in
any order, give the stars of the whole, so that how work is cut decides about nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from dask.delayed import Delayed, delayed

Edges = npt.NDArray[np.int64]  # [n, 2]: two keys that belong together

NONE: Edges = np.zeros((0, 2), np.int64)
EDGES_AT_ONCE = 1 << 20  # that wait to be merged: 16 MB
FAN_IN = 16  # stars that one task merges


def stars(edges: Edges) -> Edges:
    """The components of `edges`: one edge (member, smallest member) for each member but the smallest."""
    from scipy.sparse import coo_array  # here: transforms that group nothing need not wait for it
    from scipy.sparse.csgraph import connected_components

    if not len(edges):
        return NONE
    keys, places = np.unique(edges, return_inverse=True)
    ends = places.reshape(edges.shape)
    graph = coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), shape=(len(keys), len(keys)))
    count, component = connected_components(graph, directed=False)
    _, first = np.unique(component, return_index=True)  # keys ascend, so the first is the smallest
    assert len(first) == count
    smallest = keys[first[component]]
    found: Edges = np.column_stack([keys, smallest])[keys != smallest]
    return found


class Collected:
    """Edges that are merged as they come, so that no more than a bounded number of them waits."""

    def __init__(self) -> None:
        self._waiting: list[Edges] = []
        self._count = 0
        self._limit = EDGES_AT_ONCE

    def add(self, edges: Edges) -> None:
        """Takes some more."""
        self._waiting.append(edges)
        self._count += len(edges)
        if self._count > self._limit:
            self._waiting = [self.stars()]
            self._count = len(self._waiting[0])
            self._limit = max(EDGES_AT_ONCE, 2 * self._count)  # many members are no reason to merge at each

    def stars(self) -> Edges:
        """The components of all that was taken."""
        return stars(np.concatenate([NONE, *self._waiting]))


def merged(parts: Sequence[Delayed]) -> Delayed:
    """The stars of all `parts` (stars, delayed) together, delayed; merged a few at a time."""
    while len(parts) > 1:
        parts = [delayed(_merge)(list(parts[i : i + FAN_IN])) for i in range(0, len(parts), FAN_IN)]
    return parts[0] if parts else delayed(NONE)


def _merge(parts: Iterable[Edges]) -> Edges:
    return stars(np.concatenate([NONE, *parts]))


def roots(keys: npt.NDArray[np.int64], of: Edges) -> npt.NDArray[np.int64]:
    """For each of `keys` the smallest member of its component; itself where it is in none."""
    if not len(of):
        return keys
    places = np.minimum(np.searchsorted(of[:, 0], keys), len(of) - 1)  # stars ascend by member
    return np.where(of[places, 0] == keys, of[places, 1], keys)
