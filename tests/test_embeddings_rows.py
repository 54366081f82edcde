"""Every pair that comes in goes out as a row of its own or is counted with a reason."""

from __future__ import annotations

import io
from pathlib import Path

import dask.dataframe as dd
import numpy as np
import open_clip
import pandas as pd
import pyarrow as pa
import pytest
from checkpoint_folder import PHOTOS, network, write_checkpoint
from PIL import Image

from transforms import columns
from transforms.embeddings import EmbeddingRules, ModelSpec, embed_images, embed_partition, embeddings
from transforms.embeddings.batches import PAIRS

Counts = dict[tuple[str, str], int]


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


def frame(rows: list[tuple[int, str | None, bytes | None, str]]) -> pd.DataFrame:
    table = pa.table([list(c) for c in zip(*rows, strict=True)] or [[]] * 4, schema=PAIRS)
    return columns.to_pandas(table)


def split(out: pd.DataFrame) -> tuple[pd.DataFrame, Counts]:
    kept = out[out[columns.COUNT].isna()]
    books = out[out[columns.COUNT].notna()]
    counts = {
        (unit, name): n
        for unit, name, n in zip(books["unit"], books[columns.COUNT], books[columns.N], strict=True)
    }
    assert len(counts) == len(books)
    for unit in set(books["unit"]) | set(kept["unit"]):
        dropped = sum(n for (u, name), n in counts.items() if u == unit and name.startswith("drop:"))
        assert counts[unit, "in"] == (kept["unit"] == unit).sum() + dropped
    return kept, counts


def test_bad_pictures_are_counted_and_shift_nobody(spec: ModelSpec) -> None:
    bomb = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(bomb, "PNG")
    rows = [
        (10, "first", PHOTOS[0], "a"),
        (11, "an error page", b"<html>404</html>", "a"),
        (12, "second", PHOTOS[1], "b"),
        (13, "cut off", PHOTOS[2][:3000], "b"),
        (14, "nothing", b"", "a"),
        (15, "never fetched", None, "b"),
        (16, "third", PHOTOS[2], "a"),
        (17, "a bomb", bomb.getvalue(), "a"),
        (18, None, PHOTOS[3], "b"),
        (19, "fourth", PHOTOS[4], "b"),
    ]
    kept, counts = split(embed_partition(frame(rows), spec, 24, EmbeddingRules(batch_size=3)))
    assert kept["sample_id"].tolist() == [10, 12, 16, 19]
    assert kept["unit"].tolist() == ["a", "b", "a", "b"]
    expected = embed_images([PHOTOS[0], PHOTOS[1], PHOTOS[2], PHOTOS[4]], spec)
    np.testing.assert_allclose(np.array(kept["image_embedding"].tolist()), expected, atol=1e-3)
    assert counts == {
        ("a", "in"): 5,
        ("a", "drop:bad_picture"): 3,
        ("b", "in"): 5,
        ("b", "drop:bad_picture"): 1,
        ("b", "drop:no_picture"): 1,
        ("b", "drop:no_text"): 1,
    }


def test_a_word_that_the_model_answers_with_nan_drops_its_captions_only(tmp_path: Path) -> None:
    state = network().state_dict()
    (token,) = open_clip.SimpleTokenizer().encode("fox")
    state["token_embedding.weight"][token] = float("nan")
    spec = write_checkpoint(tmp_path, state)
    texts = ["a cat", "a fox", "a dog", "the fox runs"]
    rows = [(i, text, PHOTOS[i], "u") for i, text in enumerate(texts)]
    kept, counts = split(embed_partition(frame(rows), spec, 24))
    assert kept["sample_id"].tolist() == [0, 2]
    assert counts == {("u", "in"): 4, ("u", "drop:not_finite"): 2}
    assert np.isfinite(np.array(kept["text_embedding"].tolist())).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_a_broken_model_gives_no_rows(tmp_path: Path, value: float) -> None:
    state = network().state_dict()
    state["visual.proj"][:] = value
    spec = write_checkpoint(tmp_path, state)
    kept, counts = split(embed_partition(frame([(1, "a cat", PHOTOS[0], "u")]), spec, 24))
    assert len(kept) == 0
    assert counts == {("u", "in"): 1, ("u", "drop:not_finite"): 1}


def test_frames_have_the_schema_of_the_table(spec: ModelSpec) -> None:
    schema = columns.counted(columns.embeddings_schema(24))
    rows = [(1, "a cat", PHOTOS[0], "u"), (2, "a dog", b"", "u")]
    for part in (frame(rows), frame(rows[1:]), frame([])):
        out = embed_partition(part, spec, 24)
        assert columns.to_arrow(out, schema).schema.equals(schema)
        assert out.dtypes.to_dict() == columns.meta(schema).dtypes.to_dict()


def test_an_empty_partition_says_nothing(spec: ModelSpec) -> None:
    assert len(embed_partition(frame([]), spec, 24)) == 0


def test_empty_partitions_among_others_change_nothing(spec: ModelSpec) -> None:
    full = frame([(1, "a cat", PHOTOS[0], "u"), (2, "a dog", PHOTOS[1], "u")])
    parts = dd.concat([dd.from_pandas(part, npartitions=1) for part in (frame([]), full, frame([]))])
    kept, counts = split(embeddings(parts, spec).compute(scheduler="synchronous"))
    assert kept["sample_id"].tolist() == [1, 2]
    assert counts == {("u", "in"): 2}


def test_planning_reads_no_weights(tmp_path: Path) -> None:
    spec = write_checkpoint(tmp_path)
    (tmp_path / "open_clip_model.safetensors").unlink()
    rows = dd.from_pandas(frame([(1, "a cat", PHOTOS[0], "u")]), npartitions=1)
    planned = embeddings(rows, spec)
    assert planned.columns.tolist() == columns.counted(columns.embeddings_schema(24)).names
