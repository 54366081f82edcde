"""The vectors are open_clip's, whatever the batch, the partition and the neighbours in it."""

from __future__ import annotations

import io
from pathlib import Path

import dask.dataframe as dd
import numpy as np
import open_clip
import pandas as pd
import pyarrow as pa
import pytest
import torch
from checkpoint_folder import CONFIG, PHOTOS, network, write_checkpoint
from PIL import Image

from transforms import columns
from transforms.embeddings import (
    EmbeddingRules,
    ModelSpec,
    UnreadablePictureError,
    embed_images,
    embed_partition,
    embed_texts,
    embeddings,
    load,
)
from transforms.embeddings.batches import PAIRS
from transforms.embeddings.device import normalise

TEXTS = ["a cat", "", "word " * 500, "🦊🎉 fête", "الحروف من اليمين", "<end_of_text> tail", "x" * 2000]


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


def pairs(pictures: list[bytes | None], texts: list[str], unit: str = "crawl/1.wat") -> pd.DataFrame:
    rows = {"sample_id": range(len(texts)), "text": texts, "image": pictures, "unit": [unit] * len(texts)}
    return columns.to_pandas(pa.table({k: list(v) for k, v in rows.items()}, schema=PAIRS))


def vectors(frame: pd.DataFrame, column: str) -> np.ndarray:
    kept = frame[frame[columns.COUNT].isna()]
    return np.array(kept[column].tolist(), np.float32)


def directly(pictures: list[bytes], texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """What open_clip gives, one picture and one text at a time."""
    model = network()
    configured = open_clip.transform.PreprocessCfg(size=32, **CONFIG["preprocess_cfg"])
    preprocess = open_clip.transform.image_transform_v2(configured, is_train=False)
    tokenize = open_clip.SimpleTokenizer(context_length=16)
    with torch.no_grad():
        images = [
            model.encode_image(preprocess(Image.open(io.BytesIO(data)))[None], normalize=True)[0]
            for data in pictures
        ]
        captions = [model.encode_text(tokenize([text]), normalize=True)[0] for text in texts]
    return torch.stack(images).numpy(), torch.stack(captions).numpy()


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_vectors_are_those_of_open_clip_called_one_by_one(spec: ModelSpec, batch_size: int) -> None:
    images, captions = directly(PHOTOS, TEXTS)
    rules = EmbeddingRules(batch_size)
    np.testing.assert_allclose(embed_images(PHOTOS, spec, rules), images, atol=1e-5)
    np.testing.assert_allclose(embed_texts(TEXTS, spec, rules), captions, atol=1e-5)
    out = embed_partition(pairs(list(PHOTOS), TEXTS), spec, 24, rules)
    # half a unit in the last place of a float16 below 1 is 2.4e-4
    np.testing.assert_allclose(vectors(out, "image_embedding"), images, atol=2.5e-4)
    np.testing.assert_allclose(vectors(out, "text_embedding"), captions, atol=2.5e-4)


def test_a_long_caption_is_cut_and_its_end_does_not_count(spec: ModelSpec) -> None:
    long, longer = embed_texts(["word " * 14, "word " * 14 + "something else"], spec)
    np.testing.assert_array_equal(long, longer)


def test_vectors_do_not_depend_on_partitions(spec: ModelSpec) -> None:
    frame = pairs(list(PHOTOS), TEXTS)
    whole = embed_partition(frame, spec, 24)
    cut = embeddings(dd.from_pandas(frame, npartitions=3, sort=False), spec).compute(scheduler="threads")
    for column in ("image_embedding", "text_embedding"):
        np.testing.assert_allclose(vectors(cut, column), vectors(whole, column), atol=1e-3)
    kept = cut[cut[columns.COUNT].isna()]
    assert kept["sample_id"].tolist() == list(range(len(TEXTS)))


def test_many_captions_on_one_picture_share_its_vector(spec: ModelSpec) -> None:
    pictures = [PHOTOS[0], PHOTOS[1], PHOTOS[0], PHOTOS[0]]
    out = embed_partition(pairs(pictures, ["a", "b", "c", "a"]), spec, 24)
    images, captions = vectors(out, "image_embedding"), vectors(out, "text_embedding")
    expected = embed_images([PHOTOS[0], PHOTOS[1]], spec)
    np.testing.assert_allclose(images, expected[[0, 1, 0, 0]], atol=1e-3)
    np.testing.assert_array_equal(captions[0], captions[3])
    assert np.abs(captions[0] - captions[2]).max() > 1e-3


def test_vectors_have_length_one(spec: ModelSpec) -> None:
    out = embed_partition(pairs(list(PHOTOS), TEXTS), spec, 24)
    for column in ("image_embedding", "text_embedding"):
        np.testing.assert_allclose(np.linalg.norm(vectors(out, column), axis=1), 1, atol=1e-3)


def test_outputs_beyond_float16_and_beyond_float32_squared_are_normalised(tmp_path: Path) -> None:
    state = network().state_dict()
    state["text_projection"] *= 1e25
    state["visual.proj"] *= 1e25
    spec = write_checkpoint(tmp_path, state)
    images, captions = directly(PHOTOS, TEXTS)
    out = embed_partition(pairs(list(PHOTOS), TEXTS), spec, 24)
    np.testing.assert_allclose(vectors(out, "image_embedding"), images, atol=3e-4)
    np.testing.assert_allclose(vectors(out, "text_embedding"), captions, atol=3e-4)


def test_normalising_makes_rows_without_a_direction_nan() -> None:
    rows = np.array([[3.0, 4.0], [0.0, 0.0], [np.inf, 1.0], [np.nan, 1.0], [1e-30, 0.0], [-3e38, 3e38]])
    unit = normalise(rows.astype(np.float32))
    expected = [[0.6, 0.8], [np.nan] * 2, [np.nan] * 2, [np.nan] * 2, [1.0, 0.0], [-(0.5**0.5), 0.5**0.5]]
    np.testing.assert_allclose(unit, expected, atol=1e-7)


@pytest.mark.parametrize(("tower", "room"), [("transformer", 2), ("visual", 1)])
def test_a_batch_that_does_not_fit_goes_in_halves(tmp_path: Path, tower: str, room: int) -> None:
    """The tower raises what torch raises on a device with room for no more than a few rows."""
    spec = write_checkpoint(tmp_path)
    expected = embed_texts(TEXTS, spec), embed_images(PHOTOS, spec)
    sizes = []

    def small_device(module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        sizes.append(len(given[0]))
        if len(given[0]) > room:
            raise torch.OutOfMemoryError(f"no memory for more than {room}")

    getattr(load(spec)._network, tower).register_forward_pre_hook(small_device)
    np.testing.assert_allclose(embed_texts(TEXTS, spec), expected[0], atol=1e-5)
    np.testing.assert_allclose(embed_images(PHOTOS, spec), expected[1], atol=1e-5)
    assert sizes[0] == 7
    assert max(size for size in sizes if size <= room) == room
    assert sum(size for size in sizes if size <= room) == 7


def test_a_row_that_does_not_fit_alone_is_no_row_of_nan(tmp_path: Path) -> None:
    spec = write_checkpoint(tmp_path)

    def no_device(module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        raise torch.OutOfMemoryError("no memory at all")

    load(spec)._network.transformer.register_forward_pre_hook(no_device)
    with pytest.raises(torch.OutOfMemoryError):
        embed_texts(TEXTS, spec)


def test_search_is_told_of_a_picture_that_cannot_be_read(spec: ModelSpec) -> None:
    with pytest.raises(UnreadablePictureError, match="picture 1"):
        embed_images([PHOTOS[0], b"<html>", b""], spec)


def test_nothing_gives_no_vectors(spec: ModelSpec) -> None:
    assert embed_texts([], spec).shape == (0, 24)
    assert embed_images([], spec).shape == (0, 24)
