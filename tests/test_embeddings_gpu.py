"""On a GPU: the same vectors within half precision, memory that runs out, and a worker per GPU."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import demo_lake
import numpy as np
import pytest
import torch
from checkpoint_folder import PHOTOS, write_checkpoint, write_tower
from photo_lakes import photo_lake

from lakehouse import cluster, settings
from lakehouse import lake as lakes
from lakehouse.errors import UsageError
from transforms.embeddings import GPU, EmbeddingRules, ModelSpec, embed_images, embed_texts, load
from transforms.embeddings.device import in_halves

TEXTS = ["a cat", "", "word " * 500, "a quick brown fox"]

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
needs_cluster = pytest.mark.skipif(find_spec("dask_cuda") is None, reason="needs dask-cuda (pairlake[gpu])")


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.asarray((left * right).sum(axis=1))


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("size", [1, 3, GPU.batch_size])
def test_vectors_are_those_of_a_cpu(tmp_path: Path, size: int) -> None:
    plain = write_checkpoint(tmp_path)
    spec = ModelSpec("tiny", plain.architecture, multilingual=write_tower(tmp_path / "tower"))
    there = EmbeddingRules(size, GPU.device)
    assert cosines(embed_images(PHOTOS, spec, there), embed_images(PHOTOS, spec)).min() >= 0.999
    for english in (True, False):
        found = embed_texts(TEXTS, spec, there, english)
        assert cosines(found, embed_texts(TEXTS, spec, english=english)).min() >= 0.999


@pytest.mark.gpu
@needs_gpu
def test_a_batch_beyond_the_devices_memory_goes_in_halves(tmp_path: Path) -> None:
    model = load(write_checkpoint(tmp_path), GPU.device)
    batch = torch.randint(0, 256, (4096, 32, 32, 3), dtype=torch.uint8, device=GPU.device)
    total = torch.cuda.get_device_properties(0).total_memory
    with torch.inference_mode():
        expected = model.encode(batch)
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        torch.cuda.set_per_process_memory_fraction((before + 40 * 2**20) / total)
        try:
            with pytest.raises(torch.OutOfMemoryError):
                model.encode(batch)
            found = in_halves(model.encode, batch)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.gpu
@needs_gpu
@needs_cluster
def test_a_worker_per_gpu_embeds_a_lake(tmp_path: Path) -> None:
    spec = write_checkpoint(tmp_path)
    photo_lake(tmp_path / "lake", spec.architecture, ["en"] * 9, "[cluster]\ngpus = true\nworkers = 1")
    lake = lakes.open_lake(str(tmp_path / "lake"))
    with cluster.connect(lake.settings.cluster) as client:
        offered = [worker["resources"] for worker in client.scheduler_info()["workers"].values()]
        assert sum("gpu" in resources for resources in offered) == torch.cuda.device_count()
        assert sum("cpu" in resources for resources in offered) == 1
        demo_lake.built(lake, client, ["embeddings", "scores"])
    rows = demo_lake.read(lake, "embeddings_tiny")
    assert len(rows) == 9


@pytest.mark.skipif(find_spec("dask_cuda") is not None, reason="has dask-cuda")
def test_gpus_without_dask_cuda_are_refused_with_what_to_install() -> None:
    with (
        pytest.raises(UsageError, match=r"dask-cuda is missing: install pairlake\[gpu\]"),
        cluster.connect(settings.Cluster(gpus=True)),
    ):
        pass
