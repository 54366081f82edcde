"""Captions in other languages through a text tower of their own, as LAION-5B's went through mCLIP."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from checkpoint_folder import PHOTOS, write_checkpoint, write_tower
from safetensors.torch import load_file

from lakehouse.errors import UsageError
from lakehouse.settings import parse
from lakehouse.storage import Storage
from transforms import columns
from transforms.embeddings import (
    EmbeddingRules,
    ModelSpec,
    ModelUnavailable,
    embed_partition,
    embed_texts,
    load,
)
from transforms.embeddings.batches import LANGUAGE, PAIRS

MCLIP = "sentence-transformers/clip-ViT-B-32-multilingual-v1"
TEXTS = ["a cat", "eine katze", "un chat sur la table", "IMG", "a dog", "word " * 100, "الحروف"]
LANGUAGES = ["en", "de", "fr", None, "en", "nl", "ar"]


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    folder = tmp_path_factory.mktemp("model")
    tower = write_tower(tmp_path_factory.mktemp("tower"))
    return ModelSpec("tiny", write_checkpoint(folder).architecture, multilingual=tower)


def directly(tower: str, texts: list[str]) -> np.ndarray:
    """Mean of the last states over the tokens, times the matrix, at length 1: one text at a time."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(tower)
    network = transformers.DistilBertModel.from_pretrained(tower).eval()
    matrix = load_file(Path(tower) / "2_Dense" / "model.safetensors")["linear.weight"]
    found = []
    with torch.no_grad():
        for text in texts:
            tokens = tokenizer([text], return_tensors="pt", truncation=True, max_length=20)
            state = network(**tokens).last_hidden_state[0].mean(dim=0)
            found.append(torch.nn.functional.normalize(matrix @ state, dim=0).numpy())
    return np.array(found)


def frame(texts: list[str], languages: list[str | None]) -> pd.DataFrame:
    rows = [range(len(texts)), texts, (PHOTOS * 9)[: len(texts)], ["u"] * len(texts), languages]
    return columns.to_pandas(pa.table([list(column) for column in rows], schema=PAIRS.append(LANGUAGE)))


@pytest.mark.parametrize("size", [1, 3, 64])
def test_vectors_are_those_of_the_tower_called_one_by_one(spec: ModelSpec, size: int) -> None:
    assert spec.multilingual is not None
    found = embed_texts(TEXTS, spec, EmbeddingRules(size), english=False)
    np.testing.assert_allclose(found, directly(spec.multilingual, TEXTS), atol=1e-5)


def test_english_goes_through_the_models_own_tower_and_all_else_through_the_other(spec: ModelSpec) -> None:
    out = embed_partition(frame(TEXTS, LANGUAGES), spec, 24)
    kept = out[out[columns.COUNT].isna()]
    assert kept["sample_id"].tolist() == list(range(7))
    own = embed_texts(TEXTS, ModelSpec("tiny", spec.architecture))
    other = embed_texts(TEXTS, spec, english=False)
    expected = np.where(np.array([language == "en" for language in LANGUAGES])[:, None], own, other)
    np.testing.assert_allclose(np.array(kept["text_embedding"].tolist()), expected, atol=2.5e-4)
    assert np.abs(own - other).max(axis=1).min() > 0.01, "the towers differ, or nothing was shown"


def test_one_text_in_two_languages_has_two_vectors(spec: ModelSpec) -> None:
    out = embed_partition(frame(["a hotel", "a hotel"], ["en", "de"]), spec, 24)
    first, second = np.array(out[out[columns.COUNT].isna()]["text_embedding"].tolist(), np.float32)
    assert np.abs(first - second).max() > 0.01


def test_the_tower_is_part_of_the_models_identity(spec: ModelSpec, tmp_path: Path) -> None:
    plain = ModelSpec("tiny", spec.architecture).fingerprint()
    assert spec.fingerprint() == {**plain, "multilingual": spec.fingerprint()["multilingual"]}
    same, other = [
        ModelSpec("tiny", spec.architecture, multilingual=write_tower(tmp_path / str(seed), seed=seed))
        for seed in (0, 1)
    ]
    assert same.fingerprint() == spec.fingerprint()
    assert other.fingerprint() != spec.fingerprint()


def test_a_tower_that_is_not_here_is_named_with_what_to_do(
    spec: ModelSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    absent = ModelSpec("tiny", spec.architecture, multilingual=MCLIP)
    for ask in (load, ModelSpec.fingerprint):
        with pytest.raises(
            ModelUnavailable, match=rf"hf download {MCLIP}.*HF_HOME.*2_Dense/model.safetensors"
        ):
            ask(absent)
    with pytest.raises(ModelUnavailable, match="neither a folder nor a name of the hub"):
        load(ModelSpec("tiny", spec.architecture, multilingual="no/such/folder"))


def test_a_worker_with_another_file_of_the_tower_refuses(spec: ModelSpec) -> None:
    assert load(spec.pinned()).dimension == 24
    with pytest.raises(ModelUnavailable, match=r"model\.safetensors on .* has other weights"):
        load(replace(spec.pinned(), tower_sha256="0" * 64))


def test_towers_of_another_form_are_refused(spec: ModelSpec, tmp_path: Path) -> None:
    def with_(name: str, file: str, **changes: object) -> ModelSpec:
        path = Path(write_tower(tmp_path / name)) / file
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
        return ModelSpec("tiny", spec.architecture, multilingual=str(tmp_path / name))

    larger = ModelSpec("tiny", spec.architecture, multilingual=write_tower(tmp_path / "larger", 32))
    cut = ModelSpec("tiny", spec.architecture, multilingual=write_tower(tmp_path / "cut"))
    (tmp_path / "cut" / "tokenizer.json").unlink()
    for wrong, message in [
        (with_("cls", "1_Pooling/config.json", pooling_mode_cls_token=True), "not by the mean alone"),
        (with_("bias", "2_Dense/config.json", bias=True), "no plain matrix"),
        (larger, "have 32 elements, those of its pictures 24"),
        (cut, "lacks tokenizer.json"),
    ]:
        with pytest.raises(ModelUnavailable, match=message):
            load(wrong)


def test_lake_toml_names_the_tower(tmp_path: Path) -> None:
    (tmp_path / "towers").mkdir()
    told = {
        "b32": {"multilingual": MCLIP},
        "mine": {"architecture": "ViT-B-32", "pretrained": "openai", "multilingual": "towers"},
        "l14": {},
    }
    b32, mine, l14 = parse(Storage(str(tmp_path)), {"models": told}).models
    assert (b32.architecture, b32.pretrained, b32.multilingual) == ("ViT-B-32", "openai", MCLIP)
    assert mine.multilingual == str(tmp_path / "towers")
    assert l14.multilingual is None
    with pytest.raises(UsageError, match=r"\[models.b32\] pretrained: there is no such key"):
        parse(Storage(str(tmp_path)), {"models": {"b32": {"pretrained": "laion2b_s34b_b79k"}}})
