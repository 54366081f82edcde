"""Deleting and compacting: what is left is exactly what was not deleted, to the bit."""

from __future__ import annotations

from pathlib import Path

import pytest
from things import FORMATS, append, ids, spec, things

from lakehouse.fingerprints import fingerprint
from lakehouse.storage import Storage
from lakehouse.tables import Range, Table, open_table

EVERYTHING = [Range(0, 1 << 40)]


@pytest.fixture(params=FORMATS)
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Table:
    return open_table(Storage(str(tmp_path)), spec(request.param))


def test_delete_by_predicate(table: Table) -> None:
    append(table, things(range(10), 1))
    append(table, things(range(10, 20), 2))
    assert table.delete("batch = 2") == 10
    assert ids(table) == list(range(10))
    assert table.delete("id in (3, 4, 99)") == 2
    assert ids(table) == [0, 1, 2, 5, 6, 7, 8, 9]
    assert table.delete("batch = 2") == 0


def test_a_deleted_batch_can_be_written_again(table: Table) -> None:
    append(table, things(range(5), 1))
    table.delete("batch = 1")
    append(table, things(range(5), 1))
    assert ids(table) == list(range(5))


def test_the_fingerprint_of_what_is_left(table: Table) -> None:
    rows = things(range(50), 1)
    append(table, rows.slice(0, 25), rows.slice(25))
    gone = table.arrow(EVERYTHING).filter(
        [i % 4 == 0 for i in table.arrow(EVERYTHING, ["id"])["id"].to_pylist()]
    )
    table.delete("id % 4 = 0")
    assert fingerprint(table.arrow(EVERYTHING)) == fingerprint(rows) - fingerprint(gone)


def test_compaction_keeps_rows_and_fingerprints(table: Table) -> None:
    for number in range(1, 9):
        append(table, things(range(number * 100, number * 100 + 30), number))
    table.delete("id % 10 = 3")
    before = {n: fingerprint(table.arrow([Range(n, n)])) for n in range(1, 9)}
    version = table.compact()
    assert version == table.version()
    assert {n: fingerprint(table.arrow([Range(n, n)])) for n in range(1, 9)} == before
    assert len(ids(table)) == 8 * 27
    append(table, things(range(3), 9))
    assert len(ids(table)) == 8 * 27 + 3


def test_compaction_merges_files(table: Table) -> None:
    for number in range(1, 9):
        append(table, things(range(3), number))
    table.compact()
    assert table.read(EVERYTHING, ["id"]).npartitions == 1
    assert ids(table) == sorted([0, 1, 2] * 8)


def test_compacting_a_table_without_rows(table: Table) -> None:
    table.compact()
    assert ids(table) == []


def test_the_delta_log_repeats_no_text(tmp_path: Path) -> None:
    """Statistics of a text or URL column would keep removed rows alive in the log, checkpoints included."""
    table = open_table(Storage(str(tmp_path)), spec("delta"))
    for number in range(1, 13):
        append(table, things(range(number * 10, number * 10 + 5), number), works=["u"])
    table.delete("id = 52")
    table.compact()
    table.dataset()
    from deltalake import DeltaTable

    DeltaTable(str(tmp_path / "things")).create_checkpoint()
    logs = [p for p in (tmp_path / "things" / "_delta_log").rglob("*") if p.is_file()]
    assert any(p.suffix == ".parquet" for p in logs)
    for path in logs:
        assert b"secret text" not in _uncompressed(path), path
    assert any(b"numRecords" in p.read_bytes() for p in logs), "statistics of other columns are there"


def _uncompressed(path: Path) -> bytes:
    if path.suffix != ".parquet":
        return path.read_bytes()
    import pyarrow.parquet as pq

    return repr(pq.read_table(path).to_pylist()).encode()
