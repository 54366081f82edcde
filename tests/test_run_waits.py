"""A run that meets another driver on its stage says who that is, or waits for it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import synthetic
from distributed import Client
from drivers import holder

from lakehouse.errors import ConflictError
from lakehouse.run import run
from lakehouse.stages import Options


def test_a_run_refuses_or_waits(tmp_path: Path, client: Client) -> None:
    lake = synthetic.new(tmp_path / "lake")
    stage = synthetic.stage()
    with holder(str(tmp_path / "lake"), keys=stage.keys) as other:
        with pytest.raises(ConflictError, match=rf"claimed by \S+:{other.pid}:"):
            run(lake, client, [stage])
        threading.Timer(1.0, other.kill).start()
        run(lake, client, [stage], Options(wait=True))
    assert synthetic.content(lake) == synthetic.expected()
