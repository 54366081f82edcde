"""Vectors equal open_clip called directly, one picture and one text at a time, for towers of every kind.

The difference is at most 1e-5 before it is rounded to float16, however the work is cut. Each kind has its own
way to be cut: a CLIP's captions end where they are pooled, a tower of transformers masks its padding, and
where every position counts nothing may be left away.
"""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import numpy as np
import open_clip
import pyarrow as pa
import pytest
import torch
from checkpoint_folder import CONFIG, PHOTOS, write_tokenizer
from PIL import Image
from safetensors.torch import save_file

from lakehouse.demo import MODEL
from transforms import columns
from transforms.embeddings import EmbeddingRules, ModelSpec, embed_images, embed_texts, embeddings, load
from transforms.embeddings.batches import PAIRS

TEXTS = ["a cat", "", "word " * 200, "🦊🎉 fête", "الحروف من اليمين", "the quick brown fox jumps", "x"]
CLOSE = 1e-5

Vectors = tuple[np.ndarray, np.ndarray]


def config(**changes: dict[str, Any]) -> dict[str, Any]:
    """The small model's configuration with other keys in its parts."""
    made = copy.deepcopy(CONFIG)
    for part, keys in changes.items():
        made["model_cfg"][part] = {**made["model_cfg"][part], **keys}
    return made


def transformer(folder: Path) -> dict[str, Any]:
    """A tower of transformers, an XLM-RoBERTa of random weights; writes what it is made from."""
    import transformers

    words = write_tokenizer(folder / "text")
    told = transformers.XLMRobertaConfig(
        vocab_size=words,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=40,
        pad_token_id=0,
    )
    told.save_pretrained(folder / "text")
    write_tokenizer(folder / "model")  # where open_clip looks for that of a folder
    made = copy.deepcopy(CONFIG)
    made["model_cfg"]["text_cfg"] = {
        "hf_model_name": str(folder / "text"),
        "hf_tokenizer_name": str(folder / "text"),
        "hf_model_pretrained": False,
        "context_length": 20,
    }
    return made


KINDS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "ViT": lambda folder: config(),
    "ResNet with QuickGELU": lambda folder: config(vision_cfg={"layers": [1, 1, 1, 1], "width": 16}),
    "text that sees all and is pooled at its last place": lambda folder: config(
        text_cfg={"no_causal_mask": True, "pool_type": "last"}
    ),
    "projection with a bias": lambda folder: config(text_cfg={"proj_bias": True}),
    "xlm-roberta": transformer,
}


def checkpoint(folder: Path, told: dict[str, Any]) -> ModelSpec:
    """A checkpoint folder of this configuration, with random weights."""
    folder.mkdir(exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(told))
    torch.manual_seed(0)
    cfg = copy.deepcopy(told["model_cfg"])
    kind = open_clip.CustomTextCLIP if "hf_model_name" in cfg["text_cfg"] else open_clip.CLIP
    state = {name: tensor.contiguous() for name, tensor in kind(**cfg).state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    return ModelSpec("tiny", str(folder))


def directly(architecture: str, tokenizer: Any = None, **how: Any) -> Vectors:
    """What open_clip gives, one picture and one text at a time."""
    network, _, preprocess = open_clip.create_model_and_transforms(architecture, **how)
    network.eval()
    tokenize = tokenizer or open_clip.get_tokenizer(architecture)
    with torch.no_grad():
        pictures = [
            network.encode_image(preprocess(Image.open(io.BytesIO(photo)))[None], normalize=True)[0]
            for photo in PHOTOS
        ]
        texts = [network.encode_text(tokenize([text]), normalize=True)[0] for text in TEXTS]
    return torch.stack(pictures).numpy(), torch.stack(texts).numpy()


def assert_equal(spec: ModelSpec, expected: Vectors, sizes: tuple[int, ...] = (1, 3, 64)) -> None:
    """Ours are those, at each batch size; and in a frame, whatever its partitions."""
    for size in sizes:
        rules = EmbeddingRules(size)
        np.testing.assert_allclose(embed_images(PHOTOS, spec, rules), expected[0], atol=CLOSE, rtol=0)
        np.testing.assert_allclose(embed_texts(TEXTS, spec, rules), expected[1], atol=CLOSE, rtol=0)
    rows = {"sample_id": range(7), "text": TEXTS, "image": PHOTOS, "unit": ["u"] * 7}
    frame = columns.to_pandas(pa.table({k: list(v) for k, v in rows.items()}, schema=PAIRS))
    cut = embeddings(dd.from_pandas(frame, npartitions=3, sort=False), spec).compute(scheduler="sync")
    kept = cut[cut[columns.COUNT].isna()]
    for name, side in zip(("image_embedding", "text_embedding"), expected, strict=True):
        # half a unit in the last place of a float16 below 1 is 2.4e-4
        np.testing.assert_allclose(np.array(kept[name].tolist(), np.float32), side, atol=2.5e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_those_of_open_clip(kind: str, tmp_path: Path) -> None:
    spec = checkpoint(tmp_path / "model", KINDS[kind](tmp_path))
    expected = directly(f"local-dir:{spec.architecture}")
    assert_equal(spec, expected)


def test_vectors_of_the_demo_model_are_those_of_open_clip() -> None:
    told = json.loads((MODEL / "open_clip_config.json").read_text())
    context = told["model_cfg"]["text_cfg"]["context_length"]
    tokenizer = open_clip.SimpleTokenizer(str(MODEL / "bpe.txt.gz"), context_length=context)
    assert_equal(ModelSpec("demo", str(MODEL)), directly(f"local-dir:{MODEL}", tokenizer))


@pytest.mark.parametrize(
    ("kind", "most"),
    [("ViT", 16), ("xlm-roberta", 20), ("text that sees all and is pooled at its last place", 16)],
)
def test_short_captions_are_short_batches(kind: str, most: int, tmp_path: Path) -> None:
    """Padding is left away where that changes nothing, and stays where every place counts."""
    spec = checkpoint(tmp_path / "model", KINDS[kind](tmp_path))
    network = load(spec)._network
    seen = []
    layer = network.text.transformer.embeddings if kind == "xlm-roberta" else network.token_embedding
    layer.register_forward_pre_hook(
        lambda module, given, named: seen.append((given or tuple(named.values()))[0].shape), with_kwargs=True
    )
    embed_texts(["a", "word " * 50, "b"], spec, EmbeddingRules(2))
    lengths = [shape[1] for shape in seen]
    assert [shape[0] for shape in seen] == [2, 1]
    assert lengths[1] == most
    assert lengths[0] == (most if kind.startswith("text") else 3)


def test_what_overflows_in_half_precision_is_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, by autocast on the CPU: rows beyond float16 come out as in float32."""
    told = config()
    spec = checkpoint(tmp_path / "model", told)
    network = load(spec)._network
    word = open_clip.SimpleTokenizer().encode("fox")[0]
    with torch.no_grad():
        network.text_projection *= 1e3
        network.token_embedding.weight[word] *= 1e9
    texts = ["a cat", "a fox", "a dog"]
    expected = embed_texts(texts, spec)
    assert np.isfinite(expected).all()
    monkeypatch.setattr(load(spec)._device, "half", torch.float16)
    found = embed_texts(texts, spec)
    cosines = (found * expected).sum(axis=1)
    assert cosines.min() > 0.999
    assert np.abs(found - expected)[[0, 2]].max() > 0, "these stay as half precision gives them"


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["ViT-B-32", "xlm-roberta-base-ViT-B-32"])
def test_models_of_real_size(architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their names, with random weights from a file; the tower's own configuration is on the hub."""
    if architecture.startswith("xlm"):
        import transformers

        words = write_tokenizer(tmp_path / "text")
        transformers.XLMRobertaConfig(
            vocab_size=words, pad_token_id=0, max_position_embeddings=514
        ).save_pretrained(tmp_path / "text")
        write_tokenizer(tmp_path / "model")
        told = open_clip.get_model_config(architecture)
        told["text_cfg"] |= {
            "hf_model_name": str(tmp_path / "text"),
            "hf_tokenizer_name": str(tmp_path / "text"),
            "hf_model_pretrained": False,
        }
        spec = checkpoint(tmp_path / "model", {"model_cfg": told, "preprocess_cfg": {}})
        assert_equal(spec, directly(f"local-dir:{spec.architecture}"), sizes=(4,))
        return
    torch.manual_seed(0)
    file = tmp_path / "weights.safetensors"
    save_file(open_clip.create_model(architecture).state_dict(), file)
    spec = ModelSpec("real", architecture, str(file))
    assert_equal(spec, directly(architecture, pretrained=str(file)), sizes=(4,))
