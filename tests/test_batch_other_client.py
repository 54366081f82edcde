"""Work waits on its own client's loop: the default client may belong to a loop that has ended."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import synthetic
from distributed import Client, default_client

from lakehouse import cluster, settings


async def opened(address: str) -> Client:
    return await Client(address, asynchronous=True)


def main() -> None:
    """Fills the lake at argv[1] while the default client is one that nobody runs any more."""
    lake = synthetic.new(Path(sys.argv[1]), units=1)
    with cluster.connect(settings.Cluster(workers=1)) as client:
        other = asyncio.run(opened(client.scheduler.address))
        assert default_client() is other
        print(synthetic.fill(lake, client), flush=True)
        os._exit(0)  # nobody can close the other client


def test_a_batch_ends_beside_a_client_whose_loop_has_ended(tmp_path: Path) -> None:
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here.parent), str(here)])
    done = subprocess.run(
        [sys.executable, "-c", "import test_batch_other_client as t; t.main()", str(tmp_path / "lake")],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "1"), done.stderr
