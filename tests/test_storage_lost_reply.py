"""The store does what it is asked, and its reply is lost: nothing is doubled, nothing is believed lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from drivers import claim, finish
from s3 import at, lossy, new_folder, s3
from things import append, ids, spec, things

from lakehouse.errors import StorageError
from lakehouse.ledger import Ledger
from lakehouse.storage import Storage
from lakehouse.tables import open_table


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an S3 server."""
    with s3() as address:
        yield address


@pytest.fixture
def wish(tmp_path: Path) -> Path:
    """The file that says which reply is to be lost."""
    return tmp_path / "lose"


@pytest.fixture
def storage(server: str, wish: Path, request: pytest.FixtureRequest) -> Iterator[Storage]:
    """A folder of a new bucket, behind the proxy."""
    root = new_folder(server, request.node.nodeid).root
    with lossy(server, wish) as address:
        yield at(address, root)


@pytest.mark.parametrize("act", ["claim", "renew", "finish", "abandon"])
def test_a_ledger_commit_whose_reply_is_lost_counts_once(storage: Storage, wish: Path, act: str) -> None:
    ledger = Ledger(storage)
    ledger.create()
    log = r"/ledger/_delta_log/\d+\.json"
    if act == "claim":
        wish.write_text(log)
    held = claim(ledger, "work")
    if act != "claim":
        wish.write_text(log)
        finish(ledger, held) if act == "finish" else getattr(ledger, act)(held)
    assert not wish.exists(), "the reply was lost"
    made = [e["event"] for e in sorted(Ledger(storage).events(), key=lambda e: e["at"])]
    assert made == ["claim"] + [{"finish": "done"}.get(act, act)] * (act != "claim")


def test_a_delta_commit_whose_reply_is_lost_counts_once(storage: Storage, wish: Path) -> None:
    table = open_table(storage, spec("delta"))
    append(table, things(range(5), 1))
    wish.write_text(r"/things/_delta_log/\d+\.json")
    append(table, things(range(5, 9), 2))
    assert not wish.exists(), "the reply was lost"
    assert ids(table) == list(range(9))
    assert len(table.arrow([])) == 0


def test_a_lance_commit_whose_reply_is_lost_is_never_doubled(storage: Storage, wish: Path) -> None:
    """Either it counts once, or it is refused, and then deleting the batch leaves nothing of it."""
    table = open_table(storage, spec("lance"))
    append(table, things(range(5), 1))
    wish.write_text(r"/things/_versions/")
    try:
        append(table, things(range(5, 9), 2))
    except StorageError:
        table.delete("batch = 2")
        append(table, things(range(5, 9), 2))
    assert not wish.exists(), "the reply was lost"
    assert ids(table) == list(range(9))
