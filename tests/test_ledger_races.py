"""Two drivers at the same moment: exactly one gets each batch, and none is lost."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from drivers import claim, finish, new_ledger

from lakehouse.errors import ConflictError
from lakehouse.ledger import Ledger
from lakehouse.storage import Storage

ROUNDS = 20


def race(root: str, start: Barrier, pipe: Connection) -> None:
    """Claims in step with the other process; who wins a round finishes it when both have tried."""
    ledger = Ledger(Storage(root))
    won = []
    for number in range(ROUNDS):
        start.wait()
        try:
            held = claim(ledger, f"work {number}")
        except ConflictError:
            held = None
        start.wait()
        if held is not None:
            won.append((number, held.batch))
            finish(ledger, held)
        start.wait()
    pipe.send(won)


def grab(root: str, start: Barrier, pipe: Connection) -> None:
    """Claims and finishes as fast as it can, trying again whenever the other one was first."""
    ledger = Ledger(Storage(root))
    start.wait()
    batches = []
    while len(batches) < ROUNDS:
        try:
            held = claim(ledger, f"{multiprocessing.current_process().name} {len(batches)}")
        except ConflictError:
            continue
        finish(ledger, held)
        batches.append(held.batch)
    pipe.send(batches)


def both(target: Any, root: Path) -> list[list[Any]]:
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(2, timeout=60)  # one that dies must not keep the other waiting
    pipes = [spawn.Pipe(duplex=False) for _ in range(2)]
    processes = [spawn.Process(target=target, args=(str(root), start, send)) for _, send in pipes]
    for process in processes:
        process.start()
    try:
        answers = []
        for receive, _ in pipes:
            assert receive.poll(120)
            answers.append(receive.recv())
        return answers
    finally:
        for process in processes:
            process.kill()
            process.join()
        for ends in pipes:
            for end in ends:
                end.close()


def test_exactly_one_wins_each_claim(tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path)
    one, other = both(race, tmp_path)
    assert sorted(one + other) == [(number, number + 1) for number in range(ROUNDS)]
    assert [e["units"] for e in ledger.done()] == [[f"work {number}"] for number in range(ROUNDS)]
    assert all(e["attempt"] == 1 for e in ledger.done())


def test_no_batch_is_lost_or_given_twice(tmp_path: Path) -> None:
    """Enough commits to compact the ledger under both drivers' feet."""
    ledger = new_ledger(tmp_path)
    one, other = both(grab, tmp_path)
    assert sorted(one + other) == list(range(1, 2 * ROUNDS + 1))
    assert [e["batch"] for e in ledger.done()] == list(range(1, 2 * ROUNDS + 1))
    assert len({tuple(e["units"]) for e in ledger.done()}) == 2 * ROUNDS
