"""LAION's own parquet: names, types and order of its published tables with scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from lakehouse.export.base import Shard, Written, named, store_parquet
from lakehouse.storage import Storage

#: LAION2B-en with its scores joined, as its parts are published (dataset card of
#: Rexhaif/laion-2b-en-very-unsafe); then the columns that its unions and aesthetic subsets add.
COLUMNS = (
    ("URL", "url", pa.string()),
    ("TEXT", "text", pa.string()),
    ("WIDTH", "width", pa.int32()),
    ("HEIGHT", "height", pa.int32()),
    ("similarity", "similarity", pa.float64()),
    ("hash", "sample_id", pa.int64()),
    ("punsafe", "punsafe", pa.float32()),
    ("pwatermark", "pwatermark", pa.float32()),
    ("aesthetic", "aesthetic", pa.float32()),
    ("LANGUAGE", "language", pa.string()),
)


class LaionParquet:
    """part-00000.parquet …, shuffled, as LAION's are."""

    pictures = False
    order = "md5(sample_id || ':' || $seed), sample_id"
    rows = 1_000_000

    def write(
        self, target: Storage, shard: Shard, rows: pa.Table, pictures: Iterator[bytes]
    ) -> list[Written]:
        """One parquet file."""
        return [store_parquet(target, f"part-{shard.number:05d}.parquet", named(rows, COLUMNS))]

    def finish(self, target: Storage, manifest: Mapping[str, Any]) -> list[Written]:
        """Nothing more."""
        return []
