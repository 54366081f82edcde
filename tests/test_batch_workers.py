"""One worker or two, one unit per batch or all at once: the same content."""

from __future__ import annotations

import os
from pathlib import Path

import synthetic
from dask.system import CPU_COUNT
from distributed import Client

from lakehouse import cluster, settings
from lakehouse import lake as lakes


def threads() -> int:
    """Runs on a worker: the threads that a model computes with there."""
    import torch

    return torch.get_num_threads()


def assert_threads(client: Client, share: int) -> None:
    """A worker computes with its share of the cores."""
    assert set(client.run(threads).values()) == {share}


def test_worker_count_and_batch_size_do_not_matter(tmp_path: Path, client: Client) -> None:
    one = synthetic.new(tmp_path / "one")
    with cluster.connect(settings.Cluster(workers=1, memory="2GB")) as single:
        assert synthetic.fill(one, single) == 2
        assert_threads(single, int(os.environ.get("OMP_NUM_THREADS", CPU_COUNT)))
    assert_threads(client, int(os.environ.get("OMP_NUM_THREADS", max(1, CPU_COUNT // 2))))
    two = synthetic.with_sources(lakes.init(str(tmp_path / "two")))
    assert synthetic.fill(two, client) == 1, "four units per batch, by default"
    assert synthetic.content(one) == synthetic.content(two) == synthetic.expected()
