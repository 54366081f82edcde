"""A worker computes with its share of the cores, whatever clusters this process had before."""

from __future__ import annotations

import os

import pytest
from dask.system import CPU_COUNT

from lakehouse import cluster, settings


def shares(workers: int) -> set[str | None]:
    """What the workers of a cluster of so many are told of threads, which torch reads when it is imported."""
    with cluster.connect(settings.Cluster(workers=workers, memory="2GB")) as client:
        client.wait_for_workers(workers)
        told = client.run(lambda: [os.environ.get(name) for name in cluster.THREADS])
    return {value for values in told.values() for value in values}


def test_each_cluster_shares_the_cores_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in cluster.THREADS:
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    assert shares(1) == {str(CPU_COUNT)}
    assert dict(os.environ) == before
    assert shares(CPU_COUNT) == {"1"}


def test_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in cluster.THREADS:
        monkeypatch.setenv(name, "3")
    assert shares(1) == {"3"}
