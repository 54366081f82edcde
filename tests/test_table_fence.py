"""A driver that sleeps between its last look at the claim and its commit, past its lease, adds nothing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from drivers import claim, finish, new_ledger
from things import FORMATS, append, ids, spec, things

from lakehouse.errors import ConflictError, StorageError
from lakehouse.ledger import Claim, Ledger
from lakehouse.storage import Storage
from lakehouse.tables import Table, open_table

KEY = {"key": "things"}


@pytest.fixture(params=FORMATS)
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Table:
    return open_table(Storage(str(tmp_path)), spec(request.param))


@pytest.mark.parametrize("first", [True, False])
def test_a_commit_that_began_before_the_fence_is_refused(table: Table, tmp_path: Path, first: bool) -> None:
    if not first:
        append(table, things(range(3), 1), **KEY)
    files = table.writer().write(things(range(3, 6), 2))
    other = open_table(Storage(str(tmp_path)), table.spec)
    with pytest.raises(StorageError):
        table.commit(files, KEY, lambda: other.fence("things"))
    assert ids(table) == ([] if first else [0, 1, 2])
    append(table, things(range(6, 8), 2), **KEY)
    assert ids(table) == ([6, 7] if first else [0, 1, 2, 6, 7])


def test_a_fence_changes_no_row(table: Table) -> None:
    append(table, things(range(5), 1), **KEY)
    version = table.version()
    assert version is not None
    table.fence("things")
    assert table.version() == version + 1
    assert ids(table) == [0, 1, 2, 3, 4]


def test_keys_of_one_delta_table_do_not_fence_each_other(tmp_path: Path) -> None:
    """Two scorers are computed by two drivers into the partitions of one table."""
    table = open_table(Storage(str(tmp_path)), spec("delta"))
    append(table, things(range(3), 1), key="things/x")
    files = table.writer().write(things(range(3, 6), 1))
    table.commit(files, {"key": "things/y"}, lambda: table.fence("things/x"))
    assert ids(table) == [0, 1, 2, 3, 4, 5]


def test_a_fence_undoes_no_delete_that_comes_at_the_same_moment(tmp_path: Path) -> None:
    """Lance restores an older version over whatever came in between; the fence puts that back."""
    table = open_table(Storage(str(tmp_path)), spec("lance"))
    append(table, things(range(5), 1), **KEY)
    opened = table._open  # type: ignore[attr-defined]
    handles = []

    def late() -> object:
        handles.append(opened())
        if len(handles) == 1:
            open_table(Storage(str(tmp_path)), table.spec).delete("id = 3")
        return handles[-1]

    table._open = late  # type: ignore[attr-defined]
    table.fence("things")
    assert len(handles) == 1
    table._open = opened  # type: ignore[attr-defined]
    assert ids(table) == [0, 1, 2, 4]


def test_a_driver_that_lost_its_claim_in_between_is_told_to_whom(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim holds at the last look; then another driver takes it over; only then this one commits."""
    ledger = new_ledger(tmp_path)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("socket.gethostname", lambda: "elsewhere")
        elsewhere.setattr("lakehouse.ledger.LEASE", timedelta(0))
        slow = claim(ledger, "work")
        files = table.writer().write(things(range(3), 1))
        taken: list[Claim] = []

        def confirm() -> None:
            ledger.renew(slow)
            if not taken:
                elsewhere.undo()
                taken.append(claim(Ledger(ledger.storage), "work"))
                open_table(ledger.storage, table.spec).fence("things")

        with pytest.raises(ConflictError, match=r"the claim of batch 1 was taken over by \S+"):
            table.commit(files, KEY, confirm)
    (taker,) = taken
    assert taker.takeover
    append(table, things(range(3), 1), **KEY)
    finish(ledger, taker)
    assert ids(table) == [0, 1, 2]
