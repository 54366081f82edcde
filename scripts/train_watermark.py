"""Trains the small watermark detector, and says how well it does on pictures and styles that it never saw.

    uv run python scripts/train_watermark.py --pairs pairs

`--pairs`: a folder with emoji_pairs.parquet and tuxpaint_pairs.parquet (docs/training.md says what they are).
Watermarks are drawn on the fly: each picture comes without and with one. Every fifth picture, three styles
and some fonts are kept from training.
"""

from __future__ import annotations

import argparse
import io
import random
import time
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image, ImageDraw, ImageFont
from safetensors.torch import save_file

from transforms.scores.watermark import OURS, SMALL, network

WORDS = (
    "Sample",
    "stock",
    "PREVIEW",
    "(c) studio",
    "copyright",
    "photo bank",
    "www.pics.test",
    "DRAFT",
    "proof",
)
HELD_WORDS = ("Archive", "not for sale", "my-images.example", "Lumen")
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral")
HELD_FONTS = ("DejaVuSerif-BoldItalic", "STIXGeneralBolIta", "cmss10")
RATE = 3e-3
SHOWN = 256  # pixels of the longer side, as a lake stores pictures


class Maker:
    """Draws watermarks; of seen or of held-out fonts and words."""

    def __init__(self, rng: random.Random, held: bool) -> None:
        self.rng = rng
        self.words, self.fonts = (HELD_WORDS, HELD_FONTS) if held else (WORDS, FONTS)

    def font(self, size: int) -> ImageFont.FreeTypeFont:
        name = self.rng.choice(self.fonts)
        return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/{name}.ttf", size)

    def colour(self) -> tuple[int, int, int]:
        grey = self.rng.choice((255, 255, 255, 0, 20, 128, 200))
        return (grey,) * 3 if self.rng.random() < 0.8 else tuple(self.rng.randrange(256) for _ in range(3))

    def text(self, size: int, outline: bool = False) -> Image.Image:
        """A word, white on nothing."""
        word, font = self.rng.choice(self.words), self.font(size)
        box = font.getbbox(word, stroke_width=2)
        layer = Image.new("L", (max(1, int(box[2] - box[0]) + 8), max(1, int(box[3] - box[1]) + 8)))
        at = (4 - box[0], 4 - box[1])
        draw = ImageDraw.Draw(layer)
        if outline:
            draw.text(at, word, font=font, fill=0, stroke_width=2, stroke_fill=255)
            draw.text(at, word, font=font, fill=0)
        else:
            draw.text(at, word, font=font, fill=255)
        return layer

    def logo(self, size: int) -> Image.Image:
        layer = Image.new("L", (size, size))
        draw, kind = ImageDraw.Draw(layer), self.rng.randrange(4)
        line = max(2, size // 10)
        if kind == 0:
            draw.ellipse((1, 1, size - 2, size - 2), outline=255, width=line)
        elif kind == 1:
            draw.regular_polygon((size / 2, size / 2, size / 2 - 1), self.rng.choice((3, 4, 6)), fill=255)
        elif kind == 2:
            draw.rounded_rectangle((1, 1, size - 2, size - 2), size // 5, outline=255, width=line)
        else:
            draw.pieslice(
                (1, 1, size - 2, size - 2), self.rng.randrange(360), self.rng.randrange(400, 650), fill=255
            )
        if size > 18 and kind != 1:
            letter = self.rng.choice(self.words)[0].upper()
            draw.text(
                (size / 2, size / 2),
                letter,
                font=self.font(size // 2),
                fill=255 if kind != 3 else 0,
                anchor="mm",
            )
        return layer

    def mark(self, style: str, wide: int, high: int) -> Image.Image:
        """A mask of the picture's size in one of the styles."""
        rng, mask = self.rng, Image.new("L", (wide, high))
        short = min(wide, high)

        def put(layer: Image.Image, x: float, y: float, turn: float = 0) -> None:
            turned = layer.rotate(turn, expand=True, resample=Image.Resampling.BICUBIC) if turn else layer
            mask.paste(255, (int(x - turned.width / 2), int(y - turned.height / 2)), turned)

        def corner(layer: Image.Image) -> tuple[float, float]:
            gap = rng.randrange(2, 10)
            x = rng.choice((layer.width / 2 + gap, wide - layer.width / 2 - gap))
            return x, rng.choice((layer.height / 2 + gap, high - layer.height / 2 - gap))

        if style == "centre text":
            put(
                self.text(rng.randrange(short // 9, short // 4)),
                wide / 2,
                high * rng.uniform(0.4, 0.6),
                rng.choice((0, 0, 30, 45, -30)),
            )
        elif style == "corner text":
            layer = self.text(rng.randrange(9, 18))
            put(layer, *corner(layer))
        elif style == "tiled text":
            layer, turn = self.text(rng.randrange(9, 22)), rng.choice((0, 30, 45, -30, -45))
            step_x, step_y = layer.width * rng.uniform(1.1, 1.7), max(24, layer.width * rng.uniform(0.4, 0.9))
            for row, y in enumerate(np.arange(rng.uniform(0, 20), high + step_y, step_y)):
                for x in np.arange((row % 2) * step_x / 2, wide + step_x, step_x):
                    put(layer, x, y, turn)
        elif style == "corner logo":
            layer = self.logo(rng.randrange(short // 8, short // 4))
            put(layer, *corner(layer))
        elif style == "tiled logo":
            layer, step = self.logo(rng.randrange(14, 30)), rng.randrange(40, 80)
            for y in range(step // 2, high, step):
                for x in range(step // 2, wide, step):
                    put(layer, x, y)
        elif style == "strip":
            tall = rng.randrange(14, 28)
            band = Image.new("L", (wide, tall), rng.randrange(90, 160))
            layer = self.text(tall - 5)
            band.paste(255, (rng.choice((6, max(0, (wide - layer.width) // 2))), -1), layer)
            mask.paste(band, (0, rng.choice((0, high - tall, high // 2 - tall // 2))))
        elif style == "cross and text":
            draw = ImageDraw.Draw(mask)
            draw.line((0, 0, wide, high), fill=200, width=rng.randrange(1, 4))
            draw.line((0, high, wide, 0), fill=200, width=rng.randrange(1, 4))
            put(self.text(rng.randrange(short // 9, short // 5)), wide / 2, high / 2)
        elif style == "outlined text":
            put(
                self.text(rng.randrange(short // 7, short // 4), outline=True),
                wide / 2,
                high * rng.uniform(0.3, 0.7),
                rng.uniform(-35, 35),
            )
        elif style == "side text":
            layer = self.text(rng.randrange(12, 22))
            put(layer, rng.choice((layer.height / 2 + 3, wide - layer.height / 2 - 3)), high / 2, 90)
        elif style == "stamp":
            size = rng.randrange(short // 3, short // 2)
            layer, turn = Image.new("L", (size, size)), rng.uniform(-40, 40)
            draw = ImageDraw.Draw(layer)
            for inset in (1, size // 10):
                draw.ellipse((inset, inset, size - inset - 1, size - inset - 1), outline=255, width=2)
            word = self.text(max(9, size // 6))
            layer.paste(255, ((size - word.width) // 2, (size - word.height) // 2), word)
            put(layer, wide * rng.uniform(0.3, 0.7), high * rng.uniform(0.3, 0.7), turn)
        return mask

    def marked(self, picture: Image.Image, style: str) -> Image.Image:
        """`picture` with a watermark; how strong it is varies from hardly seen to nearly opaque."""
        strength = self.rng.uniform(0.18, 0.75)
        mask = self.mark(style, *picture.size).point(lambda value: int(value * strength))
        return Image.composite(Image.new("RGB", picture.size, self.colour()), picture, mask)


SEEN = ("centre text", "corner text", "tiled text", "corner logo", "tiled logo", "strip", "cross and text")
HELD = ("outlined text", "side text", "stamp")


def load(folder: Path) -> list[Image.Image]:
    """All pictures, with transparency where they have it."""
    emoji = pq.read_table(folder / "emoji_pairs.parquet", columns=["fluent3d_webp"]).column(0).to_pylist()
    stamps = pq.read_table(folder / "tuxpaint_pairs.parquet", columns=["png"]).column(0).to_pylist()
    found = [Image.open(io.BytesIO(data)).convert("RGBA") for data in (*stamps, *emoji[::2]) if data]
    return [p for p in found if min(p.size) >= 40]


def shown(picture: Image.Image, rng: random.Random) -> Image.Image:
    """As a web might show it: on a ground of its own, cut, turned round, lighter or darker, compressed."""
    size = tuple(rng.randrange(150, SHOWN + 1) for _ in range(2))
    ends = np.array([[rng.randrange(256) for _ in range(3)] for _ in range(2)], np.float32)
    if rng.random() < 0.4:
        ends[:] = rng.choice((255, 255, 245, 0))
    ramp = np.linspace(0, 1, size[1])[:, None, None]
    ground = Image.fromarray((ends[0] * (1 - ramp) + ends[1] * ramp).repeat(size[0], 1).astype(np.uint8))
    scale = rng.uniform(0.6, 1.6) * min(size) / max(picture.size)
    thing = picture.resize([max(8, int(side * scale)) for side in picture.size], Image.Resampling.BILINEAR)
    if rng.random() < 0.5:
        thing = thing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    at = [int((whole - part) * rng.random()) for whole, part in zip(size, thing.size, strict=True)]
    ground.paste(thing, tuple(at), thing)
    return ground


def plain(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Without a watermark; at times with opaque shapes, which are none."""
    if rng.random() < 0.25:
        draw = ImageDraw.Draw(picture)
        for _ in range(rng.randrange(1, 4)):
            x, y = rng.randrange(picture.width), rng.randrange(picture.height)
            box = (x, y, x + rng.randrange(8, 70), y + rng.randrange(8, 70))
            fill = tuple(rng.randrange(256) for _ in range(3))
            rng.choice((draw.ellipse, draw.rectangle))(box, fill=fill)
    return picture


def stored(picture: Image.Image, rng: random.Random) -> Any:
    """What the network sees of the picture as a lake stores it."""
    if rng.random() < 0.7:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=rng.randrange(60, 96))
        picture = Image.open(file)
    return OURS.pixels(picture)


def pair(pictures: list[Image.Image], rng: random.Random, maker: Maker) -> list[Any]:
    """One picture twice: as it is, and with a watermark. What else is in it tells nothing."""
    picture = plain(shown(rng.choice(pictures), rng), rng)
    return [stored(picture, rng), stored(maker.marked(picture, rng.choice(SEEN)), rng)]


def train(pictures: list[Image.Image], seconds: float, size: int = 24) -> Any:
    """Learns from pairs: each apart, and that of two the marked one is the marked one."""
    torch.manual_seed(0)
    rng, model = random.Random(0), network()
    maker = Maker(rng, held=False)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=1e-3)
    wanted = torch.arange(2 * size).remainder(2).float()[:, None]
    started, step, lost, right = time.process_time(), 0, 0.69, 0.5
    model.train()
    while (spent := time.process_time() - started) < seconds:
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / 50) * max(0.02, 1 - spent / seconds)
        inputs = np.stack([one for _ in range(size) for one in pair(pictures, rng, maker)])
        logits = model(torch.from_numpy(inputs))
        apart = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted)
        between = logits[1::2] - logits[0::2]
        loss = apart + torch.nn.functional.softplus(-between).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        lost, right = (
            0.98 * lost + 0.02 * apart.item(),
            0.98 * right + 0.02 * (between > 0).float().mean().item(),
        )
        if step % 50 == 0:
            print(f"{spent:.0f} s, {step * size} pairs, loss {lost:.3f}, told apart {right:.3f}", flush=True)
    return model.eval()


def judge(model: Any, pictures: list[Image.Image], styles: tuple[str, ...], held: bool, each: int) -> None:
    """Prints precision over all, and recall by style, at 0.5 and at 0.8; as many pictures with as without."""
    rng = random.Random(1)
    maker = Maker(rng, held)

    def scores(made: list[Any]) -> Any:
        with torch.inference_mode():
            return (
                torch.cat(
                    [model(torch.from_numpy(np.stack(made[i : i + 64]))) for i in range(0, len(made), 64)]
                )
                .sigmoid()
                .numpy()[:, 0]
            )

    by_style = {
        style: scores(
            [stored(maker.marked(shown(rng.choice(pictures), rng), style), rng) for _ in range(each)]
        )
        for style in styles
    }
    without = scores(
        [stored(plain(shown(rng.choice(pictures), rng), rng), rng) for _ in range(each * len(styles))]
    )
    marked = np.concatenate([*by_style.values()])
    for at in (0.5, 0.8):
        hits, false = int((marked > at).sum()), int((without > at).sum())
        parts = ", ".join(f"{style} {(values > at).mean():.2f}" for style, values in by_style.items())
        name, precision = "held-out" if held else "seen", hits / max(1, hits + false)
        rates = f"{precision:.3f} | {hits / len(marked):.3f} | {false / len(without):.3f}"
        print(f"| {name} styles, > {at} | {rates} | {parts} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=400, help="of CPU time, on one thread")
    parser.add_argument("--to", type=Path, default=SMALL)
    parser.add_argument("--each", type=int, default=200, help="pictures per style to judge by")
    args = parser.parse_args()
    torch.set_num_threads(1)
    pictures = load(args.pairs)
    seen, kept = [p for n, p in enumerate(pictures) if n % 5], pictures[::5]
    print(f"{len(seen)} pictures to train with, {len(kept)} kept", flush=True)
    model = train(seen, args.seconds)
    save_file(
        {name: v.half() if v.is_floating_point() else v for name, v in model.state_dict().items()}, args.to
    )
    print(
        "| held-out pictures | precision | recall | false alarms | recall by style |\n|---|---|---|---|---|"
    )
    judge(model, kept, SEEN, False, args.each)
    judge(model, kept, HELD, True, args.each)


if __name__ == "__main__":
    main()
