"""No row, picture or vector passes through the driver: 200 MB of them leave no trace in its memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "driver_memory.py"
MOST_MB = 60


@pytest.mark.slow
def test_the_driver_does_not_grow_with_the_data() -> None:
    """The benchmark in small; its peer, which does pass rows through its process, shows that it can tell."""
    told = subprocess.run(
        [sys.executable, str(BENCHMARK), "--rows", "250000", "--payload", "800", "--json"],
        capture_output=True,
        text=True,
        timeout=250,
        check=True,
    )
    found = json.loads(told.stdout.splitlines()[-1])
    assert found["rows"] == {"downloads": 250_000, "images": 250_000}
    assert found["written_bytes"] > found["payload_bytes"] == 200_000_000
    assert found["ours"] < MOST_MB < found["peer"]
