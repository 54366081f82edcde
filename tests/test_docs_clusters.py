"""The examples of clusters in docs/operations.md against the libraries they are for, with our Dask.

Each library is installed in an environment of its own (`uv run --with`), which needs a package registry.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from doc_pages import Block, blocks

LIBRARIES = ("dask-jobqueue", "dask-kubernetes", "dask-cloudprovider[aws]")

# Runs the example with a class that checks its keywords in place of the one that would start machines
CHECKED = """
import inspect, sys, dask_jobqueue.slurm

def checked(cls, also=()):
    made = [c for some in (cls, *also) for c in some.__mro__ if "__init__" in vars(c)]
    known = {name for c in made for name in inspect.signature(c.__init__).parameters}
    class Checked:
        scheduler_address = "tcp://10.0.0.1:8786"
        def __init__(self, **given):
            assert not given.keys() - known, f"{cls.__name__} takes no {given.keys() - known}"
            print("checked", sorted(given))
        def scale(self, **given):
            inspect.signature(cls.scale).bind(self, **given)
    return Checked

def of(module, name, *also):
    setattr(module, name, checked(getattr(module, name), also))
"""
LIBRARY_OF = {
    "dask-jobqueue": (
        "import dask_jobqueue; of(dask_jobqueue, 'SLURMCluster', dask_jobqueue.slurm.SLURMJob)"
    ),
    "dask-kubernetes": "import dask_kubernetes.operator as k; of(k, 'KubeCluster')",
    "dask-cloudprovider[aws]": "import dask_cloudprovider.aws as a; of(a, 'EC2Cluster')",
}
# The script that Slurm would be given; making it starts a scheduler, and no job
JOB_SCRIPT = """
import dask_jobqueue
made = dask_jobqueue.SLURMCluster
def local(**given):
    given.pop("interface")  # of the example's machines
    print(made(**given).job_script())
    raise SystemExit
dask_jobqueue.SLURMCluster = local
"""


def examples() -> dict[str, Block]:
    """The example for each library."""
    return {name: block for name in LIBRARIES for block in blocks(f"python cluster={name}")}


def python(folder: Path, code: str) -> str:
    """What `code` prints in an environment with all three libraries."""
    versions = [f"{name}=={importlib.metadata.version(name)}" for name in ("dask", "distributed")]
    wanted = [word for name in (*LIBRARIES, *versions) for word in ("--with", name)]
    command = [
        "uv",
        "run",
        "--quiet",
        "--no-project",
        "--python",
        sys.executable,
        *wanted,
        "python",
        "-c",
        code,
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280, check=False)
    if done.returncode and "Traceback" not in done.stderr:
        pytest.skip(f"the libraries cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_is_an_example_for_each() -> None:
    assert [*examples()] == [*LIBRARIES]
    for block in examples().values():
        compile(block.text, str(block), "exec")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("uv") is None, reason="uv makes the environments")
@pytest.mark.parametrize("library", LIBRARIES)
def test_its_keywords_are_those_of_the_library(library: str, tmp_path: Path) -> None:
    code = CHECKED + LIBRARY_OF[library] + "\n" + examples()[library].text
    assert "checked [" in python(tmp_path, code)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("uv") is None, reason="uv makes the environments")
def test_slurm_is_given_workers_with_our_resources(tmp_path: Path) -> None:
    script = python(tmp_path, JOB_SCRIPT + examples()["dask-jobqueue"].text)
    assert "#SBATCH -p cpu\n" in script
    assert "#SBATCH --cpus-per-task=16\n" in script
    assert "--nthreads 1 " in script
    assert "--nworkers 16 " in script
    assert "--resources cpu=1,io=1" in script


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("uv") is None, reason="uv makes the environments")
def test_pods_start_workers_with_our_resources(tmp_path: Path) -> None:
    spec = examples()["dask-kubernetes"].text.partition("cluster = ")[0]
    printed = python(tmp_path, spec + "\nprint(spec['spec']['worker']['spec']['containers'][0]['args'])")
    assert "'--nthreads', '1', '--resources', 'cpu=1,io=1'" in printed
