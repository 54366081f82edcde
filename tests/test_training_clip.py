"""From an export to a model: open_clip's own entry trains on the shards, and open_clip loads what it left."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from distributed import Client
from exports import exported

from lakehouse.demo.pictures import carried
from lakehouse.errors import UsageError
from lakehouse.lake import Lake
from lakehouse.training import clip, evaluate
from lakehouse.training.pictures import HELD_OUT
from transforms.embeddings import ModelSpec, embed_texts

pytest.importorskip("open_clip_train.main", reason="the extra `train` is not installed")

#: the webdataset package leaves its files to the garbage collector; torch warns of its internals
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::UserWarning"
)

STEPS = clip.Schedule(samples=16, batch=8, warmup=1, precision="fp32")


@pytest.fixture(scope="module")
def model(demo: Lake, client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model after two steps on the demo's English pairs."""
    to = tmp_path_factory.mktemp("training")
    exported(demo, client, "webdataset", to / "shards")
    return clip.train(sorted((to / "shards").glob("*.tar")), to / "model", STEPS)


@pytest.fixture(scope="module")
def held_out() -> pa.Table:
    rows = [{"name": p.names["en"], "picture": p.data} for p in carried()[:20]]
    return pa.Table.from_pylist(rows, HELD_OUT)


def test_the_loss_is_told_for_each_logged_step(model: Path) -> None:
    """The first loss of a model that knows nothing is near log 8."""
    (seen, first), *_, (last, _) = json.loads((model / "loss.json").read_text())
    assert (seen, last) == (8, 16)
    assert first == pytest.approx(np.log(8), abs=1)


def test_the_weights_have_learned(model: Path) -> None:
    """Two steps on, they are not those that the seed gave."""
    import open_clip

    torch.manual_seed(STEPS.seed)
    fresh = open_clip.model.CLIP(**clip.SMALL)
    loaded, _, _ = open_clip.create_model_and_transforms(f"local-dir:{model}")
    assert loaded.state_dict().keys() == fresh.state_dict().keys()
    assert not torch.equal(loaded.visual.conv1.weight, fresh.visual.conv1.weight)


def test_a_lake_takes_the_folder_as_a_model(model: Path, held_out: pa.Table) -> None:
    """And embeds with it what open_clip's own tokenizer and text tower give."""
    names = held_out["name"].to_pylist()
    ours = embed_texts(names, ModelSpec("trained", str(model)))
    np.testing.assert_allclose(ours, evaluate.encode(model, held_out).names, atol=1e-4)


def test_a_model_without_knowledge_is_measured_near_chance(model: Path, held_out: pa.Table) -> None:
    """One in 20 is chance; a random model that finds half of them would be a fault of the measure."""
    found = evaluate.measure(evaluate.encode(model, held_out))
    assert all(0 <= value <= 1 for value in found.values())
    assert found["zero_shot_top1"] < 0.5


def test_logging_is_as_it_was(model: Path) -> None:
    """open_clip gives every logger the level INFO, and the process a handler for its own log file."""
    files = [h.baseFilename for h in logging.getLogger().handlers if isinstance(h, logging.FileHandler)]
    assert not [file for file in files if file.endswith("out.log")]
    assert logging.getLogger().level != logging.INFO


def test_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no shards"):
        clip.train([], tmp_path / "model", STEPS)


def test_a_model_is_not_overwritten(model: Path) -> None:
    with pytest.raises(UsageError, match="exists"):
        clip.train([Path("00000.tar")], model, STEPS)
