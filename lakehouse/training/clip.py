"""Trains a CLIP on webdataset shards, by open_clip's own entry point `open_clip_train.main`.

What comes out is a folder that a lake takes as a model: `[models.NAME] architecture = "FOLDER"`.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakehouse.errors import UsageError
from transforms.embeddings.model import CONFIG_FILE, WEIGHTS_FILE

SMALL: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 24, "head_width": 64},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 1},
}
"""open_clip's `model_cfg` of a CLIP that a CPU trains in minutes; its tokenizer is OpenAI's."""

LOSS = re.compile(r"Train Epoch: .*\[ *(\d+)/.* Loss: ([\d.]+) ")


@dataclass(frozen=True)
class Schedule:
    """How long and how fast; the defaults are for `SMALL` on one CPU core."""

    samples: int = 16_384  # seen in training, repeats included: the compute that a study holds equal
    batch: int = 128
    rate: float = 2e-3
    warmup: int = 20  # steps
    decay: float = 0.1
    clip: float = 1.0  # largest norm of the gradient
    precision: str = "amp_bf16"
    device: str = "cpu"
    workers: int = 0  # data loaders; 0: in the training process
    seed: int = 0
    augmentation: tuple[str, ...] = ("scale=(0.6,1.0)",)  # open_clip's --aug-cfg


def train(shards: Sequence[Path], to: Path, schedule: Schedule, config: dict[str, Any] | None = None) -> Path:
    """Trains on `shards` (paths of .tar files) and writes the model's folder `to`; returns it.

    `config` is open_clip's `model_cfg`, by default `SMALL`. The loss as it went is in `to`/loss.json:
    [samples seen, loss of that batch]. open_clip shuffles samples by the clock, so a run is not repeatable
    to the bit: `seed` decides about the first weights and the order of shards.
    Raises UsageError where the extra is missing, there are no shards, or `to` exists.
    """
    main = entry()
    if not shards:
        raise UsageError("no shards to train on: the export is empty")
    if to.exists():
        raise UsageError(f"{to} exists: choose another folder")
    with tempfile.TemporaryDirectory(dir=_made(to.parent), prefix=f".{to.name}-") as place:
        folder = Path(place) / "model"
        folder.mkdir()
        (folder / CONFIG_FILE).write_text(json.dumps({"model_cfg": config or SMALL, "preprocess_cfg": {}}))
        logs = Path(place) / "logs"
        with _logging_kept():
            main(arguments(shards, folder, logs, schedule))
        _save_weights(logs / "run" / "checkpoints" / "epoch_1.pt", folder / WEIGHTS_FILE)
        (folder / "loss.json").write_text(json.dumps(_losses(logs / "run" / "out.log")))
        shutil.move(folder, to)
    return to


def entry() -> Any:
    """`open_clip_train.main.main`. Raises UsageError where the extra `train` is not installed."""
    try:
        from open_clip_train.main import main
    except ImportError as error:
        raise UsageError(
            f"training needs the extra `train` ({error.name} is missing): uv sync --extra train"
        ) from error
    return main


def arguments(shards: Sequence[Path], model: Path, logs: Path, schedule: Schedule) -> list[str]:
    """open_clip's command line, as it follows `python -m open_clip_train.main`."""
    told = {
        "train-data": "::".join(map(str, shards)),
        "train-num-samples": schedule.samples,
        "dataset-type": "webdataset",
        "model": f"local-dir:{model}",
        "logs": logs,
        "name": "run",
        "epochs": 1,
        "batch-size": schedule.batch,
        "lr": schedule.rate,
        "warmup": schedule.warmup,
        "wd": schedule.decay,
        "grad-clip-norm": schedule.clip,
        "precision": schedule.precision,
        "device": schedule.device,
        "workers": schedule.workers,
        "seed": schedule.seed,
        "log-every-n-steps": 10,
    }
    given = [part for key, value in told.items() for part in (f"--{key}", str(value))]
    return [*given, "--aug-cfg", *schedule.augmentation]


@contextmanager
def _logging_kept() -> Iterator[None]:
    """open_clip sets up logging for the whole process: every logger's level, and handlers of its own."""
    root = logging.getLogger()
    handlers = list(root.handlers)
    named = [logging.getLogger(name) for name in logging.root.manager.loggerDict]
    levels = [(logger, logger.level) for logger in (root, *named)]
    try:
        yield
    finally:
        for handler in set(root.handlers) - set(handlers):
            root.removeHandler(handler)
            handler.close()
        for logger, level in levels:
            logger.setLevel(level)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _save_weights(checkpoint: Path, to: Path) -> None:
    import torch
    from safetensors.torch import save_file

    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    save_file({name.removeprefix("module."): value.contiguous() for name, value in state.items()}, str(to))


def _losses(log: Path) -> list[tuple[int, float]]:
    return [(int(seen), float(loss)) for seen, loss in LOSS.findall(log.read_text())]
