"""A Dask scheduler that exists already, with workers of its own: the same lake comes of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import demo_lake
import hosts
import pytest
from demo_lake import Crawl
from distributed import Client

from lakehouse import cluster, settings
from lakehouse.errors import UsageError

STAGES = ("candidates", "downloads")


@contextmanager
def process(folder: Path, *arguments: str) -> Iterator[None]:
    """`python -m …` for as long as the context lasts."""
    command = [sys.executable, "-m", *arguments]
    with (folder / "log").open("a") as log:
        started = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            yield
        finally:
            started.terminate()
            started.wait(30)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """The address of a scheduler with one worker, which offers no resources unless it is told to."""
    file = tmp_path / "scheduler.json"
    told = ["--scheduler-file", str(file)]
    scheduling = [
        "distributed.cli.dask_scheduler",
        *told,
        "--port",
        "0",
        "--no-dashboard",
        "--host",
        "127.0.0.1",
    ]
    working = ["distributed.cli.dask_worker", *told, "--nthreads", "1", "--no-dashboard"]
    with process(tmp_path, *scheduling), process(tmp_path, *working):
        with Client(scheduler_file=str(file), timeout=60) as client:
            client.wait_for_workers(1, timeout=60)
            address = client.scheduler.address
        yield address


@pytest.mark.slow
def test_the_same_lake(few_crawl: Crawl, client: Client, scheduler: str, tmp_path: Path) -> None:
    here, there = few_crawl.lake(tmp_path / "here"), few_crawl.lake(tmp_path / "there")
    demo_lake.built(here, client, STAGES)
    with cluster.connect(settings.Cluster(scheduler=scheduler)) as remote:
        demo_lake.built(there, remote, STAGES)
    assert demo_lake.content(here) == demo_lake.content(there)
    demo_lake.assert_sound(there)


def test_no_scheduler_there_is_one_line() -> None:
    with (
        pytest.raises(UsageError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"),
        cluster.connect(settings.Cluster(scheduler="tcp://127.0.0.1:9")),
    ):
        pass


def test_a_scheduler_with_another_pairlake_is_refused(tmp_path: Path) -> None:
    """It reads the tasks too; the same is asked of the workers."""
    told = tmp_path / "other" / "pairlake-9.9.dist-info"
    told.mkdir(parents=True)
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: pairlake\nVersion: 9.9\n")
    with hosts.on_loopback(tmp_path, ["driver"]) as (driver,):
        driver.environment["PYTHONPATH"] = str(told.parent)
        address = hosts.scheduler(driver)
        with (
            pytest.raises(UsageError, match=r"the scheduler has Pairlake 9\.9, this is .*: install the same"),
            cluster.connect(settings.Cluster(scheduler=address)),
        ):
            pass
