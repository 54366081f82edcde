"""Trains the demo's CLIP: `python -m lakehouse.demo.train --pairs FILE --to lakehouse/demo/model`.

Seen in training: Noto's and Twemoji's drawings of each emoji, with its CLDR names in the languages of
`sentences.SENTENCES`. Never seen: Fluent's, which are the demo web's pictures. An emoji stands at most once
in a batch, since its other drawings and names would be positives counted as negatives.

On cores that others use too, set OMP_WAIT_POLICY=passive: else threads burn time waiting for each other.

Source of the loss and of the temperature's limits: Radford et al. 2021 (Learning Transferable Visual Models
From Natural Language Supervision, section 2.3 and 2.5). The model is open_clip's CLIP with its
ModifiedResNet.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import open_clip
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F  # noqa: N812  (the field's name for it)
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from lakehouse.demo import vocabulary
from lakehouse.demo.augment import augment
from lakehouse.demo.sentences import SENTENCES

MODEL: dict[str, Any] = {
    "embed_dim": 192,
    "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 24, "head_width": 64},
    "text_cfg": {"context_length": 32, "vocab_size": 0, "width": 192, "heads": 3, "layers": 2},
}
"""The model's form; the vocabulary's size is filled in once the vocabulary is learned."""

PREPROCESS: dict[str, Any] = {
    "size": 64,
    "mode": "RGB",
    "mean": list(open_clip.OPENAI_DATASET_MEAN),
    "std": list(open_clip.OPENAI_DATASET_STD),
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "fill_color": 0,
}


@dataclass(frozen=True)
class Schedule:
    """The numbers of the training, for two CPU cores; how many steps it makes follows from `minutes`."""

    minutes: float = 40.0
    merges: int = 8000
    batch: int = 256
    rate: float = 1e-3
    warmup: float = 0.02  # share of the time
    decay: float = 0.1  # AdamW's, on matrices alone
    bare: float = 0.25  # share of captions that are the bare name
    clip: float = 1.0  # largest norm of the gradient
    largest_scale: float = 100.0  # of the logits: Radford et al. 2021, section 2.5
    seed: int = 20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=Path, required=True, help="parquet with pictures and names")
    parser.add_argument("--to", type=Path, required=True, help="folder to write")
    parser.add_argument("--minutes", type=float, default=Schedule.minutes, help="wall time to train for")
    parser.add_argument("--start", type=Path, help="weights to begin with, as an earlier run left them")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    asked.to.mkdir(parents=True, exist_ok=True)
    train(asked.pairs, asked.to, Schedule(minutes=asked.minutes), asked.start)


def train(pairs: Path, to: Path, schedule: Schedule, start: Path | None = None) -> None:
    """Learns the vocabulary and the weights and writes the model's folder; prints the loss as it goes.

    With `start`, begins with the weights of that file, whose vocabulary must be the same.
    """
    columns = ["captions", "noto_png64", "twemoji_png64"]
    rows = pq.read_table(pairs, columns=columns).to_pylist()
    names = [{code: dict(row["captions"])[code] for code in SENTENCES} for row in rows]
    learn_vocabulary(names, to / "bpe.txt.gz", schedule.merges)
    tokenizer = SimpleTokenizer(
        bpe_path=str(to / "bpe.txt.gz"), context_length=MODEL["text_cfg"]["context_length"]
    )
    captions = Captions(names, tokenizer, schedule)
    pictures = torch.stack(
        [torch.stack([rgba(row[vendor], PREPROCESS["size"]) for vendor in columns[1:]]) for row in rows]
    )
    config = {**MODEL, "text_cfg": {**MODEL["text_cfg"], "vocab_size": tokenizer.vocab_size}}
    text = json.dumps({"model_cfg": config, "preprocess_cfg": PREPROCESS}, indent=2)
    (to / "open_clip_config.json").write_text(text + "\n")
    torch.manual_seed(schedule.seed)
    model = CLIP(**config)
    if start is not None:
        model.load_state_dict(load_file(str(start)))
    fit(model, pictures, captions, schedule, to / "open_clip_model.safetensors")


def fit(model: CLIP, pictures: Tensor, captions: Captions, schedule: Schedule, to: Path) -> None:
    """The training loop: AdamW, a cosine of the time that has passed, and a checkpoint every few minutes."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": schedule.decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=schedule.rate, betas=(0.9, 0.98), eps=1e-6)
    chance = torch.Generator().manual_seed(schedule.seed)
    mean = torch.tensor(PREPROCESS["mean"]).view(3, 1, 1)
    std = torch.tensor(PREPROCESS["std"]).view(3, 1, 1)
    start = time.monotonic()
    step, passed, saved, order = 0, 0.0, 0.0, torch.empty(0, dtype=torch.long)
    while passed < 1:
        if len(order) < schedule.batch:
            order = torch.randperm(len(pictures), generator=chance)
        chosen, order = order[: schedule.batch], order[schedule.batch :]
        vendor = torch.randint(0, pictures.shape[1], (len(chosen),), generator=chance)
        seen = augment(pictures[chosen, vendor].float() / 255, chance)
        seen = ((seen - mean) / std).contiguous(memory_format=torch.channels_last)
        passed = min(1.0, (time.monotonic() - start) / (60 * schedule.minutes))
        rate = schedule.rate * min(passed / schedule.warmup, (1 + math.cos(math.pi * passed)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = max(rate, schedule.rate / 100)
        loss = contrastive(model, seen, captions.draw(chosen.tolist()))
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), schedule.clip)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(schedule.largest_scale))
        step += 1
        if step % 50 == 0:
            print(f"step {step} passed {passed:.3f} loss {loss.item():.3f}", flush=True)
        if passed - saved > 0.05 or passed >= 1:
            saved = passed
            save(model, to)


def contrastive(model: CLIP, pictures: Tensor, tokens: Tensor) -> Tensor:
    """The symmetric InfoNCE of one batch whose i-th picture belongs to the i-th text."""
    with torch.autocast("cpu", torch.bfloat16):
        image = model.visual(pictures)
        text = encode_short(model, tokens)
    image, text = F.normalize(image.float(), dim=-1), F.normalize(text.float(), dim=-1)
    logits = model.logit_scale.exp() * image @ text.T
    own = torch.arange(len(logits))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def encode_short(model: CLIP, tokens: Tensor) -> Tensor:
    """What `model.encode_text` gives, without the padding that is longer than the batch's longest text."""
    ends = tokens.argmax(-1)
    length = int(ends.max()) + 1
    x = model.token_embedding(tokens[:, :length]) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    return x[torch.arange(len(x)), ends] @ model.text_projection  # type: ignore[no-any-return]


class Captions:
    """The names and their sentences as tokens, to draw from: any language, a bare name or a sentence."""

    def __init__(self, names: list[dict[str, str]], tokenizer: SimpleTokenizer, schedule: Schedule) -> None:
        self._chance = random.Random(schedule.seed)
        self._bare = schedule.bare
        self._forms = {code: ("{}", *forms) for code, forms in SENTENCES.items()}
        self._tokens: list[dict[str, npt.NDArray[np.int16]]] = [
            {
                code: tokenizer([form.format(of[code]) for form in forms]).numpy().astype(np.int16)
                for code, forms in self._forms.items()
            }
            for of in names
        ]

    def draw(self, rows: list[int]) -> Tensor:
        """One caption for each row: int64 [len(rows), context]."""
        drawn = []
        for row in rows:
            forms = self._tokens[row][self._chance.choice(list(self._forms))]
            bare = self._chance.random() < self._bare
            drawn.append(forms[0 if bare else self._chance.randrange(1, len(forms))])
        return torch.from_numpy(np.stack(drawn).astype(np.int64))


def learn_vocabulary(names: list[dict[str, str]], to: Path, merges: int) -> None:
    """Learns and writes the merges of all names and of the sentences, each sentence counted twenty times."""
    texts = [name for of in names for name in of.values()]
    texts += [form.format("") for forms in SENTENCES.values() for form in forms] * 20
    vocabulary.write(vocabulary.learn(texts, merges), to)


def rgba(picture: bytes, side: int) -> Tensor:
    """A picture as uint8 [4, side, side]."""
    image = Image.open(io.BytesIO(picture)).convert("RGBA").resize((side, side), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)


def save(model: CLIP, path: Path) -> None:
    """The weights in float16; the integer buffers as they are. Readers never see half a file."""
    state = {name: value.detach() for name, value in model.state_dict().items()}
    half = {n: (v.half() if v.is_floating_point() else v).contiguous() for n, v in state.items()}
    whole = path.with_suffix(".new")
    save_file(half, str(whole))
    whole.chmod(0o644)
    whole.replace(path)


if __name__ == "__main__":
    main()
