"""SIGKILL of the driver at each step of the protocol: the next run makes the lake whole.

While that happens a reader looks on, and never sees half a batch.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import synthetic
from distributed import Client

from lakehouse.lake import Lake, open_lake
from lakehouse.tables import Range

POINTS = ["downloads:written", "downloads:committed", "images:committed", "downloads:done"]


@contextmanager
def reader(root: Path) -> Iterator[list[str]]:
    """Polls pins and rows; yields what it found wrong, and at the end what it saw."""
    stop, wrong = threading.Event(), []

    def look(lake: Lake) -> None:
        pins = lake.pins()
        if pins and pins["downloads"] != pins["images"]:
            wrong.append(f"pins {pins}")
        for key, share in (("downloads", 10), ("images", 9)):
            low, high = pins.get(key, (1, 0))
            found = lake.table(key).arrow([Range(low, high)], ["url_id"])["url_id"].to_pylist()
            expected = (high - low + 1) * synthetic.PARTS * synthetic.ROWS * share // 10
            if len(found) != expected or len(set(found)) != expected:
                wrong.append(f"{key} {pins}: {len(found)} rows, {len(set(found))} keys, not {expected}")

    def watch() -> None:
        lake = open_lake(str(root))
        while not stop.is_set():
            look(lake)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield wrong
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    ("point", "times"),
    [
        ("images:committed", 1),
        ("downloads:done", 2),
        *[
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("downloads:written", 1),
                ("downloads:committed", 1),
                ("downloads:done", 1),
                ("images:committed", 2),
            )
        ],
    ],
)
def test_the_next_run_makes_the_lake_whole(point: str, times: int, tmp_path: Path, client: Client) -> None:
    root = tmp_path / "lake"
    lake = synthetic.new(root)
    with reader(root) as wrong:
        killed = synthetic.drive(root, SCHEDULER=client.scheduler.address, LAKE_CRASH_AT=f"{point}:{times}")
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        done = times if point == "downloads:done" else times - 1
        assert lake.pins() == ({"downloads": (1, done), "images": (1, done)} if done else {})
        assert synthetic.fill(lake, client) == synthetic.UNITS - done
    assert wrong == []
    assert synthetic.content(lake) == synthetic.expected()
    synthetic.assert_ledger_agrees(lake)
    tries = {e["batch"]: e["attempt"] for e in lake.ledger.done("downloads")}
    assert tries == {n: 2 if n == times and done < times else 1 for n in (1, 2)}


@pytest.mark.slow
def test_killed_again_and_again_at_every_step(tmp_path: Path, client: Client) -> None:
    """One lake, a driver killed at each point in turn, and only then left alone."""
    root = tmp_path / "lake"
    lake = synthetic.new(root, units=1)
    for point in POINTS[:3]:
        killed = synthetic.drive(root, SCHEDULER=client.scheduler.address, LAKE_CRASH_AT=point)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    synthetic.fill(lake, client)
    assert synthetic.content(lake) == synthetic.expected(units=1)
    (done,) = lake.ledger.done("images")
    assert (done["batch"], done["attempt"]) == (1, 4)


@pytest.mark.slow
def test_with_a_cluster_of_its_own(tmp_path: Path) -> None:
    """The workers die with their driver, and the next driver starts new ones."""
    root = tmp_path / "lake"
    lake = synthetic.new(root)
    killed = synthetic.drive(root, LAKE_CRASH_AT="images:committed:2")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    again = synthetic.drive(root)
    assert (again.returncode, again.stdout, again.stderr) == (0, "1\n", "")
    assert synthetic.content(lake) == synthetic.expected()
