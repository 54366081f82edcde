"""Perceptual hashes within a Hamming distance of some in a list."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

_BITS = 64


class Near:
    """A list of 64-bit hashes that finds those within `distance` bits of another.

    The bits are cut into distance + 1 groups: of two hashes that near, one group at least is equal. So per
    group the list is held sorted by it, 8 bytes a hash, and only the few that agree in a group are compared.
    """

    def __init__(self, hashes: npt.NDArray[np.int64], distance: int) -> None:
        self._distance = distance
        values = np.unique(hashes.astype(np.int64)).view(np.uint64)
        edges = np.linspace(0, _BITS, distance + 2).astype(int)
        self._groups = [_group(values, low, high) for low, high in pairwise(edges.tolist())]

    def has(self, value: int) -> bool:
        """Whether a hash of the list is within the distance of `value` (a signed or unsigned integer)."""
        wanted = np.uint64(value & (1 << _BITS) - 1)
        return any(self._agree(wanted, *group) for group in self._groups)

    def _agree(self, wanted: np.uint64, low: int, mask: np.uint64, values: npt.NDArray[np.uint64]) -> bool:
        # Rotated so that the group is at the top: then they are sorted by it, and searchsorted finds it.
        turned = _rotated(np.array([wanted]), low)[0]
        first = turned & mask
        begin = int(np.searchsorted(values, first))
        end = int(np.searchsorted(values, first | ~mask, side="right"))
        return bool((np.bitwise_count(values[begin:end] ^ turned) <= self._distance).any())


def _group(
    values: npt.NDArray[np.uint64], low: int, high: int
) -> tuple[int, np.uint64, npt.NDArray[np.uint64]]:
    """How far to rotate so that bits `low` to `high` are on top, their mask there, and the list so sorted."""
    width = high - low
    mask = np.uint64(((1 << width) - 1) << (_BITS - width))
    return low, mask, np.sort(_rotated(values, low))


def _rotated(values: npt.NDArray[np.uint64], by: int) -> npt.NDArray[np.uint64]:
    if by == 0:
        return values
    rotated: npt.NDArray[np.uint64] = (values << np.uint64(by)) | (values >> np.uint64(_BITS - by))
    return rotated
