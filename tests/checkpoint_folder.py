"""Small CLIP models with random weights, written as the checkpoint folders that `ModelSpec` takes."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file

from transforms.embeddings import ModelSpec

DATA = Path(__file__).parent / "data" / "heads"
PHOTOS = [path.read_bytes() for path in sorted(DATA.glob("*.jpg"))]

CONFIG: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    },
    "preprocess_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.3, 0.2, 0.1], "interpolation": "bilinear"},
}

#: a tokenizer of its own: two merges, so 512 + 2 + 2 tokens
MERGES = "#version: 0.2\nc a\nca t</w>"


def network(config: dict[str, Any] = CONFIG, seed: int = 0) -> Any:
    """open_clip's own network of random weights, in float32."""
    torch.manual_seed(seed)
    return open_clip.CLIP(**copy.deepcopy(config["model_cfg"])).eval()


def write_checkpoint(
    folder: Path, state: dict[str, torch.Tensor] | None = None, merges: str | None = None
) -> ModelSpec:
    """A checkpoint folder, with its own tokenizer where `merges` is given."""
    config = copy.deepcopy(CONFIG)
    if merges is not None:
        config["model_cfg"]["text_cfg"]["vocab_size"] = 512 + merges.count("\n") + 2
        (folder / "bpe.txt.gz").write_bytes(gzip.compress(merges.encode()))
    state = state or network(config).state_dict()
    save_file(
        {name: tensor.contiguous() for name, tensor in state.items()}, folder / "open_clip_model.safetensors"
    )
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return ModelSpec("tiny", str(folder))


def write_tokenizer(folder: Path) -> int:
    """A tokenizer as transformers reads them, of letters alone; returns how many tokens it has."""
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    letters = [chr(number) for number in range(ord("a"), ord("z") + 1)]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *[f"##{letter}" for letter in letters]]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    return len(words)


def write_tower(folder: Path, dimension: int = 24, seed: int = 0) -> str:
    """A multilingual text tower of random weights, in the form that sentence-transformers keeps them in."""
    import transformers

    words = write_tokenizer(folder)
    told = transformers.DistilBertConfig(
        vocab_size=words,
        dim=32,
        n_layers=2,
        n_heads=2,
        hidden_dim=48,
        max_position_embeddings=40,
        pad_token_id=0,
    )
    torch.manual_seed(seed)
    transformers.DistilBertModel(told).save_pretrained(folder)
    files = {
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"},
        ],
        "sentence_bert_config.json": {"max_seq_length": 20, "do_lower_case": False},
        "1_Pooling/config.json": {
            "word_embedding_dimension": 32,
            "pooling_mode_cls_token": False,
            "pooling_mode_mean_tokens": True,
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
        "2_Dense/config.json": {
            "in_features": 32,
            "out_features": dimension,
            "bias": False,
            "activation_function": "torch.nn.modules.linear.Identity",
        },
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    save_file({"linear.weight": torch.randn(dimension, 32)}, folder / "2_Dense" / "model.safetensors")
    return str(folder)
