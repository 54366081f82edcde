"""Pairs of picture and caption in, pairs of vectors out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import dask.dataframe as dd
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from transforms import columns
from transforms.embeddings.device import Vectors
from transforms.embeddings.encoders import Model
from transforms.embeddings.model import ModelSpec, dimension, load
from transforms.embeddings.partitions import distinct, is_null, with_reasons

PAIRS = pa.schema(
    [
        columns.SAMPLE_ID,
        pa.field("text", pa.string()),
        columns.IMAGE,
        columns.UNIT,
    ]
)
#: what a model with another text tower for other languages wants to know besides
LANGUAGE = columns.CANDIDATES.field("language")
ENGLISH = "en"


@dataclass(frozen=True)
class EmbeddingRules:
    """How the work is cut; the vectors do not depend on it beyond their last bits."""

    #: pictures or captions per forward pass; of 1 to 256 the fastest for ViT-B/32 on two CPU cores
    batch_size: int = 64
    #: where torch computes: "cpu" or "cuda"
    device: str = "cpu"


#: for a GPU, whose forward passes must be longer than it takes to start them; what does not fit is halved
GPU = EmbeddingRules(batch_size=512, device="cuda")


class UnreadablePictureError(ValueError):
    """Bytes that are not a picture that can be decoded."""


def embeddings(
    pairs: dd.DataFrame, spec: ModelSpec, rules: EmbeddingRules = EmbeddingRules()
) -> dd.DataFrame:
    """The vectors of each pair's picture and caption under one CLIP model.

    `pairs`: sample_id, text, image (encoded, large_binary), unit; for a model with a multilingual text tower
    also language: English goes through the model's own tower, all else through the other. Out:
    `columns.embeddings_schema`, one row per pair in the order given, float16 and L2-normalised, captions cut
    to the tower's context. Counted per unit: ``drop:no_picture`` (NULL), ``drop:bad_picture`` (cannot be
    decoded), ``drop:no_text`` (NULL), ``drop:not_finite`` (the model gives NaN, infinity or zero).
    Raises ModelUnavailable: here for the configuration, in the tasks for the weights.
    """
    size = dimension(spec)
    meta = columns.meta(columns.counted(columns.embeddings_schema(size)))
    vectors: dd.DataFrame = pairs[_inputs(spec).names].map_partitions(
        embed_partition, spec, size, rules, meta=meta
    )
    return vectors


def embed_partition(
    frame: pd.DataFrame, spec: ModelSpec, dimension: int, rules: EmbeddingRules = EmbeddingRules()
) -> pd.DataFrame:
    """`embeddings` of one pandas partition."""
    schema = columns.embeddings_schema(dimension)
    pairs = columns.to_arrow(frame, _inputs(spec))
    if not len(pairs):
        return columns.meta(columns.counted(schema))
    model = load(spec, rules.device)
    pictures, readable = _picture_column(pairs["image"], model, rules)
    texts = _text_column(pairs["text"], readable, _is_english(pairs), model, rules)
    reason = np.select(
        [
            is_null(pairs["image"]),
            ~readable,
            is_null(pairs["text"]),
            ~np.isfinite(pictures).all(axis=1) | ~np.isfinite(texts).all(axis=1),
        ],
        ["drop:no_picture", "drop:bad_picture", "drop:no_text", "drop:not_finite"],
        default="",
    )
    kept = reason == ""
    rows = pa.table(
        [
            pairs["sample_id"].filter(pa.array(kept)),
            _float16_lists(pictures[kept]),
            _float16_lists(texts[kept]),
            pairs["unit"].filter(pa.array(kept)),
        ],
        schema=schema,
    )
    return columns.to_pandas(with_reasons(rows, pairs["unit"], reason))


def embed_texts(
    texts: Sequence[str], spec: ModelSpec, rules: EmbeddingRules = EmbeddingRules(), english: bool = True
) -> Vectors:
    """Vectors of `texts`, float32 [n, D], L2-normalised; NaN where the model gives none.

    Texts that are not `english` go through the model's text tower for other languages, if it has one.
    """
    return load(spec, rules.device).encode_texts(texts, rules.batch_size, english)


def embed_images(
    pictures: Sequence[bytes], spec: ModelSpec, rules: EmbeddingRules = EmbeddingRules()
) -> Vectors:
    """Vectors of encoded pictures, float32 [n, D], L2-normalised; NaN where the model gives none.

    Raises UnreadablePictureError for the first that cannot be decoded.
    """
    vectors, readable = load(spec, rules.device).encode_pictures(pictures, rules.batch_size)
    if not readable.all():
        raise UnreadablePictureError(f"picture {int(np.argmin(readable))} cannot be decoded")
    return vectors


def _picture_column(
    column: pa.ChunkedArray, model: Model, rules: EmbeddingRules
) -> tuple[Vectors, npt.NDArray[np.bool_]]:
    """Vectors [n, D] and readability of a column of pictures, each different picture embedded once."""
    different, place = distinct(column)
    vectors, readable = model.encode_pictures(different, rules.batch_size)
    return _rows(vectors, place), np.append(readable, False)[place]


def _text_column(
    column: pa.ChunkedArray,
    wanted: npt.NDArray[np.bool_],
    english: npt.NDArray[np.bool_],
    model: Model,
    rules: EmbeddingRules,
) -> Vectors:
    """Vectors [n, D] of a column of texts, each different one embedded once; NaN where NULL or not wanted."""
    vectors = np.full((len(column), model.dimension), np.nan, np.float32)
    for own in (True, False):
        chosen = wanted & (english == own)
        different, place = distinct(pc.if_else(pa.array(chosen), column, None))
        found = _rows(model.encode_texts(different, rules.batch_size, own), place)
        vectors[chosen] = found[chosen]
    return vectors


def _inputs(spec: ModelSpec) -> pa.Schema:
    return PAIRS if spec.multilingual is None else PAIRS.append(LANGUAGE)


def _is_english(pairs: pa.Table) -> npt.NDArray[np.bool_]:
    """Which texts are for the model's own text tower; all, where nobody asks for their language."""
    if LANGUAGE.name not in pairs.schema.names:
        return np.ones(len(pairs), bool)
    english = pc.fill_null(pc.equal(pairs[LANGUAGE.name], ENGLISH), False)
    return english.combine_chunks().to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _rows(vectors: Vectors, place: npt.NDArray[np.int64]) -> Vectors:
    """`vectors` [n, D] laid out by `place`, where n stands for a row of NaN."""
    return np.append(vectors, np.full((1, vectors.shape[1]), np.nan, np.float32), axis=0)[place]


def _float16_lists(vectors: Vectors) -> pa.FixedSizeListArray:
    flat = pa.array(vectors.astype(np.float16).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
