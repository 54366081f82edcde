"""The columns that each transform makes, with their Arrow types.

A field's metadata says its *kind* and what it holds:

- ``content``: equal on every rebuild, whatever the worker count or batch size;
- ``numeric``: equal within a stated tolerance (models differ in the last bits between machines);
- ``observation``: times and durations, never compared.

Besides its columns, every frame that a transform makes has two more, `COUNT` and `N`: a row whose
`COUNT` is not null is no data but bookkeeping: "N rows of this unit met this fate". So what is
dropped travels with what is kept, and nothing vanishes without a count. Names of counts:

- ``in``: rows (links, pairs, URLs) that the transform was given, counted where they come in;
- ``drop:REASON``: rows that did not pass; ``in`` = rows out + the sum of all ``drop:`` counts;
- ``note:WHAT``: anything else worth an account (records skipped, bytes, retries); not in the sum.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import pyarrow as pa

COUNT = "_count"
N = "_n"


def column(name: str, dtype: pa.DataType, kind: str, doc: str, nullable: bool = True) -> pa.Field:
    """An Arrow field that carries its kind and one line on what it holds."""
    return pa.field(name, dtype, nullable, metadata={"kind": kind, "doc": doc})


UNIT = column(
    "unit",
    pa.string(),
    "content",
    "piece of work the row came from: a crawl file by its path within the crawl, or a numbered slice of one",
    nullable=False,
)
SAMPLE_ID = column(
    "sample_id",
    pa.int64(),
    "content",
    "mmh3.hash64((url + text).encode(), seed 0, x64, signed)[0]: LAION's own join key",
    nullable=False,
)
URL_ID = column("url_id", pa.int64(), "content", "the same hash of the URL alone", nullable=False)

CANDIDATES = pa.schema(
    [
        SAMPLE_ID,
        column("url", pa.string(), "content", "the picture's resolved URL", nullable=False),
        column("text", pa.string(), "content", "the cleaned, cut caption", nullable=False),
        URL_ID,
        column("page_url", pa.string(), "content", "the page that shows the picture"),
        column("host", pa.string(), "content", "host name of the picture's URL"),
        column(
            "license",
            pa.string(),
            "content",
            "Creative Commons licence URL that the page links to, else NULL",
        ),
        column(
            "language",
            pa.string(),
            "content",
            "CLD3's language without script suffix; NULL where it is not reliable",
        ),
        column("language_probability", pa.float32(), "numeric", "CLD3's probability, 0 to 1"),
        UNIT,
        column(
            "position",
            pa.int64(),
            "content",
            "the row's place within its unit: its order in the crawl file",
            nullable=False,
        ),
    ]
)

DOWNLOADS = pa.schema(
    [
        URL_ID,
        column("attempt", pa.int32(), "content", "1 for the first attempt at the URL", nullable=False),
        column("url", pa.string(), "content", "the URL that was asked for", nullable=False),
        column("host", pa.string(), "content", "host name of the URL"),
        column(
            "status",
            pa.string(),
            "content",
            "success, or why there is no picture: a DownloadStatus",
            nullable=False,
        ),
        column("error", pa.string(), "content", "one line of detail for a failure"),
        column("http_status", pa.int32(), "content", "status code of the last answer"),
        column("final_url", pa.string(), "content", "the URL after redirects, where it differs"),
        column("content_type", pa.string(), "content", "Content-Type header as sent"),
        column("width", pa.int32(), "content", "pixels of the original, turned the right way round"),
        column("height", pa.int32(), "content", "pixels of the original, turned the right way round"),
        column(
            "bytes",
            pa.int64(),
            "content",
            "bytes of the original file; of an import, of the file as the shard has it",
        ),
        column(
            "sha256",
            pa.string(),
            "content",
            "of the original file, hex; of an import, as img2dataset says, else of the file it kept",
        ),
        column(
            "md5",
            pa.string(),
            "content",
            "of the original file, hex; of an import, NULL where it is not known",
        ),
        column(
            "phash", pa.int64(), "numeric", "64-bit perceptual hash of the picture (DCT), as a signed integer"
        ),
        column(
            "opt_out",
            pa.list_(pa.string()),
            "content",
            "opt-out signals seen, such as X-Robots-Tag directives",
        ),
        UNIT,
        column("fetched_at", pa.timestamp("us", tz="UTC"), "observation", "when the attempt ended"),
    ]
)

IMAGE = column(
    "image", pa.large_binary(), "numeric", "encoded picture after resizing; NULL unless status is success"
)

IMAGES = pa.schema([URL_ID, IMAGE, UNIT])

SCORES = pa.schema(
    [
        SAMPLE_ID,
        column("scorer", pa.string(), "content", "the scorer's name, its model included", nullable=False),
        column("value", pa.float32(), "numeric", "NULL where it could not be computed, never NaN"),
        UNIT,
    ]
)

DUPLICATES = pa.schema(
    [
        SAMPLE_ID,
        column(
            "method",
            pa.string(),
            "content",
            "how the group was found: sha256, phash or embedding",
            nullable=False,
        ),
        column("group_id", pa.int64(), "content", "smallest sample_id of the group", nullable=False),
        column("kept", pa.bool_(), "content", "true for the one member that stays", nullable=False),
        UNIT,
    ]
)


_SCORE_ROLES = (
    "similarity",
    "punsafe",
    "aesthetic",
    "aesthetic_v1",
    "aesthetic_v2",
    "toxicity",
    "pwatermark",
)

STORED_PAIRS = pa.schema(
    [
        *[
            CANDIDATES.field(name)
            for name in (
                "sample_id",
                "url",
                "text",
                "url_id",
                "host",
                "page_url",
                "license",
                "language",
                "language_probability",
            )
        ],
        *[
            DOWNLOADS.field(name).with_nullable(True)
            for name in (
                "status",
                "http_status",
                "width",
                "height",
                "bytes",
                "sha256",
                "md5",
                "phash",
                "attempt",
            )
        ],
        *[
            column(role, pa.float32(), "numeric", "the value of the active scorer of that role")
            for role in _SCORE_ROLES
        ],
        UNIT,
        column("candidates_batch", pa.int64(), "observation", "the candidate's own batch", nullable=False),
    ]
)


def embeddings_schema(dimension: int) -> pa.Schema:
    """Columns of an embeddings table whose vectors have `dimension` elements."""
    vector = pa.list_(pa.float16(), dimension)
    return pa.schema(
        [
            SAMPLE_ID,
            column("image_embedding", vector, "numeric", "float16, L2-normalised", nullable=False),
            column("text_embedding", vector, "numeric", "float16, L2-normalised", nullable=False),
            UNIT,
        ]
    )


def counted(schema: pa.Schema) -> pa.Schema:
    """`schema` with every column nullable and the two bookkeeping columns: what frames look like."""
    fields = [field.with_nullable(True) for field in schema]
    return pa.schema([*fields, pa.field(COUNT, pa.string()), pa.field(N, pa.int64())])


def meta(schema: pa.Schema) -> pd.DataFrame:
    """An empty pandas frame with Arrow dtypes, the `meta` that Dask wants for `schema`."""
    return to_pandas(schema.empty_table())


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """`table` as a pandas frame whose columns keep their Arrow types, without a copy."""
    return table.to_pandas(types_mapper=pd.ArrowDtype)


def to_arrow(frame: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    """The columns of `schema` from `frame`, as an Arrow table of exactly that schema."""
    return pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False)


def count_rows(schema: pa.Schema, unit: str, counts: Mapping[str, int]) -> pa.Table:
    """Bookkeeping rows of one unit, in the form that `counted(schema)` describes."""
    names = [name for name, n in counts.items() if n]
    columns: dict[str, pa.Array] = {
        "unit": pa.array([unit] * len(names), pa.string()),
        COUNT: pa.array(names, pa.string()),
        N: pa.array([counts[name] for name in names], pa.int64()),
    }
    full = counted(schema)
    return pa.table([columns.get(f.name, pa.nulls(len(names), f.type)) for f in full], schema=full)


def with_counts(rows: pa.Table, unit: str, counts: Mapping[str, int]) -> pa.Table:
    """`rows` followed by the bookkeeping rows of their unit."""
    schema = rows.schema
    full = counted(schema)
    filled = [*rows.columns, pa.nulls(len(rows), pa.string()), pa.nulls(len(rows), pa.int64())]
    return pa.concat_tables([pa.table(filled, schema=full), count_rows(schema, unit, counts)])
