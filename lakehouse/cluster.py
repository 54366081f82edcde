"""One Dask client: local CPUs, local GPUs, or a scheduler that exists already."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import dask
from dask.delayed import Delayed
from distributed import Client, LocalCluster, Nanny, as_completed
from distributed.comm.core import CommClosedError

from lakehouse import settings
from lakehouse.errors import StorageError, UsageError

PACKAGE = "pairlake"
CONNECT_SECONDS = 10  # to reach a scheduler before giving up
RMM_POOL = 0.8  # of a GPU's memory that its worker takes at once, where RMM is installed
#: What decides how many threads torch takes in a process. NumPy's own (OPENBLAS_NUM_THREADS) stay Dask's one:
#: its products are small here, and one worker of two cores took 1.7 times the CPU for downloads with two.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
NEEDS = ("cpu", "io", "gpu")  # what a stage can ask of a worker: Dask resources of that name

_CONFIG = {
    # Strings stay what the Arrow schema says
    "dataframe.convert-string": False,
    # A worker that a picture or a model kills is replaced; a task that kills three is given up
    "distributed.scheduler.allowed-failures": 3,
    "distributed.worker.multiprocessing-method": "spawn",
}


@contextmanager
def connect(cluster: settings.Cluster) -> Iterator[Client]:
    """A client of the cluster that the settings describe; what was started here is stopped again."""
    with dask.config.set(_CONFIG):
        if cluster.scheduler:
            with _remote(cluster.scheduler) as client:
                yield client
            return
        with _own_environment(), dask.config.set(_threads(cluster)):
            local = _local(cluster)
        client = Client(local)
        try:
            yield client
        finally:
            for started in (client, local):
                # On a busy machine workers may end later than Dask waits for: they end with this process
                with suppress(TimeoutError):
                    started.close()


def _remote(address: str) -> Client:
    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, CommClosedError, ValueError) as error:
        raise UsageError(f"no Dask scheduler answers at {address}: {error}") from error
    try:
        _check_versions(client)
    except UsageError:
        client.close()
        raise
    return client


def _check_versions(client: Client) -> None:
    """Raises UsageError where the scheduler, which reads the tasks too, or a worker has another Pairlake.

    Workers that come later are not asked.
    """
    try:
        scheduler: Any = client.run_on_scheduler(version, PACKAGE)
    except PackageNotFoundError as error:
        scheduler = error
    workers = client.run(version, PACKAGE, on_error="return")
    here = version(PACKAGE)
    for where, there in (("the scheduler", scheduler), *((f"worker {w}", v) for w, v in workers.items())):
        if isinstance(there, PackageNotFoundError):
            raise UsageError(f"{where} has no Pairlake: install {PACKAGE} {here} there")
        if isinstance(there, str) and there != here:
            raise UsageError(f"{where} has Pairlake {there}, this is {here}: install the same there")


def _workers(cluster: settings.Cluster) -> int:
    return cluster.workers or int(dask.system.CPU_COUNT)


def _threads(cluster: settings.Cluster) -> dict[str, int]:
    """A worker's share of the cores, for the models that compute in it; Dask itself says 1.

    What the environment says of a variable wins.
    """
    share = max(1, dask.system.CPU_COUNT // _workers(cluster))
    return {f"distributed.nanny.pre-spawn-environ.{name}": share for name in THREADS}


@contextmanager
def _own_environment() -> Iterator[None]:
    """Takes back what Dask changes here for its workers to inherit: the next cluster would inherit it too."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def _local(cluster: settings.Cluster) -> LocalCluster:
    workers = _workers(cluster)
    here = {"cpu": 1, "io": 1}
    quiet = logging.CRITICAL  # what goes wrong is raised, in one line, by who asked for the work
    if not cluster.gpus:
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=cluster.memory,
            resources=here,
            dashboard_address=":0",
            silence_logs=quiet,
        )
    try:
        from dask_cuda import LocalCUDACluster
    except ImportError as error:
        raise UsageError("GPUs are asked for, but dask-cuda is missing: install pairlake[gpu]") from error
    try:
        local: LocalCluster = LocalCUDACluster(
            resources={"gpu": 1},
            dashboard_address=":0",
            silence_logs=quiet,
            **_memory(),
        )
    except (RuntimeError, OSError) as error:
        raise StorageError(f"no GPU can be used here: {error}") from error
    options = {"nthreads": 1, "resources": here, "memory_limit": cluster.memory, "silence_logs": quiet}
    for number in range(workers):
        local.worker_spec[f"cpu-{number}"] = {"cls": Nanny, "options": options}
    local.scale(len(local.worker_spec))
    return local


def _memory() -> dict[str, Any]:
    """Options for one pool of memory per GPU, which CuPy and torch share; without RMM each has its own."""
    if find_spec("rmm") is None:
        return {}
    return {"rmm_pool_size": RMM_POOL, "rmm_allocator_external_lib_list": ["torch", "cupy"]}


def resources(client: Client, need: str) -> dict[str, float] | None:
    """The Dask resource that serves `need`: its own where a worker has it, else a CPU's, else any."""
    offered = {name for worker in client.scheduler_info()["workers"].values() for name in worker["resources"]}
    for name in (need, "cpu"):
        if name in offered:
            return {name: 1}
    return None


def compute(
    client: Client | None, tasks: Sequence[Delayed], meanwhile: Callable[[], None], every: float
) -> list[Any]:
    """The tasks' results in their order, from the workers of `client` or from here.

    `meanwhile` is called about `every` seconds. What a task raises is raised here.
    """
    if client is None:
        running: Iterable[tuple[int, Any]] = (
            (i, task.compute(scheduler="synchronous")) for i, task in enumerate(tasks)
        )
        return _collected(running, meanwhile, every)
    futures = client.compute(list(tasks))
    places = {future.key: i for i, future in enumerate(futures)}
    try:
        running = (
            (places[future.key], future.result()) for future in as_completed(futures, loop=client.loop)
        )
        return _collected(running, meanwhile, every)
    finally:
        client.cancel(futures)


def _collected(running: Iterable[tuple[int, Any]], meanwhile: Callable[[], None], every: float) -> list[Any]:
    called, results = time.monotonic(), {}
    for place, result in running:
        results[place] = result
        if time.monotonic() - called > every:
            meanwhile()
            called = time.monotonic()
    return [results[place] for place in sorted(results)]
