"""SIGKILL of a worker: Dask repeats its tasks, and what it had half written is no part of the lake."""

from __future__ import annotations

from pathlib import Path

import pytest
import synthetic
from distributed import Client


def test_a_worker_killed_once_changes_nothing(tmp_path: Path, client: Client) -> None:
    lake = synthetic.new(tmp_path / "lake")
    marker = tmp_path / "died"
    assert synthetic.fill(lake, client, f"die:{marker}") == synthetic.UNITS
    assert marker.exists()
    assert synthetic.content(lake) == synthetic.expected()
    synthetic.assert_ledger_agrees(lake)
    assert {e["attempt"] for e in lake.ledger.done()} == {1}


@pytest.mark.slow
def test_tasks_that_kill_every_worker_end_the_run_with_one_line(tmp_path: Path, client: Client) -> None:
    """A picture that crashes its decoder, say: no endless loop, and nothing half done."""
    lake = synthetic.new(tmp_path / "lake")
    failed = synthetic.drive(lake.storage.root, LAKE_CRASH_AT="downloads:worker")
    assert failed.returncode == 1
    (line,) = failed.stderr.splitlines()
    assert line.startswith("downloads: batch 1 failed on a worker, nothing of it was kept: a task killed one")
    assert lake.pins() == {}
    assert synthetic.fill(lake, client) == synthetic.UNITS
    assert synthetic.content(lake) == synthetic.expected()
