"""The tables of a lake: name, format, key, Arrow schema.

The columns that a transform makes are defined in `transforms.columns`, each with its kind and one
line on it; here they become tables, and every table gets `batch`. Delta holds what SQL reads, Lance
holds payloads: pictures and vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from transforms import columns

SCHEMA_VERSION = 1

BATCH = columns.column(
    "batch", pa.int64(), "observation", "the ledger's batch that wrote the row", nullable=False
)


@dataclass(frozen=True)
class TableSpec:
    """One table of the lake."""

    name: str
    format: Literal["delta", "lance"]
    key: tuple[str, ...]
    schema: pa.Schema
    partition_by: str | None = None
    #: columns whose minima and maxima the table's log has, so that readers skip files. Of URLs and texts they
    #: would keep what is removed.
    statistics: tuple[str, ...] = ("batch", "unit")
    #: rows of a parquet row group: what a reader of a slice, or with a condition, skips by
    row_group: int = 16_384
    #: columns that are stored as places in a dictionary; all that gain by it where this is None. Where it is
    #: not, numbers are not compressed either: what is scanned often is read more quickly so
    dictionary: tuple[str, ...] | None = None
    #: how rows lie within a file, NULL last: what is asked for together is stored together, so that
    #: conditions skip row groups. Compaction keeps it; where it is empty, rows lie as they come
    order: tuple[tuple[str, Literal["ascending", "descending"]], ...] = ()


def _spec(
    name: str,
    form: Literal["delta", "lance"],
    key: tuple[str, ...],
    schema: pa.Schema,
    **more: Any,
) -> TableSpec:
    return TableSpec(name, form, key, schema.append(BATCH), **more)


REMOVALS = pa.schema(
    [
        columns.column(
            "kind",
            pa.string(),
            "content",
            "what `hash` is of: of tombstones, transforms.tombstones; pair, picture or dropped: what left",
            nullable=False,
        ),
        columns.column("hash", pa.int64(), "content", "64 bits of a hash: no URL, no text", nullable=False),
        columns.column("url_id", pa.int64(), "content", "of a pair that left: its URL's key"),
        columns.column(
            "pair_batch", pa.int64(), "observation", "of a pair that left: its batch of candidates"
        ),
        columns.column("reason", pa.string(), "content", "why it was asked for", nullable=False),
        columns.column(
            "at", pa.timestamp("us", tz="UTC"), "observation", "when it was asked for", nullable=False
        ),
        columns.UNIT,
    ]
)

FIXED = {
    spec.name: spec
    for spec in (
        _spec("candidates", "delta", ("sample_id",), columns.CANDIDATES),
        _spec("downloads", "delta", ("url_id", "attempt"), columns.DOWNLOADS),
        _spec("images", "lance", ("url_id",), columns.IMAGES),
        _spec("scores", "delta", ("sample_id", "scorer"), columns.SCORES, partition_by="scorer"),
        _spec("duplicates", "delta", ("sample_id", "method"), columns.DUPLICATES, partition_by="method"),
        _spec("removals", "delta", ("kind", "hash", "batch"), REMOVALS),
        _spec(
            "stored_pairs",
            "delta",
            ("sample_id",),
            columns.STORED_PAIRS,
            statistics=("batch", "unit", "language", "similarity", "punsafe", "aesthetic", "width", "height"),
            row_group=32_768,
            dictionary=(
                *("host", "page_url", "license", "language", "status", "http_status", "width", "height"),
                *("attempt", "unit", "candidates_batch", "batch"),
            ),
            order=(("language", "ascending"), ("similarity", "descending"), ("sample_id", "ascending")),
        ),
    )
}


def embeddings(model: str, dimension: int) -> TableSpec:
    """The table of one model's vectors, `dimension` elements each."""
    return _spec(f"embeddings_{model}", "lance", ("sample_id",), columns.embeddings_schema(dimension))


COUNTS = pa.list_(pa.struct([("unit", pa.string()), ("name", pa.string()), ("n", pa.int64())]))
FILES = pa.list_(pa.struct([("path", pa.string()), ("sha256", pa.string()), ("bytes", pa.int64())]))

# One row per event. A `key` is what has batches of its own: a table's name, or for a partition of a
# partitioned table the name with the partition's value behind a slash: scores/similarity_b32.
LEDGER = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("batch", pa.int64(), nullable=False),
        pa.field("event", pa.string(), nullable=False),
        pa.field("generation", pa.int64()),
        pa.field("units", pa.list_(pa.string())),
        pa.field("fingerprint", pa.string()),
        pa.field("selection", pa.string()),
        pa.field("owner", pa.string()),
        pa.field("token", pa.string()),
        pa.field("attempt", pa.int64()),
        pa.field("lease_until", pa.timestamp("us", tz="UTC")),
        pa.field("rows", pa.int64()),
        pa.field("bytes", pa.int64()),
        pa.field("seconds", pa.float64()),
        pa.field("counts", COUNTS),
        pa.field("files", FILES),
        pa.field("whole", pa.string()),
        pa.field("content", pa.string()),
        pa.field("version", pa.int64()),
        pa.field("details", pa.string()),
        pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)

RELEASES = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("pins", pa.string(), nullable=False),
        pa.field("views", pa.string(), nullable=False),
        pa.field("counts", pa.string(), nullable=False),
        pa.field("fingerprints", pa.string(), nullable=False),
        pa.field("package", pa.string(), nullable=False),
        pa.field("note", pa.string()),
        pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)
