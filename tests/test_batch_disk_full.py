"""A full disk: one clear line, the old version intact, and the run goes on once there is room."""

from __future__ import annotations

from pathlib import Path

import pytest
import synthetic
from disks import fill_up, small_disk  # noqa: F401  a fixture
from distributed import Client

from lakehouse.errors import StorageError
from lakehouse.lake import open_lake


@pytest.mark.parametrize("left", [100_000, 20_000, 0])
def test_a_full_disk(small_disk: Path, client: Client, left: int) -> None:  # noqa: F811
    root = small_disk / "lake"
    lake = synthetic.new(root, units=1)
    synthetic.fill(lake, client)
    before = synthetic.content(lake)
    synthetic.with_sources(lake, 12)
    ballast = small_disk / "ballast"
    fill_up(ballast, left)
    with pytest.raises(StorageError) as caught:
        synthetic.fill(lake, client)
    assert "\n" not in str(caught.value)
    assert "no space left while writing" in str(caught.value)
    assert "make room, then run the same command again" in str(caught.value)
    done = open_lake(str(root)).pins()["images"][1]
    assert done < 12
    intact = synthetic.content(open_lake(str(root)))
    assert intact == (before if done == 1 else synthetic.expected(units=done))
    ballast.unlink()
    assert synthetic.fill(open_lake(str(root)), client) == 12 - done
    assert synthetic.content(lake) == synthetic.expected(units=12)
