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
