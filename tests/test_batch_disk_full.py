"""A full disk: one clear line, the old version intact, and the run goes on once there is room."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import synthetic
from distributed import Client

from lakehouse.errors import StorageError
from lakehouse.lake import open_lake

SIZE = "3m"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("left", [100_000, 20_000, 0])
def test_a_full_disk(small_disk: Path, client: Client, left: int) -> None:
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


def fill_up(ballast: Path, left: int) -> None:
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    with ballast.open("r+b") as file:
        file.truncate(max(0, ballast.stat().st_size - left))
