"""The stage in a lake: towers chosen by the language of the caption, one model per table, little memory."""

from __future__ import annotations

import math
from pathlib import Path

import demo_lake
import numpy as np
import pytest
import torch
from checkpoint_folder import PHOTOS, network, write_checkpoint, write_tower
from distributed import Client
from photo_lakes import photo_lake

from lakehouse import lake as lakes
from lakehouse import run, views
from lakehouse.errors import RulesChangedError
from lakehouse.lake import Lake
from lakehouse.search import Query, find
from lakehouse.stages import stages
from transforms.embeddings import ModelSpec, embed_images, embed_texts, load

LANGUAGES = ["en", "de", None, "en", "fr", "ja", "en", None, "en", "pt"]


def rows(lake: Lake) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Both vectors of each pair."""
    found = demo_lake.read(lake, "embeddings_tiny")
    sides = [np.array(found[name].to_pylist(), np.float32) for name in ("image_embedding", "text_embedding")]
    return dict(zip(found["sample_id"].to_pylist(), zip(*sides, strict=True), strict=True))


def pairs(lake: Lake) -> list[tuple[int, str, str | None]]:
    found = views.query(lake, "select sample_id, text, language from candidates order by text")
    return [(row["sample_id"], row["text"], row["language"]) for row in found.to_pylist()]


def test_the_laion5b_recipe_by_random_weights(tmp_path: Path, client: Client) -> None:
    """Pictures and English by the model, all else by the other tower; similarity is of those vectors."""
    spec = write_checkpoint(tmp_path)
    tower = write_tower(tmp_path / "tower")
    lake = photo_lake(tmp_path / "lake", spec.architecture, LANGUAGES, f'multilingual = "{tower}"')
    demo_lake.built(lake, client, ["embeddings", "scores"])
    both = ModelSpec("tiny", spec.architecture, multilingual=tower)
    found, told = rows(lake), pairs(lake)
    assert len(found) == len(told) == len(LANGUAGES)
    images = embed_images(PHOTOS, spec)
    for number, (sample_id, text, language) in enumerate(told):
        image, caption = found[sample_id]
        np.testing.assert_allclose(image, images[number % len(PHOTOS)], atol=3e-4)
        np.testing.assert_allclose(caption, embed_texts([text], both, english=language == "en")[0], atol=3e-4)
    scored = views.query(lake, "select sample_id, similarity from pairs").to_pylist()
    for row in scored:
        image, caption = found[row["sample_id"]]
        assert math.isclose(row["similarity"], float(image @ caption), abs_tol=1e-3)
    with_tower = lakes.open_lake(lake.storage.root)
    (nearest,) = find(with_tower, Query(text=told[0][1], k=1)).rows.to_pylist()
    assert nearest["sample_id"] in found


def test_a_table_refuses_rows_of_another_model(tmp_path: Path, client: Client) -> None:
    """The same name and place, other weights: the run says which hash changed and changes nothing."""
    spec = write_checkpoint(tmp_path)
    lake = photo_lake(tmp_path / "lake", spec.architecture, LANGUAGES[:3])
    demo_lake.built(lake, client, ["embeddings"])
    before = rows(lake)
    write_checkpoint(tmp_path, network(seed=1).state_dict())
    with pytest.raises(RulesChangedError, match=r"weights_sha256: .*lake rebuild embeddings"):
        demo_lake.built(lake, client, ["embeddings"])
    (plan,) = [run.plan(lake, stage) for stage in stages(lake) if stage.kind == "embeddings"]
    assert [change.partition(":")[0] for change in plan.stale] == ["weights_sha256"]
    after = rows(lake)
    assert all(np.array_equal(before[key], after[key]) for key in before | after)


def short_of_memory(spec: ModelSpec, room: int, log: str) -> None:
    """Runs on a worker: from now on its model has room for so many pictures or captions alone."""

    def refuse(module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        if len(given[0]) > room:
            with open(log, "a") as file:
                file.write(f"{len(given[0])}\n")
            raise torch.OutOfMemoryError(f"no memory for more than {room}")

    for tower in (load(spec)._network.visual, load(spec)._network.transformer):
        tower.register_forward_pre_hook(refuse)


def test_too_little_memory_changes_no_row(tmp_path: Path, client: Client) -> None:
    spec = write_checkpoint(tmp_path)
    lakes_ = [photo_lake(tmp_path / name, spec.architecture, LANGUAGES) for name in ("much", "little")]
    demo_lake.built(lakes_[0], client, ["embeddings"])
    refused = tmp_path / "refused"
    client.run(short_of_memory, spec.pinned(), 1, str(refused))
    demo_lake.built(lakes_[1], client, ["embeddings"])
    assert refused.read_text(), "no worker was short of memory"
    much, little = map(rows, lakes_)
    assert much.keys() == little.keys()
    for key in much:
        np.testing.assert_allclose(much[key], little[key], atol=3e-4)
