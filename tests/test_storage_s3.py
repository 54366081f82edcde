"""The same on an object store (moto's S3 on loopback): files, both formats, claims, a whole stage."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
import synthetic
from distributed import Client
from drivers import claim, finish
from s3 import KEYS, new_folder, s3
from things import FORMATS, append, frames, ids, spec, things

from lakehouse.errors import ConflictError, NoLakeError, StorageError
from lakehouse.fingerprints import fingerprint
from lakehouse.lake import open_lake
from lakehouse.ledger import Ledger
from lakehouse.storage import Storage
from lakehouse.tables import Range, open_table


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an S3 server."""
    with s3() as address:
        yield address


@pytest.fixture
def storage(server: str, request: pytest.FixtureRequest) -> Storage:
    """A folder of a new bucket."""
    return new_folder(server, request.node.nodeid)


def test_files(storage: Storage) -> None:
    assert not storage.exists("a/b.bin")
    data = bytes(range(256)) * 1000
    storage.write("a/b.bin", data)
    assert storage.exists("a/b.bin")
    assert storage.read("a/b.bin") == data
    assert storage.sha256("a/b.bin") == hashlib.sha256(data).hexdigest()
    with pytest.raises(StorageError, match=r"a/c\.bin"):
        storage.read("a/c.bin")


@pytest.mark.parametrize("form", FORMATS)
def test_tables(storage: Storage, form: str) -> None:
    table = open_table(storage, spec(form))  # type: ignore[arg-type]
    assert table.version() is None
    one, two = things(range(10), 1), things(range(10, 30), 2)
    (file,) = append(table, one, batch=1)
    assert storage.sha256(file.path) == file.sha256
    assert fingerprint(table.arrow([Range(1, 1)])) == fingerprint(one)
    hidden = table.writer().write(two)
    assert ids(table) == list(range(10))
    table.commit(hidden, {"batch": 2})
    assert fingerprint(table.arrow([Range(1, 2)])) == fingerprint(one) + fingerprint(two)
    parts = frames(table, [Range(2, 2)], columns=["id"], rows=7)
    assert sorted(i for part in parts for i in part["id"]) == list(range(10, 30))
    assert [v.lineage.get("batch") for v in table.history()][:2] == [2, 1]
    first = min(v.version for v in table.history())
    assert table.dataset(first).count_rows() == 0
    assert table.delete("batch = 1") == 10
    table.compact()
    assert fingerprint(table.arrow([Range(1, 2)])) == fingerprint(two)


def test_claims_conflict_as_on_a_disk(storage: Storage) -> None:
    ledger, other = Ledger(storage), Ledger(storage)
    assert ledger.pins() == {}
    ledger.create()
    held = claim(ledger, "work")
    with pytest.raises(ConflictError, match="batch 1 is claimed by"):
        claim(other, "work")
    finish(ledger, held)
    assert other.pins() == {"things": (1, 1)}
    with pytest.raises(ConflictError, match="ended"):
        other.renew(held)
    second = claim(other, "more")
    other.abandon(second)
    assert claim(ledger, "more").attempt == 2


def test_a_stale_handle_cannot_claim(storage: Storage) -> None:
    """The race itself: both have read the ledger, both commit; the store lets one of them through."""
    ledger, other = Ledger(storage), Ledger(storage)
    ledger.create()
    states = []

    def racing(state: object) -> list[dict[str, object]]:
        states.append(state)
        if len(states) == 1:
            claim(other, "theirs")
        return [{"key": "things", "batch": 1, "event": "claim", "owner": "x:1:1", "attempt": 1}]

    ledger._append(racing, ["things"])  # type: ignore[arg-type]
    assert len(states) == 2, "the first commit was refused, and the new state was asked"
    assert [e["owner"] == "x:1:1" for e in sorted(ledger.events(), key=lambda e: e["at"])] == [False, True]


def test_a_whole_stage(storage: Storage, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as environment:
        for name, value in storage.options.items():
            environment.setenv(f"LAKE_STORAGE_{name.upper()}", value)
        with pytest.raises(NoLakeError):
            open_lake(storage.root)
        lake = synthetic.new(storage.root)
    assert synthetic.fill(lake, client) == synthetic.UNITS
    assert synthetic.content(lake) == synthetic.expected()
    synthetic.assert_ledger_agrees(lake)


def test_a_store_that_does_not_answer() -> None:
    quick = {
        "max_retries": "1",
        "retry_timeout": "2s",
        "client_max_retries": "1",
        "client_retry_timeout": "2",
    }
    closed = {"aws_endpoint_url": "http://127.0.0.1:9", "allow_http": "true"}
    nobody = Storage("s3://bucket/lake", {**KEYS, **closed, **quick})
    asked = [lambda: nobody.read("lake.toml"), lambda: Ledger(nobody).pins()]
    asked += [lambda form=form: open_table(nobody, spec(form)).version() for form in FORMATS]
    for ask in asked:
        with pytest.raises(StorageError, match=r"^s3://bucket/lake/") as caught:
            ask()
        assert "\n" not in str(caught.value)
