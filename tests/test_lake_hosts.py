"""A lake in an object store, made by machines that share no folder, one of which is lost midway."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import demo_lake
import hosts
import hub
import pytest
import synthetic
from demo_lake import Crawl
from distributed import Client
from hosts import Host
from s3 import KEYS, at, new_folder, s3

from lakehouse import cluster, lake, run, settings
from lakehouse.lake import Lake
from lakehouse.run import Progress
from lakehouse.storage import Storage

STAGES = ("candidates", "downloads")
LAKE = str(Path(sys.executable).with_name("lake"))
TESTS = {"PYTHONPATH": str(Path(__file__).parent)}


def variables(storage: Storage) -> dict[str, str]:
    """The environment in which programs find the bucket as the lake's store and as that of crawl files."""
    told = {f"LAKE_STORAGE_{name.upper()}": value for name, value in storage.options.items()}
    keys = {**KEYS, "aws_default_region": KEYS["aws_region"]}
    keys["aws_endpoint_url"] = storage.options["aws_endpoint_url"]
    return {**told, **{name.upper(): value for name, value in keys.items()}}


@pytest.fixture
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    """A folder of a new bucket, which readers of crawl files find as well."""
    with s3() as address:
        made = new_folder(address, request.node.nodeid)
        for name, value in variables(made).items():
            monkeypatch.setenv(name, value)
        yield made


@contextmanager
def cluster_of(folder: Path) -> Iterator[tuple[Client, Host, Host]]:
    """A client of two machines with a worker each; a third one has the scheduler."""
    with hosts.on_loopback(folder, ["driver", "one", "two"]) as (driver, one, two):
        for host in (driver, one, two):
            host.environment.update(TESTS)
        address = hosts.scheduler(driver)
        for host in (one, two):
            hosts.worker(host, address, "--no-nanny")
        with cluster.connect(settings.Cluster(scheduler=address)) as client:
            client.wait_for_workers(2, timeout=60)
            yield client, one, two


def addresses(client: Client) -> set[str]:
    """Of the machines that have workers."""
    return {worker["host"] for worker in client.scheduler_info()["workers"].values()}


def test_rows_by_two_hosts_one_of_them_lost(storage: Storage, tmp_path: Path) -> None:
    """The batch protocol: a task of the second batch kills its machine, and the other one repeats it."""
    made = synthetic.new(storage.root)
    marker = tmp_path / "died"
    with cluster_of(tmp_path) as (remote, one, two):
        assert addresses(remote) == {one.address, two.address}
        assert synthetic.fill(made, remote, f"die:{marker}") == synthetic.UNITS
        assert marker.exists()
        assert len(addresses(remote)) == 1
    assert synthetic.content(made) == synthetic.expected()
    synthetic.assert_ledger_agrees(made)


def losing(host: Host) -> Progress:
    """Loses the machine once some of a batch of downloads, and not all of it, has been done."""
    stage = [""]

    def start(plan: run.Plan, batches: int) -> None:
        stage[0] = plan.stage.name

    def step(done: int, total: int, rows: int) -> None:
        if stage[0] == "downloads" and 0 < done < total and host.running:
            host.lose()

    return Progress(start=start, step=step)


@pytest.mark.slow
def test_stages_by_two_hosts_one_of_them_lost(
    storage: Storage, few_crawl: Crawl, client: Client, tmp_path: Path
) -> None:
    here = few_crawl.lake(tmp_path / "lake")
    demo_lake.built(here, client, STAGES)
    hub.make(storage.root, few_crawl.address, *map(str, few_crawl.files))
    there = lake.open_lake(storage.root)
    with cluster_of(tmp_path) as (remote, one, two):
        run.run(there, remote, demo_lake.chosen(there, STAGES), progress=losing(two))
        assert not two.running, "a machine was to be lost midway"
        assert addresses(remote) == {one.address}
    assert demo_lake.content(there) == demo_lake.content(here)
    demo_lake.assert_sound(there)
    assert there.storage.files("spool") == []


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[list[Host]]:
    """Three machines in namespaces: no file of one can be seen from another."""
    try:
        with hosts.in_namespaces(tmp_path, ["driver", "one", "two"]) as made:
            yield made
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this process may not make network namespaces: {error}")


@pytest.mark.slow
def test_the_demo_by_hosts_that_see_no_file_of_each_other(
    demo: Lake, demo_crawl: Crawl, machines: list[Host]
) -> None:
    """`lake run` against two machines with nannies; the cable of one is pulled while it downloads."""
    driver, one, two = machines
    store, web, root = f"{driver.address}:5000", f"{driver.address}:8000", "s3://lakes/demo"
    for host in machines:
        host.environment |= variables(at(store, root))
    driver.environment |= {"PYTHONPATH": os.pathsep.join([str(hosts.REPOSITORY), TESTS["PYTHONPATH"]])}
    driver.start("-m", "moto.server", "-H", driver.address, "-p", "5000")
    driver.start("-m", "hub", "web", *web.split(":"))
    driver.wait_for("5000", "8000")
    driver.run("-c", "import boto3; boto3.client('s3').create_bucket(Bucket='lakes')")
    driver.run("-m", "hub", "lake", root, web, *map(str, demo_crawl.files))
    address = hosts.scheduler(driver)
    for host in (one, two):
        hosts.worker(host, address)

    lake_run = (LAKE, "--root", root, "run", "--scheduler", address)
    driver.run(*lake_run, "candidates")
    running = driver.start(*lake_run)
    while not any(b"spool" in name for name in driver.run(*LISTED).splitlines()):
        assert running.poll() is None, (driver.folder / "log").read_text()
        time.sleep(0.2)
    two.lose()
    assert running.wait(250) == 0, (driver.folder / "log").read_text()
    found = json.loads(driver.run("-m", "hub", "content", root))
    assert found == {key: list(dataclasses.astuple(c)) for key, c in demo_lake.content(demo).items()}
    attempts = json.loads(driver.run(LAKE, "--root", root, "sql", ATTEMPTS, "--format", "json"))
    assert attempts == [{"most": 1}], "the loss of a worker is no concern of the driver's"


LISTED = (
    "-c",
    "import boto3\n"
    "for o in boto3.client('s3').list_objects_v2(Bucket='lakes').get('Contents', []): print(o['Key'])",
)
ATTEMPTS = "select max(attempt) as most from ledger"
