"""Where a network computes: the way of a batch to a device, through the network, and back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]
Encode = Callable[[Any], Any]  # a batch on the device -> its features [n, D]
Batches = Callable[[Places], Iterable[tuple[Places, Any]]]

#: batches that are decoded while a GPU computes
AHEAD = 2


class Device:
    """A device of torch: "cpu" or "cuda".

    On a GPU the network computes in float16 under autocast, as LAION's did: of the two halves it is the one
    with three more bits; what overflows in it is computed again in float32. On a CPU it computes in
    float32: bfloat16 is faster there, but moved vectors of a ViT-B/32 of random weights by a cosine of up to
    0.003, beyond the 0.001 that we allow.
    """

    def __init__(self, name: str) -> None:
        import torch

        self.name = name
        self.is_gpu = name.startswith("cuda")
        self.half = torch.float16 if self.is_gpu else None
        self._copies = torch.cuda.Stream(name) if self.is_gpu else None  # type: ignore[no-untyped-call]

    @property
    def ahead(self) -> int:
        """How many batches to decode ahead. None on a CPU, where decoding takes the cores that compute."""
        return AHEAD if self.is_gpu else 0

    @property
    def decoders(self) -> int:
        """Threads that decode: this GPU's share of the cores, or the cores that compute."""
        import torch

        if self.is_gpu:
            return max(1, (os.cpu_count() or 1) // torch.cuda.device_count())
        return int(torch.get_num_threads())

    def stack(self, tensors: Iterable[Any]) -> Any:
        """The tensors as one, in memory that a GPU can copy from by itself."""
        import torch

        rows = list(tensors)
        out = torch.empty((len(rows), *rows[0].shape), dtype=rows[0].dtype, pin_memory=self.is_gpu)
        return torch.stack(rows, out=out)

    def vectors(self, encode: Encode, batches: Batches, shape: tuple[int, int]) -> Vectors:
        """What `encode` makes of n items, float32 `shape` (n, D): of length 1, or NaN where there is nothing.

        `batches` gives the batches of those of the n places that it is asked for, each with its own places.
        """
        found = self._through(encode, batches(np.arange(shape[0])), shape, self.half)
        lost = np.flatnonzero(np.isnan(found[:, 0]))
        if self.half is not None and len(lost):
            found[lost] = self._through(encode, batches(lost), shape, None)[lost]
        return found

    def _through(
        self, encode: Encode, batches: Iterable[tuple[Places, Any]], shape: tuple[int, int], half: Any
    ) -> Vectors:
        """Results stay on the device until the last batch is on its way: a GPU waits for nobody.

        So do the batches: RMM's pool does not know which streams still read them.
        """
        import torch

        found = np.full(shape, np.nan, np.float32)
        computed = []
        kind = "cuda" if self.is_gpu else "cpu"
        with torch.inference_mode(), torch.autocast(kind, half, enabled=half is not None):
            for places, batch in batches:
                there = self._put(batch)
                computed.append((places, in_halves(encode, there), there if self.is_gpu else None))
        for places, features, _ in computed:
            found[places] = normalise(features.float().cpu().numpy())
        return found

    def _put(self, batch: Any) -> Any:
        """`batch` on the device; to a GPU it is copied while the GPU computes."""
        if self._copies is None:
            return batch
        import torch

        with torch.cuda.stream(self._copies):
            there = batch.to(self.name, non_blocking=True)
        torch.cuda.current_stream(self.name).wait_stream(self._copies)
        return there


def in_halves(encode: Encode, batch: Any) -> Any:
    """`batch` through `encode`; one that is too large for the device's memory goes in halves.

    Where torch takes its memory from RMM's pool, it is a MemoryError that says so.
    """
    import torch

    try:
        return encode(batch)
    except (torch.OutOfMemoryError, MemoryError):
        if len(batch) == 1:
            raise
    half = len(batch) // 2
    return torch.cat([in_halves(encode, batch[:half]), in_halves(encode, batch[half:])])


def normalise(vectors: npt.NDArray[Any]) -> Vectors:
    """Each row of `vectors` [n, D] at length 1; a row that is zero or not finite becomes NaN."""
    wide = vectors.astype(np.float64)
    finite = np.asarray(np.isfinite(wide).all(axis=1))
    length = np.sqrt((np.where(finite[:, None], wide, 0.0) ** 2).sum(axis=1))
    usable = np.flatnonzero(length)
    unit = np.full(vectors.shape, np.nan, np.float32)
    unit[usable] = wide[usable] / length[usable, None]
    return unit
