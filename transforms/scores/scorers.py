"""One number for each pair by a named scorer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import dask.dataframe as dd
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from transforms import columns
from transforms.embeddings.model import ModelSpec
from transforms.embeddings.partitions import distinct, is_null, with_reasons
from transforms.scores import heads, opennsfw, tag, toxicity, watermark
from transforms.scores.called import Call
from transforms.scores.similarity import cosine
from transforms.scores.tag import Variant

Values = npt.NDArray[np.float32]

#: What a scorer can need, and the columns that this is.
NEEDS = {
    "vectors": ["sample_id", "image_embedding", "text_embedding", "unit"],
    "pictures": ["sample_id", "image", "unit"],
    "texts": ["sample_id", "text", "unit"],
    "lists": ["sample_id", "unit", "position"],
}

#: What becomes of a NULL input, by need. A pair without a picture gets no row: a later attempt at its URL
#: may bring the picture, and then the pair comes again, while a pair has one value of each scorer.
MISSING = {
    "vectors": "note:no_embedding",
    "pictures": "drop:no_picture",
    "texts": "note:no_text",
    "lists": "note:not_published",
}
#: Why a value is NULL, by need: nothing can be computed from the input.
UNUSABLE = {
    "vectors": "note:not_finite",
    "pictures": "note:bad_picture",
    "texts": "note:not_finite",
    "lists": "note:not_finite",
}

#: LAION's heads, by the models whose embeddings they were trained on: (architecture, weights).
HEADS = {
    ("ViT-B-32", "openai"): ("punsafe_b32", "aesthetic_v1_b32"),
    ("ViT-L-14", "openai"): ("punsafe_l14", "aesthetic_v1_l14", "aesthetic_v2_l14"),
}


@dataclass(frozen=True)
class Scorer:
    """A way to give each pair a number.

    `name`: in the scores table, its model included ("punsafe_l14").
    `role`: what the number tells: similarity, punsafe, aesthetic, toxicity, pwatermark, nsfw.
    `needs`: "vectors", "pictures", "texts" or "lists", a key of NEEDS.
    `model`: where vectors are needed, the short name of the model that made them.
    `head`: where one of LAION's heads computes it, the name of its weights.
    `column`: where the number was published with a URL list, the column that has it.
    `call`: where somebody's own function computes it, that function.
    `tag`: where LAION's list of texts computes it, the variant, and the model that reads the texts.
    """

    name: str
    role: str
    needs: str
    model: str | None = None
    head: str | None = None
    column: str | None = None
    call: Call | None = None
    tag: tuple[Variant, ModelSpec] | None = None

    def fingerprint(self) -> dict[str, Any]:
        """What decides about this scorer's values, besides its inputs."""
        if self.call is not None:
            identity = self.call.identity()
        elif self.tag is not None:
            identity = tag.identity(*self.tag)
        elif self.head is not None:
            identity = {"weights_sha256": heads.sha256(self.head)}
        elif self.needs == "pictures":
            identity = PICTURE_MODELS[self.name][1]()
        elif self.needs == "texts":
            identity = toxicity.identity()
        elif self.column is not None:
            identity = {"column": self.column}
        else:
            identity = {"measure": "cosine"}
        return {"name": self.name, "needs": self.needs, **identity}


OPENNSFW = Scorer("punsafe_opennsfw", "punsafe", "pictures")
TOXICITY = Scorer("toxicity_profanity_check", "toxicity", "texts")
WATERMARK = Scorer("pwatermark_small", "pwatermark", "pictures")


#: What computes the values of packaged models of pictures, and what tells their identity.
PICTURE_MODELS: dict[str, tuple[Callable[[Sequence[bytes]], Values], Callable[[], dict[str, str]]]] = {
    OPENNSFW.name: (opennsfw.unsafe, opennsfw.identity),
    WATERMARK.name: (watermark.watermarked, watermark.identity),
}


def scorers_for(spec: ModelSpec) -> list[Scorer]:
    """Similarity under the model, and LAION's heads where they fit it; else open_nsfw for punsafe.

    The heads fit OpenAI's weights only: another model of the same architecture has other embeddings, even
    under the name "b32".
    """
    similarity = Scorer(f"similarity_{spec.name}", "similarity", "vectors", spec.name)
    fitting = HEADS.get((spec.architecture.removesuffix("-quickgelu"), spec.pretrained or ""), ())
    with_head = []
    for head in fitting:
        kind = head.rpartition("_")[0]
        role = kind.partition("_")[0]
        with_head.append(Scorer(f"{kind}_{spec.name}", role, "vectors", spec.name, head))
    return [similarity, *(with_head or [OPENNSFW])]


def default_scorers(specs: Iterable[ModelSpec]) -> list[Scorer]:
    """Every scorer of every model, each once, and the toxicity of the texts."""
    found = [scorer for spec in specs for scorer in scorers_for(spec)]
    return list(dict.fromkeys([*found, TOXICITY]))


def further_scorers(specs: Iterable[ModelSpec]) -> list[Scorer]:
    """Scorers that there are too, where the settings name them: LAION's tag by each model, and watermarks."""
    found = []
    for spec in specs:
        found.append(Scorer(f"nsfw_{spec.name}", "nsfw", "vectors", spec.name, tag=("meant", spec)))
        found.append(Scorer(f"nsfw_asrun_{spec.name}", "nsfw", "vectors", spec.name, tag=("ran", spec)))
    return [*found, WATERMARK]


def scores(inputs: dd.DataFrame, scorer: Scorer) -> dd.DataFrame:
    """`columns.SCORES` with one row for each row of `inputs` that is not without its picture, in their order.

    `inputs` has the columns NEEDS[scorer.needs]. A value that cannot be computed is NULL, never NaN or
    infinite, and counted per unit: ``note:no_embedding`` or ``note:no_text`` where the input is NULL,
    ``note:not_finite`` or ``note:bad_picture`` where it is no use. Dropped is ``drop:no_picture`` alone.
    """
    meta = columns.meta(columns.counted(columns.SCORES))
    values: dd.DataFrame = inputs[NEEDS[scorer.needs]].map_partitions(score_partition, scorer, meta=meta)
    return values


def score_partition(frame: pd.DataFrame, scorer: Scorer) -> pd.DataFrame:
    """`scores` of one pandas partition."""
    if not len(frame):
        return columns.meta(columns.counted(columns.SCORES))
    table = pa.Table.from_pandas(frame[NEEDS[scorer.needs]], preserve_index=False)
    with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is not finite, and so NULL
        values, missing = _values(table, scorer)
    return scored(table, scorer, values, missing)


def scored(table: pa.Table, scorer: Scorer, values: Values, missing: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """A partition of `columns.SCORES` with its counts, from the value of each row of `table`.

    `table` has the columns sample_id and unit. A value that is not finite becomes NULL, and is counted as
    MISSING where `missing` is true, else as UNUSABLE.
    """
    absent = ~np.isfinite(values)
    rows = pa.table(
        [
            table["sample_id"],
            pa.array([scorer.name] * len(table), pa.string()),
            pa.array(values, mask=absent),
            table["unit"],
        ],
        schema=columns.SCORES,
    )
    reason = np.select([missing, absent], [MISSING[scorer.needs], UNUSABLE[scorer.needs]], default="")
    kept = ~np.char.startswith(reason, "drop:")
    return columns.to_pandas(with_reasons(rows.filter(pa.array(kept)), table["unit"], reason))


def _values(table: pa.Table, scorer: Scorer) -> tuple[Values, npt.NDArray[np.bool_]]:
    """The value of each row, not finite where there is none, and which rows have a NULL for input."""
    if scorer.call is not None:
        return _called(table, scorer.needs, scorer.call)
    if scorer.needs == "pictures":
        return _of_each(PICTURE_MODELS[scorer.name][0], table["image"]), is_null(table["image"])
    if scorer.needs == "texts":
        return _of_each(toxicity.toxicity, table["text"]), is_null(table["text"])
    images, missing = _vectors(table["image_embedding"]), is_null(table["image_embedding"])
    if scorer.head is not None:
        return heads.head(scorer.head, images), missing
    if scorer.tag is not None:
        return tag.tags(images, tag.vectors_of(*scorer.tag)), missing
    return cosine(images, _vectors(table["text_embedding"])), missing | is_null(table["text_embedding"])


def _called(table: pa.Table, needs: str, call: Call) -> tuple[Values, npt.NDArray[np.bool_]]:
    """What somebody's own function says of the rows that have all that it needs."""
    missing = np.zeros(len(table), bool)
    for name in NEEDS[needs]:
        missing |= is_null(table[name])
    given = table.filter(pa.array(~missing))
    frame = given.select([n for n in NEEDS[needs] if not n.endswith("_embedding")]).to_pandas()
    for name in NEEDS[needs]:
        if name.endswith("_embedding"):
            frame[name] = list(_vectors(given[name]).astype(np.float32))
    values = np.full(len(table), np.nan, np.float32)
    if len(frame):
        values[~missing] = call.values(frame)
    return values, missing


def _of_each(score: Callable[[Sequence[Any]], Values], column: pa.ChunkedArray) -> Values:
    """`score` of each row of `column`, computed once for each different value; NaN for NULL."""
    different, place = distinct(column)
    return np.append(score(different), np.float32(np.nan))[place]


def _vectors(column: pa.ChunkedArray) -> npt.NDArray[np.floating[Any]]:
    """A column of fixed-size lists as an array [n, D] of their type, NaN where NULL."""
    array = column.combine_chunks()
    flat = array.flatten().to_numpy(zero_copy_only=False).reshape(-1, array.type.list_size)
    if not array.null_count:
        return flat  # type: ignore[no-any-return]
    vectors = np.full((len(array), array.type.list_size), np.nan, flat.dtype)
    vectors[~is_null(column)] = flat
    return vectors
