"""One row for each pair and scorer, with a value or NULL, and every NULL is accounted for."""

from __future__ import annotations

import pickle
from collections import Counter

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from checkpoint_folder import DATA, PHOTOS
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms import columns
from transforms.embeddings import BUILTIN, ModelSpec
from transforms.scores import Scorer, default_scorers, score_partition, scorers_for, scores

SCORERS = {scorer.name: scorer for scorer in default_scorers([*BUILTIN.values(), ModelSpec("demo", "demo")])}
ANSWERS = np.load(DATA / "answers.npz")


def vector_frame(images: list[np.ndarray | None], texts: list[np.ndarray | None], size: int) -> pd.DataFrame:
    vector = pa.list_(pa.float16(), size)

    def lists(rows: list[np.ndarray | None]) -> pa.Array:
        return pa.array([None if row is None else list(row.astype(np.float16)) for row in rows], vector)

    units = [f"unit {n % 2}" for n in range(len(images))]
    table = pa.table(
        {
            "sample_id": pa.array(range(len(images)), pa.int64()),
            "image_embedding": lists(images),
            "text_embedding": lists(texts),
            "unit": pa.array(units, pa.string()),
        }
    )
    return columns.to_pandas(table)


def column_frame(name: str, values: list[object], dtype: pa.DataType) -> pd.DataFrame:
    table = pa.table(
        {
            "sample_id": pa.array(range(len(values)), pa.int64()),
            name: pa.array(values, dtype),
            "unit": pa.array(["u"] * len(values), pa.string()),
        }
    )
    return columns.to_pandas(table)


def split(out: pd.DataFrame) -> tuple[list[float | None], dict[tuple[str, str], int]]:
    """The values in order, and the counts; rows in are rows out, and those dropped."""
    table = columns.to_arrow(out, columns.counted(columns.SCORES))
    rows = [row for row in table.to_pylist() if row[columns.COUNT] is None]
    counts: Counter[tuple[str, str]] = Counter()  # a unit cut into partitions is counted in each
    for row in table.filter(table[columns.COUNT].is_valid()).to_pylist():
        counts[row["unit"], row[columns.COUNT]] += row[columns.N]
    came = sum(n for (_, name), n in counts.items() if name == "in")
    dropped = {name: n for (_, name), n in counts.items() if name.startswith("drop:")}
    assert came == len(rows) + sum(dropped.values())
    assert dropped.keys() <= {"drop:no_picture"}
    ids = [row["sample_id"] for row in rows]
    assert ids == sorted(ids)
    assert dropped or ids == list(range(len(rows)))
    return [row["value"] for row in rows], counts


def test_similarity_is_the_cosine() -> None:
    random = np.random.default_rng(0)
    images, texts = random.normal(size=(2, 50, 16)).astype(np.float16).astype(float)
    values, counts = split(score_partition(vector_frame([*images], [*texts], 16), SCORERS["similarity_b32"]))
    expected = [i @ t / (np.linalg.norm(i) * np.linalg.norm(t)) for i, t in zip(images, texts, strict=True)]
    np.testing.assert_allclose(values, expected, atol=1e-6)
    assert counts == {("unit 0", "in"): 25, ("unit 1", "in"): 25}


def test_vectors_that_are_no_use_give_null() -> None:
    good = np.ones(4)
    with np.errstate(over="ignore"):
        beyond = np.array([70_000.0, 1, 1, 1]).astype(np.float16)  # infinite in float16
    images = [good, beyond, good, None, good * 0, good, np.full(4, np.nan)]
    texts = [good, good, good * np.nan, good, good, None, good]
    values, counts = split(score_partition(vector_frame(images, texts, 4), SCORERS["similarity_b32"]))
    assert values == [1, None, None, None, None, None, None]
    assert counts == {
        ("unit 0", "in"): 4,
        ("unit 0", "note:not_finite"): 3,
        ("unit 1", "in"): 3,
        ("unit 1", "note:no_embedding"): 2,
        ("unit 1", "note:not_finite"): 1,
    }


def test_a_head_needs_the_picture_alone() -> None:
    vectors = ANSWERS["seven_b32"].astype(np.float32)
    images = [*vectors[:6], None]
    frame = vector_frame(images, [None] * 7, 512)
    values, counts = split(score_partition(frame, SCORERS["aesthetic_v1_b32"]))
    np.testing.assert_allclose(values[:6], ANSWERS["seven_aesthetic_v1_b32"][:6], atol=1e-4)
    assert values[6] is None
    assert counts == {("unit 0", "in"): 4, ("unit 0", "note:no_embedding"): 1, ("unit 1", "in"): 3}


def test_broken_pictures_give_null_and_absent_ones_no_row() -> None:
    pictures = [PHOTOS[0], None, b"<html>", PHOTOS[1], PHOTOS[0]]
    frame = column_frame("image", pictures, pa.large_binary())
    values, counts = split(score_partition(frame, SCORERS["punsafe_opennsfw"]))
    assert [value is None for value in values] == [False, True, False, False]
    assert values[0] == values[3] != values[2]
    assert counts == {("u", "in"): 5, ("u", "drop:no_picture"): 1, ("u", "note:bad_picture"): 1}


def test_texts_that_are_absent_give_null() -> None:
    frame = column_frame("text", ["a dog on a beach", None, "", "you stupid idiot"], pa.string())
    values, counts = split(score_partition(frame, SCORERS["toxicity_profanity_check"]))
    assert [value is None for value in values] == [False, True, False, False]
    assert values[3] > 0.9 > 0.2 > values[0]
    assert counts == {("u", "in"): 4, ("u", "note:no_text"): 1}


@pytest.mark.parametrize(
    ("scorer", "empty"),
    [
        ("similarity_b32", vector_frame([], [], 4)),
        ("punsafe_b32", vector_frame([], [], 512)),
        ("punsafe_opennsfw", column_frame("image", [], pa.large_binary())),
        ("toxicity_profanity_check", column_frame("text", [], pa.string())),
    ],
)
def test_no_rows_give_no_rows(scorer: str, empty: pd.DataFrame) -> None:
    assert split(score_partition(empty, SCORERS[scorer])) == ([], {})


vectors_of_anything = st.lists(
    st.tuples(*[st.none() | st.lists(st.floats(width=16), min_size=3, max_size=3).map(np.array)] * 2),
    max_size=6,
)


@given(vectors_of_anything)
@settings(deadline=None)
def test_no_value_is_ever_nan_or_infinite(rows: list[tuple[np.ndarray | None, np.ndarray | None]]) -> None:
    frame = vector_frame([image for image, _ in rows], [text for _, text in rows], 3)
    values, counts = split(score_partition(frame, SCORERS["similarity_b32"]))
    assert all(value is None or -1.000001 <= value <= 1.000001 for value in values)
    nulls = sum(n for (_, name), n in counts.items() if name.startswith("note:"))
    assert nulls == sum(value is None for value in values)


def test_values_do_not_depend_on_partitions() -> None:
    vectors = ANSWERS["punsafe_b32_x"].astype(np.float16)
    frame = vector_frame([*vectors], [*vectors[::-1]], 512)
    for name in ("similarity_b32", "punsafe_b32"):
        whole, counts = split(score_partition(frame, SCORERS[name]))
        cut = scores(dd.from_pandas(frame, npartitions=5, sort=False), SCORERS[name])
        assert cut.dtypes.to_dict() == columns.meta(columns.counted(columns.SCORES)).dtypes.to_dict()
        parts, _ = split(cut.compute(scheduler="threads"))
        # float16 in, so float32 sums in another order differ in the sixth digit
        np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-7)
        assert counts == {("unit 0", "in"): 32, ("unit 1", "in"): 32}


def test_scorers_of_the_models() -> None:
    assert [scorer.name for scorer in scorers_for(BUILTIN["b32"])] == [
        "similarity_b32",
        "punsafe_b32",
        "aesthetic_v1_b32",
    ]
    assert [scorer.name for scorer in scorers_for(BUILTIN["l14"])] == [
        "similarity_l14",
        "punsafe_l14",
        "aesthetic_v1_l14",
        "aesthetic_v2_l14",
    ]
    assert [
        s.name for s in default_scorers([ModelSpec("demo", "folder"), ModelSpec("other", "folder2")])
    ] == [
        "similarity_demo",
        "punsafe_opennsfw",
        "similarity_other",
        "toxicity_profanity_check",
    ]
    assert {scorer.role for scorer in SCORERS.values()} == {"similarity", "punsafe", "aesthetic", "toxicity"}


def test_heads_fit_weights_not_names() -> None:
    """LAION's own B/32 has other embeddings than OpenAI's, whatever the lake calls it."""
    assert "punsafe_b32" not in [
        s.name for s in scorers_for(ModelSpec("b32", "ViT-B-32", "laion2b_s34b_b79k"))
    ]
    renamed = scorers_for(ModelSpec("openai", "ViT-B-32-quickgelu", "openai"))
    assert [(s.name, s.head) for s in renamed][1] == ("punsafe_openai", "punsafe_b32")


def test_fingerprints_tell_scorers_apart_and_travel() -> None:
    prints = {name: scorer.fingerprint() for name, scorer in SCORERS.items()}
    assert len({str(sorted(value.items())) for value in prints.values()}) == len(SCORERS) == 10
    for scorer in SCORERS.values():
        copy: Scorer = pickle.loads(pickle.dumps(scorer))
        assert copy == scorer
        assert copy.fingerprint() == scorer.fingerprint()
    assert prints["punsafe_b32"]["weights_sha256"] != prints["punsafe_l14"]["weights_sha256"]
    assert prints["toxicity_profanity_check"]["alt-profanity-check"]
