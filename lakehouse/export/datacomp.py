"""A subset file of DataComp: its uids, sorted, as pairs of 64-bit numbers.

DataComp's uid is a 128-bit number in hex, and its resharder reads an .npy of dtype ``u8,u8``: the upper and
the lower half (baselines/apply_filter.py and resharder.py of mlfoundations/datacomp). A sample's uid is its
sample_id as an unsigned number in the lower half; the webdataset export has it as ``uid``.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakehouse.export.base import FOLDER, Shard, Written, opened, store
from lakehouse.storage import Storage

UIDS = np.dtype("u8,u8")
_PIECE = FOLDER + "/uids-{:05d}"


def uid(sample_id: int) -> str:
    """The uid of a sample: 32 hex digits."""
    return f"{sample_id % (1 << 64):032x}"


class DataComp:
    """subset.npy."""

    pictures = False
    order = "sample_id < 0, sample_id"  # as unsigned numbers
    rows = 10_000_000

    def write(
        self, target: Storage, shard: Shard, rows: pa.Table, pictures: Iterator[bytes]
    ) -> list[Written]:
        """The shard's part of the one array; `finish` joins them."""
        store(target, _PIECE.format(shard.number), _uids(rows).tobytes())
        return []

    def finish(self, target: Storage, manifest: Mapping[str, Any]) -> list[Written]:
        """subset.npy, written in pieces: the header, then each shard's uids."""
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": UIDS.descr, "fortran_order": False, "shape": (manifest["rows"],)}
        )
        pieces = [_PIECE.format(number) for number in range(manifest["shards"])]
        with opened(target, "subset.npy") as stream:
            stream.write(header.getvalue())
            for piece in pieces:
                stream.write(target.read(piece))
        return [stream.written("subset.npy")]


def _uids(rows: pa.Table) -> npt.NDArray[Any]:
    ids = rows["sample_id"].to_numpy().astype("i8").view("u8")
    made = np.zeros(len(ids), UIDS)
    made["f1"] = ids
    return made
