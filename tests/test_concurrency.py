"""Two drivers, four readers: no commit is lost, none doubled, and no reader sees half of one."""

from __future__ import annotations

import json
import multiprocessing
import time
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from lakes import append, candidate

from lakehouse.errors import ConflictError
from lakehouse.fingerprints import MODULUS, fingerprint
from lakehouse.lake import init, open_lake
from lakehouse.tables import Range

ROWS = 5  # of a batch


def drive(root: str, name: str, commits: int, pipe: Connection) -> None:
    """Commits so many batches, waiting whenever the other driver holds the table."""
    lake, made = open_lake(root), []
    while len(made) < commits:
        rows = [candidate(f"{name}-{len(made)}-{i}") for i in range(ROWS)]
        try:
            made.append(append(lake, {"candidates": rows}, [f"{name}-{len(made)}"]))
        except ConflictError:  # the other driver holds the table
            time.sleep(0.01)
    pipe.send(made)


def look(root: str, stop: Event, pipe: Connection) -> None:
    """Reads head again and again: what it sees must be the batches of its pin, whole and as recorded."""
    looks, last, wrong = 0, 0, []
    while not stop.is_set():
        lake = open_lake(root)
        state = lake.ledger.state()
        low, high = state.pins().get("candidates", (1, 0))
        rows = lake.table("candidates").arrow([Range(low, high)])
        recorded = [e for e in state.done("candidates") if low <= e["batch"] <= high]
        sums = sum(int(e["whole"], 16) for e in recorded) % MODULUS
        if high < last or len(rows) != ROWS * (high - low + 1) or fingerprint(rows).whole != sums:
            wrong.append(f"{last} {low}..{high}: {len(rows)} rows")
        looks, last = looks + 1, high
    pipe.send(json.dumps([looks, wrong]))


@pytest.mark.parametrize(
    ("commits", "readers"), [(8, 2), pytest.param(100, 4, marks=pytest.mark.slow)], ids=str
)
def test_no_lost_no_doubled_no_torn_read(tmp_path: Path, commits: int, readers: int) -> None:
    root = str(tmp_path / "lake")
    lake = init(root)
    spawn = multiprocessing.get_context("spawn")
    stop = spawn.Event()
    ends = [spawn.Pipe(duplex=False) for _ in range(2 + readers)]
    told = [(drive, (root, name, commits // 2, end)) for name, (_, end) in zip("ab", ends, strict=False)]
    told += [(look, (root, stop, end)) for _, end in ends[2:]]
    processes = [spawn.Process(target=target, args=args) for target, args in told]
    for process in processes:
        process.start()
    try:
        assert all(ends[i][0].poll(900) for i in range(2))
        batches = sorted(ends[0][0].recv() + ends[1][0].recv())
        stop.set()
        assert all(end.poll(120) for end, _ in ends[2:])
        seen = [json.loads(end.recv()) for end, _ in ends[2:]]
    finally:
        for process in processes:
            process.kill()
            process.join()
        for pair in ends:
            for end in pair:
                end.close()
    assert batches == list(range(1, commits + 1))
    assert [wrong for _, wrong in seen if wrong] == []
    assert sum(looks for looks, _ in seen) > readers
    rows = lake.table("candidates").arrow([Range(1, commits)], ["sample_id"])
    wanted = {
        candidate(f"{n}-{c}-{i}")["sample_id"] for n in "ab" for c in range(commits // 2) for i in range(ROWS)
    }
    assert len(rows) == len(wanted)
    assert set(rows["sample_id"].to_pylist()) == wanted
