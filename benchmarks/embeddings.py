"""How fast pairs become vectors: ours against clip-retrieval 2.45.0, one model, the same pictures and device.

The model is open_clip's ViT-B-32 (or --architecture) with random weights from a file that both load;
the pictures are photos as benchmarks/photos.py makes them, at the size that the lake stores; the captions are
of 3 to 40 words. Each part runs in a fresh process, in turns; its model is warm before the clock starts:

- peer: clip-retrieval's own reader (webdataset, a process per core decodes), mapper and numpy writer; its
  pictures alone, then pictures and captions;
- ours: `embed_images`, `embed_texts`, and `embed_partition` for both together. That both sides give the same
  vectors is checked at the end;
- forward: the bare forward pass over tensors that are ready, in batches of the same size: pictures, and
  captions padded to the whole context as open_clip's tokenizer gives them;
- decode: pictures to those tensors, with all threads and no model;
- matrix: products of square matrices in the precision of the model, the device's matrix rate.

`ratio` is pairs per second of wall time, ours over the peer's, `cpu_ratio` the same by CPU time, the peer's
processes included; `floor_ratio` is the time of our pictures over that of the slower of forward pass and
decoding. On a GPU both sides compute in half precision; without one, that is not measured.

    uv run python benchmarks/embeddings.py --json
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from downloads import ENVS, environment, photos
from output import show

from transforms import columns
from transforms.downloads import DownloadRules
from transforms.downloads.image import picture
from transforms.embeddings import (
    GPU,
    EmbeddingRules,
    ModelSpec,
    embed_images,
    embed_partition,
    embed_texts,
    load,
)
from transforms.embeddings.batches import PAIRS

PEER = ["clip-retrieval==2.45.0", "setuptools<81", "numpy<2", "torch>=2.11,<2.14"]
PARTS = ("peer", "ours", "forward", "decode", "matrix")
MATRIX = 2048  # rows of the square matrices
WORDS = (
    "the",
    "of",
    "in",
    "red",
    "old",
    "photo",
    "house",
    "garden",
    "woman",
    "cat",
    "lake",
    "vintage",
    "handmade",
)
# Runs in the peer's environment: seconds for pictures, then for pictures and captions; vectors go to a folder
PEER_SCRIPT = """
import json, os, sys, time, warnings
warnings.simplefilter("ignore")
import torch
from all_clip import load_clip
from clip_retrieval.clip_inference.mapper import ClipMapper
from clip_retrieval.clip_inference.reader import WebdatasetReader
from clip_retrieval.clip_inference.runner import Runner
from clip_retrieval.clip_inference.writer import NumpyWriter

class Silent:
    def start(self): pass
    def end(self): pass
    def __call__(self, told): pass

model, out, batch, processes, *tars = sys.argv[1:]
_, preprocess, tokenizer = load_clip(model, use_jit=False, warmup_batch_size=int(batch))
seconds = {}
for name, texts in (("pictures", False), ("pairs", True)):
    reader = WebdatasetReader(lambda urls: urls, preprocess, tokenizer, tars, int(batch), int(processes),
                              enable_text=texts, enable_image=True)
    mapper = ClipMapper(True, texts, False, False, model, False, "", int(batch))
    writer = NumpyWriter(0, out, texts, True, False, 1)
    run = Runner(lambda sampler: reader, lambda: mapper, lambda i: writer, lambda i: Silent(), 1)
    cpu, wall = sum(os.times()[:4]), time.perf_counter()
    run(0)
    seconds[name], seconds[name + "_cpu"] = time.perf_counter() - wall, sum(os.times()[:4]) - cpu
print(json.dumps({**seconds, "gpu": torch.cuda.is_available()}))
"""


def caption(number: int) -> str:
    """The caption of this number: 3 to 40 words, half of them of 9 or fewer."""
    draw = random.Random(number)
    return " ".join(draw.choices(WORDS, k=min(40, max(3, round(draw.lognormvariate(2.2, 0.5))))))


def data(number: int) -> tuple[list[bytes], list[str]]:
    """Pictures as the lake stores them, and captions."""
    files = sorted(photos(max(number, 300)).glob("*.jpg"))[:number]
    stored = [picture(file.read_bytes(), DownloadRules()).data for file in files]
    return stored, [caption(i) for i in range(number)]


def weights(architecture: str) -> Path:
    """A file of random weights, made on the first call."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    path = ENVS / f"{architecture}-random.safetensors"
    if not path.exists():
        torch.manual_seed(0)
        save_file(open_clip.create_model(architecture).state_dict(), path)
    return path


def rules(batch: int) -> EmbeddingRules:
    """On the GPU where there is one."""
    import torch

    return EmbeddingRules(batch, GPU.device if torch.cuda.is_available() else "cpu")


def seconds(name: str, run: Callable[[], Any]) -> dict[str, float]:
    """Wall seconds, the device's work included, and CPU seconds of all threads."""
    import torch

    cpu, wall = time.process_time(), time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return {name: time.perf_counter() - wall, f"{name}_cpu": time.process_time() - cpu}


def warm(spec: ModelSpec, how: EmbeddingRules, stored: Sequence[bytes], texts: Sequence[str]) -> None:
    """Loads the model and sends a batch through it."""
    embed_images(stored[: how.batch_size], spec, how)
    embed_texts(texts[: how.batch_size], spec, how)


def frame(stored: Sequence[bytes], texts: Sequence[str]) -> Any:
    """The pairs as a partition of the stage."""
    rows = {"sample_id": range(len(stored)), "text": texts, "image": stored, "unit": ["u"] * len(stored)}
    return columns.to_pandas(pa.table({name: list(some) for name, some in rows.items()}, schema=PAIRS))


def ours(spec: ModelSpec, how: EmbeddingRules, stored: list[bytes], texts: list[str]) -> dict[str, float]:
    """Seconds for pictures, captions, and both as the stage does them."""
    warm(spec, how, stored, texts)
    pairs, size = frame(stored, texts), load(spec, how.device).dimension
    return {
        **seconds("pictures", lambda: embed_images(stored, spec, how)),
        **seconds("captions", lambda: embed_texts(texts, spec, how)),
        **seconds("pairs", lambda: embed_partition(pairs, spec, size, how)),
    }


def forward(spec: ModelSpec, how: EmbeddingRules, stored: list[bytes], texts: list[str]) -> dict[str, float]:
    """Seconds of the network alone, and what it computes per picture."""
    import open_clip
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    warm(spec, how, stored, texts)
    network, _, preprocess = open_clip.create_model_and_transforms(
        spec.architecture, pretrained=spec.pretrained
    )
    network.to(how.device).eval()
    side = preprocess.transforms[0].size
    pixels = torch.randn(len(stored), 3, side, side).to(how.device)
    tokens = open_clip.get_tokenizer(spec.architecture)(texts).to(how.device)
    half = torch.float16 if how.device == "cuda" else None
    with (
        torch.inference_mode(),
        torch.autocast(how.device, half, enabled=half is not None),
    ):
        network.encode_image(pixels[: how.batch_size])
        torch.backends.mha.set_fastpath_enabled(False)  # which is not counted
        with FlopCounterMode(display=False) as counter:
            network.encode_image(pixels[:1])
        torch.backends.mha.set_fastpath_enabled(True)
        return {
            "flop": counter.get_total_flops(),
            **seconds("pictures", lambda: [network.encode_image(b) for b in pixels.split(how.batch_size)]),
            **seconds("captions", lambda: [network.encode_text(b) for b in tokens.split(how.batch_size)]),
        }


def decode(spec: ModelSpec, how: EmbeddingRules, stored: list[bytes], texts: list[str]) -> dict[str, float]:
    """Seconds from files to pixels, without the model."""
    model = load(spec, how.device)
    return seconds("pictures", lambda: [*model.prepared(stored, np.arange(len(stored)), how.batch_size)])


def matrix(spec: ModelSpec, how: EmbeddingRules, stored: list[bytes], texts: list[str]) -> dict[str, float]:
    """Floating-point operations per second of a product of matrices."""
    import torch

    dtype = torch.float16 if how.device == "cuda" else torch.float32
    left, right = (torch.randn(MATRIX, MATRIX, dtype=dtype, device=how.device) for _ in range(2))
    left @ right
    times = 5 if how.device == "cpu" else 500
    spent = seconds("matrix", lambda: [left @ right for _ in range(times)])
    return {"flops": 2 * MATRIX**3 * times / spent["matrix"]}


def tars(folder: Path, stored: Sequence[bytes], texts: Sequence[str], processes: int) -> list[Path]:
    """The pairs as webdataset shards, one per process that reads."""
    made = [folder / f"{n}.tar" for n in range(processes)]
    for n, path in enumerate(made):
        with tarfile.open(path, "w") as tar:
            for i in range(n, len(stored), processes):
                for suffix, content in (("jpg", stored[i]), ("txt", texts[i].encode())):
                    member = tarfile.TarInfo(f"{i:08d}.{suffix}")
                    member.size = len(content)
                    tar.addfile(member, BytesIO(content))
    return made


def peer(spec: ModelSpec, batch: int, folder: Path, shards: Sequence[Path]) -> dict[str, float]:
    """The peer's seconds; its vectors are in `folder`."""
    python = environment("clip-retrieval", PEER)
    name = f"open_clip:{spec.architecture}/{spec.pretrained}"
    command = [python, "-c", PEER_SCRIPT, name, folder, str(batch), str(len(shards)), *shards]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def check(spec: ModelSpec, how: EmbeddingRules, folder: Path, stored: list[bytes], texts: list[str]) -> float:
    """The largest difference between the peer's vectors and ours, in float16; stops where it is large."""
    import pyarrow.parquet as pq

    order = np.array([int(key) for key in pq.read_table(folder / "metadata")["image_path"].to_pylist()])
    pictures = np.load(folder / "img_emb" / "img_emb_0.npy").astype(np.float32)
    captions = np.load(folder / "text_emb" / "text_emb_0.npy").astype(np.float32)
    mine = embed_images(stored, spec, how)[order], embed_texts(texts, spec, how)[order]
    worst = max(float(np.abs(a - b).max()) for a, b in zip(mine, (pictures, captions), strict=True))
    if sorted(order) != list(range(len(stored))) or worst > (0.02 if how.device == "cuda" else 1e-3):
        raise SystemExit(f"{len(order)} vectors of {len(stored)}, and they differ by {worst}")
    return worst


def timed(part: str, told: argparse.Namespace) -> dict[str, float]:
    """One of our parts in a fresh process."""
    command = [
        sys.executable,
        __file__,
        "--part",
        part,
        "--pairs",
        str(told.pairs),
        "--batch",
        str(told.batch),
    ]
    done = subprocess.run(
        [*command, "--architecture", told.architecture], check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def report(found: dict[str, list[dict[str, float]]], pairs: int, about: dict[str, Any]) -> dict[str, Any]:
    """The result from the runs of each part: medians."""
    middle = {
        part: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        for part, runs in found.items()
    }
    mine, bare, theirs = middle["ours"], middle["forward"], middle["peer"]
    flops = bare["flop"] * pairs / bare["pictures"]
    return {
        "name": "embeddings",
        "ours": round(pairs / mine["pairs"], 2),
        "peer": round(pairs / theirs["pairs"], 2),
        "unit": "pairs per second",
        "ratio": round(theirs["pairs"] / mine["pairs"], 2),
        "floor_ratio": round(mine["pictures"] / max(bare["pictures"], middle["decode"]["pictures"]), 3),
        "pictures_ratio": round(theirs["pictures"] / mine["pictures"], 2),
        "pictures_of_forward": round(bare["pictures"] / mine["pictures"], 3),
        "captions_of_forward": round(bare["captions"] / mine["captions"], 2),
        "cpu_ratio": round(theirs["pairs_cpu"] / mine["pairs_cpu"], 2),
        "cpu_pictures_ratio": round(theirs["pictures_cpu"] / mine["pictures_cpu"], 2),
        "cpu_pictures_of_forward": round(bare["pictures_cpu"] / mine["pictures_cpu"], 3),
        "bound": "decoding" if middle["decode"]["pictures"] > bare["pictures"] else "the model",
        "per_second": {
            "our pictures": round(pairs / mine["pictures"], 2),
            "our captions": round(pairs / mine["captions"], 2),
            "peer's pictures": round(pairs / theirs["pictures"], 2),
            "forward, pictures": round(pairs / bare["pictures"], 2),
            "forward, captions": round(pairs / bare["captions"], 2),
            "decode": round(pairs / middle["decode"]["pictures"], 1),
        },
        "gflop_per_picture": round(bare["flop"] / 1e9, 2),
        "matrix_gflops": round(middle["matrix"]["flops"] / 1e9, 1),
        "model_share_of_matrix": round(flops / middle["matrix"]["flops"], 3),
        "load": [round(load, 1) for load in os.getloadavg()],
        **about,
    }


def measure(told: argparse.Namespace, spec: ModelSpec) -> dict[str, Any]:
    """Checks, then runs all parts in turns."""
    import tempfile

    stored, texts = data(told.pairs)
    found: dict[str, list[dict[str, float]]] = {part: [] for part in PARTS}
    with tempfile.TemporaryDirectory() as name:
        shards = tars(Path(name), stored, texts, os.cpu_count() or 1)
        out = Path(name) / "out"
        for _ in range(told.runs):
            found["peer"].append(peer(spec, told.batch, out, shards))
            for part in PARTS[1:]:
                found[part].append(timed(part, told))
        differ = check(spec, rules(told.batch), out, stored, texts)
    gpu = bool(found["peer"][0].pop("gpu"))
    for run in found["peer"][1:]:
        run.pop("gpu")
    about = {
        "architecture": told.architecture,
        "device": "cuda" if gpu else "cpu",
        "gpu": "measured" if gpu else "not measured: no GPU here",
        "pairs": told.pairs,
        "batch": told.batch,
        "runs": told.runs,
        "picture_bytes": round(statistics.mean(map(len, stored))),
        "largest_difference": float(f"{differ:.1e}"),
    }
    return report(found, told.pairs, about)


def main() -> None:
    """Measures and prints; with --json, one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--architecture", default="ViT-B-32", help="a name of open_clip")
    parser.add_argument("--pairs", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64, help="pictures or captions per forward pass")
    parser.add_argument("--runs", type=int, default=3, help="of each part")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--part", choices=PARTS[1:], help=argparse.SUPPRESS)
    told = parser.parse_args()
    spec = ModelSpec("bench", told.architecture, str(weights(told.architecture).resolve()))
    if told.part:
        parts = {"ours": ours, "forward": forward, "decode": decode, "matrix": matrix}
        print(json.dumps(parts[told.part](spec, rules(told.batch), *data(told.pairs))))
        return
    result = measure(told, spec)
    show(result, told.json)


if __name__ == "__main__":
    main()
