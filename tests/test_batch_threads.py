"""A worker computes with its share of the cores, whatever clusters this process had before."""

from __future__ import annotations

import os

import pytest
from dask.system import CPU_COUNT

from lakehouse import cluster, settings


def threads() -> int:
    """Runs on a worker: the threads that a model computes with there."""
    import torch

    return torch.get_num_threads()


def shares(workers: int) -> set[int]:
    """The threads of the workers of a cluster of so many."""
    with cluster.connect(settings.Cluster(workers=workers, memory="2GB")) as client:
        client.wait_for_workers(workers)
        return set(client.run(threads).values())


def test_each_cluster_shares_the_cores_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in cluster.THREADS:
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    assert shares(1) == {CPU_COUNT}
    assert dict(os.environ) == before
    assert shares(CPU_COUNT) == {1}


def test_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in cluster.THREADS:
        monkeypatch.setenv(name, "1")
    assert shares(1) == {1}
