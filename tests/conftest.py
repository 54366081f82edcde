"""Fixtures that all tests share: one small Dask cluster, and an empty lake for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import browser, visit  # noqa: F401  fixtures for the whole run, as those below
from demo_lake import demo, demo_address, demo_crawl, few_crawl  # noqa: F401
from distributed import Client
from serving import served  # noqa: F401

from lakehouse import cluster, settings
from lakehouse import lake as lakes
from lakehouse.lake import Lake

# Waiting for the disk is tested where that is the point; elsewhere it would double the time of small lakes
os.environ.setdefault("LAKE_WRITES_FSYNC", "false")

MOST_PROCESSES = 4  # each has a cluster and a demo lake of its own, about 3 GB


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """The whole suite runs in a process per core; chosen files in this one, which a debugger can enter.

    A file stays in one process, so that what its tests share is made once.
    """
    chosen = any(Path(arg.partition("::")[0]).suffix == ".py" for arg in config.args)
    return 0 if chosen else min(os.cpu_count() or 1, MOST_PROCESSES)


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    """Two worker processes, started once for the whole run."""
    with cluster.connect(settings.Cluster(workers=2, memory="4GB")) as client:
        yield client


@pytest.fixture(autouse=True)
def _computes(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test with `client` computes is computed there, whatever client another test has left."""
    if "client" not in request.fixturenames:
        yield
        return
    with request.getfixturevalue("client").as_current():
        yield


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A new lake without rows."""
    return lakes.init(str(tmp_path / "lake"))
