"""The small diffusion model: it goes on where it stopped, and leaves what diffusers loads."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("diffusers", reason="the extra `train` is not installed")

import torch
from PIL import Image

from lakehouse.demo import MODEL
from lakehouse.demo.pictures import carried
from lakehouse.errors import UsageError
from lakehouse.training.diffusion import SIDE, Painter, Recipe, folded, read, score, train, unfolded

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

TINY = Recipe(channels=(16, 32), steps=4, batch=4, drawn=2, judged=2, looks=2)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On cores that others use too, threads of so small a network mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six of the demo's pictures with their names, as an export writes them."""
    path = tmp_path_factory.mktemp("diffusion") / "00000.tar"
    with tarfile.open(path, "w") as tar:
        for number, picture in enumerate(carried()[:6]):
            for ending, data in (
                ("jpg", picture.data),
                ("txt", picture.names["en"].encode()),
                ("json", b"{}"),
            ):
                member = tarfile.TarInfo(f"{number:09d}.{ending}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return path


def test_shards_are_read_in_order(shard: Path) -> None:
    pictures, captions = read([shard])
    assert captions == [p.names["en"] for p in carried()[:6]]
    assert pictures.shape == (6, 3, SIDE, SIDE)
    assert pictures.dtype == torch.uint8
    assert pictures[:, :, 0, 0].float().mean() > 200  # their ground is light


def test_right_captions_score_above_wrong_ones(shard: Path) -> None:
    pictures, captions = read([shard])
    assert score(pictures, captions) > score(pictures, captions[1:] + captions[:1]) + 0.1


def test_folding_loses_nothing() -> None:
    pictures = torch.rand(2, 3, SIDE, SIDE)
    assert folded(pictures).shape == (2, 48, 16, 16)
    assert torch.equal(unfolded(folded(pictures)), pictures)


def test_it_goes_on_where_it_stopped(shard: Path, tmp_path: Path) -> None:
    assert not train([shard], MODEL, tmp_path, TINY, minutes=0)
    assert train([shard], MODEL, tmp_path, TINY)
    history = json.loads((tmp_path / "history.json").read_text())
    assert [step for step, _, _ in history] == [0, 2, 4]
    with Image.open(tmp_path / "samples.webp") as sheet:
        assert sheet.height == 2 * (2 * SIDE + 16)
    from diffusers import UNet2DConditionModel

    assert UNet2DConditionModel.from_pretrained(tmp_path / "unet").config.in_channels == 48


def test_a_stored_state_is_the_same_state(shard: Path, tmp_path: Path) -> None:
    """Two steps, stored and loaded, then one: as three steps at once."""
    pictures, _ = read([shard])
    vectors = torch.nn.functional.normalize(
        torch.randn(6, 8, generator=torch.Generator().manual_seed(0)), dim=-1
    )
    one, two = Painter(TINY, 8), Painter(TINY, 8)
    losses = [one.learn(pictures, vectors) for _ in range(3)]
    again = [two.learn(pictures, vectors) for _ in range(2)]
    two.save(tmp_path / "state.pt")
    loaded = Painter(dataclasses.replace(TINY, seed=9), 8)
    assert loaded.load(tmp_path / "state.pt")
    assert [*again, loaded.learn(pictures, vectors)] == pytest.approx(losses, rel=1e-4)


def test_it_learns_one_picture(shard: Path) -> None:
    """As far as so narrow a network can: the noise of 48 channels does not fit through its 16."""
    pictures, _ = read([shard])
    painter = Painter(dataclasses.replace(TINY, steps=60, batch=4, rate=1e-2, warmup=5), 8)
    vectors = torch.zeros(1, 8)
    losses = [painter.learn(pictures[:1], vectors) for _ in range(40)]
    assert sum(losses[-10:]) < 0.85 * sum(losses[:10])


def test_shards_without_pictures(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "00000.tar", "w"):
        pass
    with pytest.raises(UsageError, match="no pictures"):
        read([tmp_path / "00000.tar"])
