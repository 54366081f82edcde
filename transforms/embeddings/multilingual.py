"""A text tower of its own for other languages, beside a model's pictures: mCLIP, as LAION-5B had it.

Its form is that of sentence-transformers/clip-ViT-B-32-multilingual-v1: a BERT of transformers, the mean over
its tokens, and a matrix into the space of the model's vectors. transformers is imported when one is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from transforms.embeddings.errors import ModelUnavailable
from transforms.embeddings.texts import filled

#: what a folder must have, and the hub's copy is asked for
LIMITS_FILE = "sentence_bert_config.json"
POOLING_FILE = "1_Pooling/config.json"
DENSE_FILE = "2_Dense/config.json"
WEIGHTS_FILES = ("model.safetensors", "2_Dense/model.safetensors")
FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    LIMITS_FILE,
    POOLING_FILE,
    DENSE_FILE,
    *WEIGHTS_FILES,
)


class MultilingualTexts:
    """A `TextTower` from a folder."""

    def __init__(self, folder: Path, device: str) -> None:
        """Raises ModelUnavailable where transformers or a file is missing, or the form is another."""
        try:
            import torch
            import transformers
            from safetensors.torch import load_file

            self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            self._network = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32)
            self._context = int(_told(folder, LIMITS_FILE)["max_seq_length"])
            check(folder)
            self._matrix = load_file(folder / WEIGHTS_FILES[1])["linear.weight"].float().to(device)
        except ModuleNotFoundError as error:
            raise ModelUnavailable(
                f"the text tower {folder} needs transformers: install pairlake[multilingual] ({error})"
            ) from error
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelUnavailable(f"the text tower {folder} cannot be loaded: {error}") from error
        self._network = self._network.to(device).eval()

    @property
    def dimension(self) -> int:
        """Elements of its vectors."""
        return int(self._matrix.shape[0])

    def tokens(self, texts: Sequence[str]) -> Any:
        """See `TextTower`."""
        cut = {"max_length": self._context, "truncation": True, "padding": "max_length"}
        return self._tokenizer(list(texts), return_tensors="pt", **cut)["input_ids"]

    def lengths(self, tokens: Any) -> npt.NDArray[np.int64]:
        """See `TextTower`: padding is masked."""
        return filled(tokens != self._tokenizer.pad_token_id)

    def encode(self, tokens: Any) -> Any:
        """See `TextTower`."""
        mask = tokens != self._tokenizer.pad_token_id
        states = self._network(input_ids=tokens, attention_mask=mask.long()).last_hidden_state
        seen = mask.unsqueeze(-1).to(states.dtype)
        return (states * seen).sum(dim=1) / seen.sum(dim=1) @ self._matrix.T


def check(folder: Path) -> None:
    """Raises ValueError where the tower pools its tokens, or maps their mean, in another way than mCLIP."""
    pooling, dense = _told(folder, POOLING_FILE), _told(folder, DENSE_FILE)
    modes = {name for name, value in pooling.items() if name.startswith("pooling_mode_") and value is True}
    if modes != {"pooling_mode_mean_tokens"}:
        raise ValueError(
            f"{POOLING_FILE} pools by {', '.join(sorted(modes)) or 'nothing'}, not by the mean alone"
        )
    if dense.get("bias") or not str(dense.get("activation_function")).endswith("Identity"):
        raise ValueError(f"{DENSE_FILE} is no plain matrix")


def find(name: str) -> Path:
    """The folder of a tower: `name` itself, or the hub's repository of that name, fetched if need be.

    Raises ModelUnavailable, which says what to fetch and where to put it.
    """
    folder = Path(name)
    if not folder.is_dir():
        folder = _from_hub(name)
    missing = [file for file in FILES if not (folder / file).is_file()]
    if missing:
        raise ModelUnavailable(f"the text tower {name}: {folder} lacks {', '.join(missing)}")
    return folder


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(FILES), local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    except HFValidationError as error:
        raise ModelUnavailable(
            f"the text tower {name!r} is neither a folder nor a name of the hub"
        ) from error
    try:
        return Path(snapshot_download(name, allow_patterns=list(FILES)))
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelUnavailable(
            f"the text tower {name} is not here and cannot be fetched ({error}). Either fetch it on a "
            f"machine with network, by `hf download {name}`, and copy its Hugging Face cache (HF_HOME, by "
            f"default ~/.cache/huggingface) here; or give as `multilingual` a folder with {', '.join(FILES)}."
        ) from error


def _told(folder: Path, file: str) -> dict[str, Any]:
    return dict(json.loads((folder / file).read_text(encoding="utf-8")))
