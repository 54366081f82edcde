"""An exception in a task: the batch is given up, the message is one line, the next run goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import synthetic
from distributed import Client

from lakehouse import batch
from lakehouse.errors import ConflictError, LakeError, StorageError


def test_the_batch_is_given_up_and_the_next_run_goes_on(tmp_path: Path, client: Client) -> None:
    lake = synthetic.new(tmp_path / "lake")
    marker = tmp_path / "broken"
    marker.touch()
    with pytest.raises(LakeError) as caught:
        synthetic.fill(lake, client, f"raise:{marker}")
    assert str(caught.value) == (
        "downloads: batch 2 failed on a worker, nothing of it was kept: "
        "ValueError: the picture of Dorian Gray"
    )
    assert isinstance(caught.value.__cause__, ValueError)
    assert lake.pins() == {"downloads": (1, 1), "images": (1, 1)}
    assert lake.ledger.state().unfinished("downloads") is None, "nobody has to wait for a lease"
    marker.unlink()
    assert synthetic.fill(lake, client, f"raise:{marker}") == 1
    assert synthetic.content(lake) == synthetic.expected()
    assert [e["attempt"] for e in lake.ledger.done("images")] == [1, 2]


def test_recovery_leaves_the_rows_of_a_finished_batch_alone(tmp_path: Path, client: Client) -> None:
    """An interruption right after the end of a batch must not take its rows away again."""
    lake = synthetic.new(tmp_path / "lake", units=1)
    claims = []
    claim = lake.ledger.claim

    def remembered(*arguments: object) -> object:
        claims.append(claim(*arguments))  # type: ignore[arg-type]
        return claims[-1]

    lake.ledger.claim = remembered  # type: ignore[method-assign,assignment]
    synthetic.fill(lake, client)
    with pytest.raises(ConflictError):
        batch.recover(lake, claims[0])
    assert synthetic.content(lake) == synthetic.expected(units=1)


def test_a_commit_without_its_end_is_deleted_by_the_next_run(tmp_path: Path, client: Client) -> None:
    """The reply to a native commit is lost: rows are in a table, and the ledger knows nothing of them."""
    lake = synthetic.new(tmp_path / "lake")
    synthetic.fill(lake, client)
    stray = [e["files"] for e in lake.ledger.done("downloads")]
    assert stray
    held = lake.ledger.claim(("downloads", "images"), ["unit-9"], "rules", "all", "{}")
    frame = synthetic.make(0, "unit-9", "")
    targets = [batch.target(lake, key) for key in held.keys]
    parts = batch.write_part(frame, targets, held.batch, "downloads")
    for key in held.keys:
        batch._commit(lake, held, key, [p for p in parts if p.key == key], {})
        batch._commit(lake, held, key, [p for p in parts if p.key == key], {})
    assert synthetic.content(lake) == synthetic.expected(), "readers do not see them"
    batch.recover(lake, held)
    lake.ledger.abandon(held)
    for key in held.keys:
        assert lake.table(key).dataset().count_rows() == synthetic.content(lake)[key][0]


class OddError(Exception):
    """Cannot be sent: it is made from two things and keeps one."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one)


def test_an_error_of_ours_leaves_the_worker_without_its_causes() -> None:
    """Dask sends an error with all that it followed from, or, where that fails, a text in its place."""

    def stream(frame: pd.DataFrame, number: int, given: object) -> Iterator[pd.DataFrame]:
        try:
            raise OddError("one", "two")
        except OddError as error:
            raise StorageError("no space left while writing rows") from error
        yield frame

    with pytest.raises(StorageError, match=r"^no space left while writing rows$") as caught:
        batch.write_part(pd.DataFrame(), [], 1, "downloads", stream)  # type: ignore[arg-type]
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
