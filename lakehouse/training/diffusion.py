"""Trains a small text-to-picture diffusion model on shards: `python -m lakehouse.training.diffusion …`.

The network is diffusers' UNet2DConditionModel, conditioned on a CLIP's text vector by cross-attention. It
sees pictures of 64 pixels as 16 by 16 places of 4 by 4 pixels, which is what lets a CPU train it in minutes.
What its samples are worth is told by another CLIP than the one that it is conditioned on. Stopped, the same
command goes on. Source of the process: Ho et al. 2020 (DDPM), Song et al. 2021 (DDIM, to sample in few
steps), Ho and Salimans 2022 (guidance without a classifier).
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (the field's name for it)
from PIL import Image, ImageDraw
from torch import Tensor

from lakehouse.demo import MODEL
from lakehouse.errors import UsageError
from lakehouse.training.pictures import on_white
from transforms.embeddings import ModelSpec, embed_images, embed_texts

SIDE = 64  # pixels
PATCH = 4  # pixels of a place's side
PROMPTS = ("a red apple", "red heart", "sun", "cat face", "green apple", "blue circle", "snowman", "pizza")
"""What is drawn to look at. The captions of the CLIP score are others: those of the first pairs."""


@dataclass(frozen=True)
class Recipe:
    """The network and its training; 4.0 million weights, for one CPU core."""

    channels: tuple[int, int] = (64, 128)
    steps: int = 1_000
    batch: int = 32
    rate: float = 1e-3
    warmup: int = 20  # steps
    decay: float = 0.995  # of the averaged weights, which samples are drawn with
    dropped: float = 0.1  # share of captions that training leaves out, for guidance
    guidance: float = 3.0
    noises: int = 1_000  # steps of the process in training
    drawn: int = 20  # of them in sampling
    judged: int = 32  # captions whose samples are scored
    looks: int = 5  # times that samples are scored on the way
    seed: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shards", type=Path, required=True, help="folder of a webdataset export")
    parser.add_argument("--model", type=Path, required=True, help="folder of the CLIP to be conditioned on")
    parser.add_argument("--to", type=Path, required=True, help="folder to write")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--minutes", type=float, help="stop after so long; the same command goes on")
    asked = parser.parse_args()
    tars = sorted(asked.shards.glob("*.tar"))
    if not tars:
        raise SystemExit(f"error: no shards in {asked.shards}")
    train(tars, asked.model, asked.to, Recipe(steps=asked.steps), asked.minutes)


def train(
    shards: Sequence[Path], model: Path, to: Path, recipe: Recipe, minutes: float | None = None
) -> bool:
    """Trains, or goes on, and leaves `unet`, history.json and samples.webp in `to`; whether it is finished.

    history.json has [step, mean loss since the last look, CLIP score], the score being the mean cosine, under
    the demo's CLIP, of `recipe.judged` captions and the samples drawn for them.
    Raises UsageError for shards without pictures.
    """
    spec = ModelSpec("condition", str(model))
    pictures, captions = read(shards)
    vectors = torch.from_numpy(embed_texts(captions, spec))
    painter = Painter(recipe, vectors.shape[1])
    to.mkdir(parents=True, exist_ok=True)
    judged = captions[: recipe.judged]
    if not painter.load(to / "state.pt"):
        painter.history.append([0, None, score(painter.draw(vectors[: recipe.judged]), judged)])
        _sheet(painter, spec).save(to / "before.png")
    started = time.monotonic()
    losses: list[float] = []
    while painter.step < recipe.steps and (minutes is None or time.monotonic() - started < 60 * minutes):
        losses.append(painter.learn(pictures, vectors))
        if painter.step % max(recipe.steps // recipe.looks, 1) == 0:
            seen = score(painter.draw(vectors[: recipe.judged]), judged)
            painter.history.append([painter.step, float(np.mean(losses)), seen])
            print(
                f"step {painter.step} loss {np.mean(losses):.4f} CLIP score {seen:.3f}",
                file=sys.stderr,
                flush=True,
            )
            losses = []
    painter.save(to / "state.pt")
    (to / "history.json").write_text(json.dumps(painter.history))
    if painter.step < recipe.steps:
        return False
    painter.mean.save_pretrained(to / "unet")
    _beside(Image.open(to / "before.png"), _sheet(painter, spec)).save(to / "samples.webp", quality=80)
    return True


class Painter:
    """The network, its averaged copy, and the optimizer, with one source of chance."""

    def __init__(self, recipe: Recipe, width: int) -> None:
        from diffusers import DDIMScheduler, DDPMScheduler, UNet2DConditionModel

        torch.manual_seed(recipe.seed)
        form: dict[str, Any] = {
            "sample_size": SIDE // PATCH,
            "in_channels": 3 * PATCH**2,
            "out_channels": 3 * PATCH**2,
            "layers_per_block": 1,
            "block_out_channels": recipe.channels,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            "cross_attention_dim": width,
            "attention_head_dim": 4,
            "norm_num_groups": 16,
        }
        self.recipe = recipe
        self.net = UNet2DConditionModel(**form)
        self.mean = UNet2DConditionModel(**form)
        self.mean.load_state_dict(self.net.state_dict())
        self.noise = DDPMScheduler(
            recipe.noises, prediction_type="v_prediction", beta_schedule="squaredcos_cap_v2"
        )
        self.sampler = DDIMScheduler.from_config(self.noise.config)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=recipe.rate)
        self.chance = torch.Generator().manual_seed(recipe.seed)
        self.step = 0
        self.history: list[list[Any]] = []

    def learn(self, pictures: Tensor, vectors: Tensor) -> float:
        """One step on a batch drawn by lot; its loss."""
        recipe, chance = self.recipe, self.chance
        rows = torch.randint(len(pictures), (recipe.batch,), generator=chance)
        clean = folded(pictures[rows].float() / 127.5 - 1)
        kept = torch.rand(recipe.batch, 1, generator=chance) >= recipe.dropped
        condition = (vectors[rows] * kept)[:, None]
        noise = torch.randn(clean.shape, generator=chance)
        at = torch.randint(recipe.noises, (recipe.batch,), generator=chance)
        noisy = self.noise.add_noise(clean, noise, at)
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.rate * min(
                1.0, (self.step + 1) / recipe.warmup, 1.05 - self.step / recipe.steps
            )
        with torch.autocast("cpu", torch.bfloat16):
            told = self.net(noisy, at, condition).sample
        loss = F.mse_loss(told.float(), self.noise.get_velocity(clean, noise, at))
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        with torch.no_grad():
            for mean, now in zip(self.mean.parameters(), self.net.parameters(), strict=True):
                mean.lerp_(now, 1 - min(self.recipe.decay, self.step / (self.step + 10)))
        return loss.item()

    @torch.no_grad()
    def draw(self, vectors: Tensor, seed: int = 1) -> Tensor:
        """Pictures for text vectors [n, D]: uint8 [n, 3, SIDE, SIDE]; the same noise each time."""
        chance = torch.Generator().manual_seed(seed)
        places = SIDE // PATCH
        drawn = torch.randn(len(vectors), 3 * PATCH**2, places, places, generator=chance)
        both = torch.cat([vectors, torch.zeros_like(vectors)])[:, None]
        self.sampler.set_timesteps(self.recipe.drawn)
        for at in self.sampler.timesteps:
            with torch.autocast("cpu", torch.bfloat16):
                told, free = self.mean(torch.cat([drawn, drawn]), at, both).sample.float().chunk(2)
            drawn = self.sampler.step(free + self.recipe.guidance * (told - free), at, drawn).prev_sample
        return ((unfolded(drawn).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)

    def save(self, path: Path) -> None:
        """All that is needed to go on."""
        state = {"net": self.net.state_dict(), "mean": self.mean.state_dict(), "step": self.step}
        state |= {"optimizer": self.optimizer.state_dict(), "chance": self.chance.get_state()}
        torch.save({**state, "history": self.history}, path)

    def load(self, path: Path) -> bool:
        """Goes on from a file of `save`; False where there is none."""
        if not path.exists():
            return False
        state = torch.load(path, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.mean.load_state_dict(state["mean"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.chance.set_state(state["chance"])
        self.step, self.history = state["step"], state["history"]
        return True


def folded(pictures: Tensor) -> Tensor:
    """[n, 3, SIDE, SIDE] -> [n, 3 * PATCH², SIDE / PATCH, SIDE / PATCH]."""
    return F.pixel_unshuffle(pictures, PATCH)


def unfolded(places: Tensor) -> Tensor:
    """What `folded` was given."""
    return F.pixel_shuffle(places, PATCH)


def read(shards: Sequence[Path]) -> tuple[Tensor, list[str]]:
    """The pictures, uint8 [n, 3, SIDE, SIDE], whole on a white square, and their captions."""
    pictures, captions = [], []
    for shard in shards:
        with tarfile.open(shard) as tar:
            for member in tar:
                data = tar.extractfile(member).read()  # type: ignore[union-attr]
                if member.name.endswith(".txt"):
                    captions.append(data.decode())
                elif not member.name.endswith(".json"):
                    pictures.append(_square(data))
    if not pictures:
        raise UsageError("the shards have no pictures")
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2), captions


def _square(data: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    image = on_white(data)
    image.thumbnail((SIDE, SIDE))
    square = Image.new("RGB", (SIDE, SIDE), "white")
    square.paste(image, ((SIDE - image.width) // 2, (SIDE - image.height) // 2))
    return np.asarray(square)


def score(pictures: Tensor, captions: Sequence[str]) -> float:
    """The mean cosine of pictures [n, 3, SIDE, SIDE] and captions under the demo's CLIP."""
    judge = ModelSpec("demo", str(MODEL))
    images = embed_images([_png(picture) for picture in pictures], judge)
    return float((images * embed_texts(list(captions), judge)).sum(1).mean())


def _png(picture: Tensor) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture.permute(1, 2, 0).numpy()).save(out, "PNG")
    return out.getvalue()


def _sheet(painter: Painter, spec: ModelSpec) -> Image.Image:
    """A sample of each prompt, its prompt below."""
    vectors = torch.from_numpy(embed_texts(list(PROMPTS), spec))
    sheet = Image.new("RGB", (len(PROMPTS) * (2 * SIDE + 8), 2 * SIDE + 16), "white")
    for place, picture in enumerate(painter.draw(vectors)):
        image = Image.fromarray(picture.permute(1, 2, 0).numpy()).resize((2 * SIDE, 2 * SIDE))
        sheet.paste(image, (place * (2 * SIDE + 8) + 4, 0))
        ImageDraw.Draw(sheet).text((place * (2 * SIDE + 8) + 8, 2 * SIDE + 2), PROMPTS[place], "black")
    return sheet


def _beside(before: Image.Image, after: Image.Image) -> Image.Image:
    both = Image.new("RGB", (before.width, before.height + after.height), "white")
    both.paste(before, (0, 0))
    both.paste(after, (0, before.height))
    return both


if __name__ == "__main__":
    main()
