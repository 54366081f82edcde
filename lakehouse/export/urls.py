"""A URL list for img2dataset, with what it needs to find the same pictures again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from lakehouse.export.base import Shard, Written, named, store_parquet
from lakehouse.storage import Storage

#: For img2dataset's --url_col url --caption_col caption --verify_hash '["sha256", "sha256"]'
COLUMNS = (
    ("url", "url", pa.string()),
    ("caption", "text", pa.string()),
    ("sample_id", "sample_id", pa.int64()),
    ("sha256", "sha256", pa.string()),
)


class Urls:
    """urls-00000.parquet …"""

    pictures = False
    order = "md5(sample_id || ':' || $seed), sample_id"  # spreads hosts, which the downloader will ask
    rows = 1_000_000

    def write(
        self, target: Storage, shard: Shard, rows: pa.Table, pictures: Iterator[bytes]
    ) -> list[Written]:
        """One parquet file."""
        return [store_parquet(target, f"urls-{shard.number:05d}.parquet", named(rows, COLUMNS))]

    def finish(self, target: Storage, manifest: Mapping[str, Any]) -> list[Written]:
        """Nothing more."""
        return []
