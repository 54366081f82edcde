"""Which model is loaded, what identifies it, and what is said when it is not there."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import open_clip
import pytest
import torch
from checkpoint_folder import CONFIG, MERGES, PHOTOS, network, write_checkpoint
from PIL import Image
from safetensors.torch import save_file

from transforms.embeddings import (
    BUILTIN,
    EmbeddingRules,
    ModelSpec,
    ModelUnavailable,
    dimension,
    embed_images,
    embed_texts,
    load,
    texts,
)


def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_gelu: bool) -> ModelSpec:
    """A small architecture known to open_clip by name, with weights known by a tag."""
    (tmp_path / "Tiny.json").write_text(json.dumps(CONFIG["model_cfg"]))
    save_file(network().state_dict(), tmp_path / "tiny.safetensors")
    factory = open_clip.factory
    monkeypatch.setattr(factory, "_MODEL_CONFIGS", dict(factory._MODEL_CONFIGS))
    monkeypatch.setattr(factory, "_MODEL_CONFIG_PATHS", list(factory._MODEL_CONFIG_PATHS))
    open_clip.add_model_config(tmp_path / "Tiny.json")
    tag = {"file": str(tmp_path / "tiny.safetensors"), "quick_gelu": quick_gelu, "mean": (0.5, 0.5, 0.5)}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "Tiny", {"tag": tag})
    return ModelSpec(f"tiny{quick_gelu}", "Tiny", "tag")


def test_a_tag_trained_with_quick_gelu_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenAI's tags are such: open_clip itself only warns, and computes with the other GELU."""
    tokens = open_clip.SimpleTokenizer(context_length=16)(["a cat"])
    for quick in (False, True):
        config = {"model_cfg": {**CONFIG["model_cfg"], "quick_gelu": quick}}
        reference = network(config)
        reference.load_state_dict(network().state_dict())
        with torch.no_grad():
            expected = reference.encode_text(tokens, normalize=True).numpy()
        spec = named(tmp_path, monkeypatch, quick)
        np.testing.assert_allclose(embed_texts(["a cat"], spec), expected, atol=1e-5)


def test_preprocessing_is_that_of_the_tag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = named(tmp_path, monkeypatch, False)
    preprocess = open_clip.transform.image_transform(32, is_train=False, mean=(0.5, 0.5, 0.5))
    batch = torch.stack([preprocess(Image.open(io.BytesIO(photo))) for photo in PHOTOS])
    with torch.no_grad():
        expected = network().encode_image(batch, normalize=True).numpy()
    np.testing.assert_allclose(embed_images(PHOTOS, spec), expected, atol=1e-5)
    assert spec.fingerprint()["preprocess"]["mean"] == [0.5, 0.5, 0.5]


def test_a_folder_of_a_package_is_found_wherever_the_package_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "carrier" / "model"
    folder.mkdir(parents=True)
    (tmp_path / "carrier" / "__init__.py").touch()
    there = write_checkpoint(folder, merges=MERGES)
    monkeypatch.syspath_prepend(tmp_path)
    spec = ModelSpec("carried", "package:carrier/model")
    np.testing.assert_array_equal(embed_texts(["a cat"], spec), embed_texts(["a cat"], there))
    assert spec.fingerprint() == there.fingerprint()
    with pytest.raises(ModelUnavailable, match="model lost: there is no package nosuch here"):
        dimension(ModelSpec("lost", "package:nosuch/model"))


def test_a_worker_with_other_weights_refuses(tmp_path: Path) -> None:
    """Its vectors would pass for those of the weights that the driver has hashed."""
    spec = write_checkpoint(tmp_path)
    digest = hashlib.sha256((tmp_path / "open_clip_model.safetensors").read_bytes()).hexdigest()
    load(replace(spec, weights_sha256=digest))
    with pytest.raises(ModelUnavailable, match=r"model tiny: .* has other weights than the machine that"):
        load(replace(spec, weights_sha256="0" * 64))


def test_weights_in_the_hub_cache_need_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tagged = named(tmp_path, monkeypatch, False)
    expected = embed_texts(["a cat"], tagged)
    snapshot = tmp_path / "models--someone--tiny" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0123")
    (tmp_path / "tiny.safetensors").rename(snapshot / "open_clip_model.safetensors")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED["Tiny"], "tag", {"hf_hub": "someone/tiny/"})
    cached = ModelSpec("cached", "Tiny", "tag")
    np.testing.assert_array_equal(embed_texts(["a cat"], cached), expected)
    digest = hashlib.sha256((snapshot / "open_clip_model.safetensors").read_bytes())
    assert cached.fingerprint()["weights_sha256"] == digest.hexdigest()


def test_a_weights_file_does_for_a_named_architecture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tagged = named(tmp_path, monkeypatch, False)
    spec = ModelSpec("file", "Tiny", str(tmp_path / "tiny.safetensors"))
    np.testing.assert_array_equal(embed_texts(["a cat"], spec), embed_texts(["a cat"], tagged))


def test_openai_models_have_the_published_dimensions() -> None:
    assert {name: dimension(spec) for name, spec in BUILTIN.items()} == {"b32": 512, "l14": 768}
    assert all(
        open_clip.get_pretrained_cfg(s.architecture, s.pretrained)["quick_gelu"] for s in BUILTIN.values()
    )


def test_a_folder_brings_its_own_tokenizer(tmp_path: Path) -> None:
    spec = write_checkpoint(tmp_path, merges=MERGES)
    # by hand: bytes are numbered from "!" on, those that end a word 256 later: "a" is 64; "cat</w>" is the
    # second merge, 513; then start and end of text
    tokens = torch.zeros(1, 16, dtype=torch.long)
    tokens[0, :4] = torch.tensor([514, 256 + 64, 513, 515])
    config = json.loads((tmp_path / "open_clip_config.json").read_text())
    with torch.no_grad():
        expected = network(config).encode_text(tokens, normalize=True).numpy()
    np.testing.assert_allclose(embed_texts(["A cat"], spec), expected, atol=1e-5)


def test_half_precision_weights_compute_in_single(tmp_path: Path) -> None:
    half = {k: v.half() if v.is_floating_point() else v for k, v in network().state_dict().items()}
    spec = write_checkpoint(tmp_path, half)
    rounded = network()
    rounded.load_state_dict(half)
    tokens = open_clip.SimpleTokenizer(context_length=16)(["a cat"])
    with torch.no_grad():
        expected = rounded.encode_text(tokens, normalize=True).numpy()
    np.testing.assert_allclose(embed_texts(["a cat"], spec), expected, atol=1e-6)


def test_the_tokenizer_forgets_words_before_they_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = write_checkpoint(tmp_path)
    words = ["".join("abcdefghij"[int(d)] for d in str(n)) for n in range(1000, 1200)]
    expected = embed_texts([*words, "<end_of_text> a cat"], spec)
    monkeypatch.setattr(texts, "TOKENIZER_MEMORY", 50)
    rules = EmbeddingRules(batch_size=10)
    np.testing.assert_allclose(embed_texts([*words, "<end_of_text> a cat"], spec, rules), expected, atol=1e-5)
    embed_texts(["a cat"], spec, rules)
    assert len(load(spec)._texts._tokenizer.cache) <= 60


def test_a_model_is_loaded_once_however_many_ask(tmp_path: Path) -> None:
    spec = write_checkpoint(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        models = list(pool.map(load, [spec] * 8))
    assert len({id(model) for model in models}) == 1
    assert load(pickle.loads(pickle.dumps(spec))) is models[0]


def test_threads_may_share_a_model(tmp_path: Path) -> None:
    spec = write_checkpoint(tmp_path)
    expected = embed_images(PHOTOS, spec)
    with ThreadPoolExecutor(4) as pool:
        for vectors in pool.map(lambda _: embed_images(PHOTOS, spec), range(8)):
            np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_the_fingerprint_is_of_content_not_of_place(tmp_path: Path) -> None:
    specs = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        specs.append(write_checkpoint(tmp_path / name, merges=MERGES))
    here, there = (spec.fingerprint() for spec in specs)
    assert here == there
    assert json.loads(json.dumps(here)) == here
    assert str(tmp_path) not in json.dumps(here)
    assert here["context_length"] == 16
    assert here["preprocess"]["mean"] == CONFIG["preprocess_cfg"]["mean"]
    assert here["preprocess"]["size"] == 32


@pytest.mark.parametrize("file", ["open_clip_model.safetensors", "open_clip_config.json", "bpe.txt.gz"])
def test_the_fingerprint_changes_with_every_file_of_the_model(tmp_path: Path, file: str) -> None:
    spec = write_checkpoint(tmp_path, merges=MERGES)
    before = spec.fingerprint()
    path = tmp_path / file
    if file.endswith("json"):
        path.write_text(path.read_text().replace("bilinear", "bicubic"))
    else:
        path.write_bytes(path.read_bytes() + b"\0")
    assert spec.fingerprint() != before


def test_weights_that_are_not_here_are_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    for ask in (load, ModelSpec.fingerprint):
        with pytest.raises(ModelUnavailable, match=r"b32: the weights of ViT-B-32 openai .*HF_HOME"):
            ask(BUILTIN["b32"])


def test_wrong_specs_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="'ViT-B-33' is neither an architecture"):
        dimension(ModelSpec("typo", "ViT-B-33", "openai"))
    with pytest.raises(ModelUnavailable, match=r"'opanai' is neither a file nor a tag of ViT-B-32.*openai"):
        load(ModelSpec("typo", "ViT-B-32", "opanai"))
    with pytest.raises(ModelUnavailable, match="None is neither a file nor a tag"):
        load(ModelSpec("none", "ViT-B-32"))
    (tmp_path / "open_clip_config.json").write_text("{}")
    with pytest.raises(ModelUnavailable, match="is not a model configuration"):
        dimension(ModelSpec("empty", str(tmp_path)))


def test_broken_folders_are_told_apart(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("absent", "cut", "other", "words")]
    for folder in folders:
        folder.mkdir()
    absent, cut, other = [write_checkpoint(folder) for folder in folders[:3]]
    words = write_checkpoint(folders[3], merges=MERGES)
    weights = "open_clip_model.safetensors"
    (folders[0] / weights).unlink()
    (folders[1] / weights).write_bytes((folders[1] / weights).read_bytes()[:1000])
    save_file({"wrong": torch.zeros(1)}, folders[2] / weights)
    (folders[3] / "bpe.txt.gz").unlink()
    for spec, message in [
        (absent, "there is no weights file"),
        (cut, "cannot be loaded"),
        (other, "cannot be loaded"),
        (words, "tokens, but the network only 516"),
    ]:
        with pytest.raises(ModelUnavailable, match=message):
            load(spec)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_gpu_that_is_not_there_is_not_replaced_in_silence(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="torch finds no GPU"):
        load(write_checkpoint(tmp_path), "cuda")
