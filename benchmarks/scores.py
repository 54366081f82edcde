"""Similarity and LAION's heads for a million embeddings: ours, a plain torch loop, and reading the bytes.

    uv run python benchmarks/scores.py --json

Rows of two float16 vectors of length 1, in blocks as a stage has them, more of them than a cache holds.
Everything on one thread. The peer is what one would write: `cosine_similarity` and `nn.Linear` layers on
float32, in the same blocks; it leaves out the detectors' look-up of categories, as their ports to torch do.
With CuPy and a GPU, that as well.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import time
from collections.abc import Callable
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import torch
from safetensors.numpy import load_file

from transforms.scores import heads
from transforms.scores.similarity import cosine

BLOCK = 2048  # rows: [batches] rows
DIFFERENT = 32  # blocks that are made; they are gone through again and again, 128 MB at 512 elements
TASKS = {
    512: ("similarity", "punsafe_b32", "aesthetic_v1_b32"),
    768: ("similarity", "punsafe_l14", "aesthetic_v2_l14"),
}

Block = tuple[np.ndarray, np.ndarray]


def blocks(size: int) -> list[Block]:
    """Different pairs of float16 [BLOCK, size]."""
    random = np.random.default_rng(0)

    def one() -> np.ndarray:
        vectors = random.standard_normal((BLOCK, size), np.float32)
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)

    return [(one(), one()) for _ in range(DIFFERENT)]


def ours(task: str) -> Callable[[Block], Any]:
    """What the stage computes of a block."""
    if task == "similarity":
        return lambda block: cosine(*block)
    return lambda block: heads.head(task, block[0])


def peers(task: str) -> Callable[[Block], Any]:
    """The same as a plain loop in torch has it."""
    if task == "similarity":
        return lambda block: torch.nn.functional.cosine_similarity(
            *(torch.from_numpy(v).float() for v in block)
        )
    weights = load_file(heads.WEIGHTS / f"{task}.safetensors")
    depth = sum(name.startswith("kernel") for name in weights)
    layers: list[torch.nn.Module] = []
    for n in range(depth):
        kernel = torch.from_numpy(weights[f"kernel{n}"])
        layer = torch.nn.Linear(*kernel.shape)
        layer.weight.data, layer.bias.data = kernel.T.contiguous(), torch.from_numpy(weights[f"bias{n}"])
        layers += [layer, torch.nn.ReLU()] if n < depth - 1 else [layer]
    model = torch.nn.Sequential(*layers).eval()
    mean = deviation = None
    if "mean" in weights:
        mean, deviation = torch.from_numpy(weights["mean"]), torch.from_numpy(weights["variance"]).sqrt()

    def run(block: Block) -> Any:
        vectors = torch.from_numpy(block[0]).float()
        with torch.inference_mode():
            if mean is None:
                return model(vectors)[:, 0]
            return model((vectors - mean) / deviation)[:, 0].sigmoid()

    return run


def floor(task: str) -> Callable[[Block], Any]:
    """Every byte that the task needs, read once."""
    needed = 2 if task == "similarity" else 1
    return lambda block: [vectors.view(np.uint64).sum() for vectors in block[:needed]]


def seconds(run: Callable[[Block], Any], made: list[Block], rows: int) -> float:
    """CPU seconds for so many rows."""
    started = time.process_time()
    for n in range(rows // BLOCK):
        run(made[n % len(made)])
    return time.process_time() - started


def on_gpu(task: str, made: list[Block], rows: int) -> float:
    """Wall seconds for our arrays on a GPU, vectors there already."""
    import cupy

    there = [tuple(map(cupy.asarray, block)) for block in made]
    run = ours(task)
    run(there[0])
    cupy.cuda.Device().synchronize()
    started = time.perf_counter()
    for n in range(rows // BLOCK):
        run(there[n % len(there)])
    cupy.cuda.Device().synchronize()
    return time.perf_counter() - started


def has_gpu() -> bool:
    return importlib.util.find_spec("cupy") is not None and torch.cuda.is_available()


def measure(rows: int, repeats: int) -> dict[str, dict[str, float]]:
    """Per task, rows a CPU second of each way: the median of `repeats`, in turns."""
    found: dict[str, dict[str, float]] = {}
    for size, tasks in TASKS.items():
        made = blocks(size)
        for task in tasks:
            ways = {"ours": ours(task), "torch": peers(task), "floor": floor(task)}
            spent: dict[str, list[float]] = {name: [] for name in ways}
            for run in ways.values():
                run(made[0])
            for _ in range(repeats):
                for name, run in ways.items():
                    spent[name].append(seconds(run, made, rows))
            rates = {name: rows / float(np.median(times)) for name, times in spent.items()}
            if has_gpu():
                rates["gpu"] = rows / on_gpu(task, made, rows)
            found[f"{task}, {size}"] = rates
            told = ", ".join(f"{name} {rate / 1e6:.2f}" for name, rate in rates.items())
            print(f"{task} of {size} elements, million rows a second: {told}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(args.rows, args.repeats)
    if args.json:
        total = {
            name: sum(1 / rates[name] for rates in found.values()) for name in ("ours", "torch", "floor")
        }
        print(
            json.dumps(
                {
                    "name": "scores",
                    "ours": len(found) / total["ours"],
                    "peer": len(found) / total["torch"],
                    "unit": "rows per CPU second, mean over the tasks",
                    "ratio": total["torch"] / total["ours"],
                    "floor_ratio": total["floor"] / total["ours"],
                    "rows_per_second": found,
                }
            )
        )


if __name__ == "__main__":
    main()
