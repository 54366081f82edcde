"""What a commit does in each format: all at once, once, with lineage, and each version stays readable."""

from __future__ import annotations

from pathlib import Path

import pytest
from things import FORMATS, append, ids, spec, things

from lakehouse.errors import StorageError, UsageError
from lakehouse.storage import Storage
from lakehouse.tables import Range, Table, open_table


@pytest.fixture(params=FORMATS)
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Table:
    return open_table(Storage(str(tmp_path)), spec(request.param))


def test_a_table_never_written_is_empty(table: Table) -> None:
    assert table.version() is None
    assert table.history() == []
    assert table.dataset() is None
    assert table.delete("batch = 1") == 0
    assert len(table.arrow([Range(1, 9)])) == 0
    assert table.arrow([Range(1, 9)]).schema.equals(table.spec.schema)


def test_files_are_invisible_until_the_commit(table: Table) -> None:
    append(table, things(range(3), 1))
    files = table.writer().write(things(range(3, 5), 2))
    assert ids(table) == [0, 1, 2]
    table.commit(files, {})
    assert ids(table) == [0, 1, 2, 3, 4]


def test_files_of_the_first_batch_are_invisible_until_the_commit(table: Table) -> None:
    files = table.writer().write(things(range(3), 1))
    assert table.version() is None
    assert ids(table) == []
    table.commit(files, {})
    assert ids(table) == [0, 1, 2]


def test_a_file_is_what_its_record_says(table: Table, tmp_path: Path) -> None:
    import hashlib

    (file,) = append(table, things(range(100), 1))
    data = (tmp_path / file.path).read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest(), file.rows) == (file.bytes, file.sha256, 100)


def test_no_row_makes_no_file_and_an_empty_commit_is_a_version(table: Table) -> None:
    assert table.writer().write(things([], 1)) == []
    version = table.commit([], {"batch": 1})
    assert table.version() == version
    assert ids(table) == []
    append(table, things(range(2), 2))
    assert ids(table) == [0, 1]


def test_history_carries_lineage_newest_first(table: Table) -> None:
    append(table, things(range(2), 1), batch=1, works=["crawl/a.wat.gz"])
    append(table, things(range(2), 2), batch=2, works=["crawl/b.wat.gz", "crawl/ü'\".wat.gz"])
    first, second = table.history()[:2]
    assert first.lineage == {"batch": 2, "works": ["crawl/b.wat.gz", "crawl/ü'\".wat.gz"]}
    assert second.lineage == {"batch": 1, "works": ["crawl/a.wat.gz"]}
    assert first.version == table.version() == second.version + 1
    assert first.timestamp >= second.timestamp


def test_each_version_stays_readable_the_first_included(table: Table) -> None:
    def rows(version: int | None) -> int:
        dataset = table.dataset(version)
        return int(dataset.count_rows())

    one = table.commit(table.writer().write(things(range(2), 1)), {})
    two = table.commit(table.writer().write(things(range(3), 2)), {})
    table.delete("batch = 1")
    first = min(v.version for v in table.history())
    assert [rows(first), rows(one), rows(two), rows(None)] == [0, 2, 5, 3]


@pytest.mark.parametrize("version", [99, 10_000_000])
def test_a_version_that_does_not_exist_is_a_usage_error(table: Table, version: int) -> None:
    append(table, things(range(2), 1))
    with pytest.raises(UsageError, match=f"table things has no version {version}.*lake history things"):
        table.dataset(version)


def test_the_same_commit_replayed_doubles_nothing(table: Table) -> None:
    files = append(table, things(range(4), 1), things(range(4, 8), 1))
    table.commit(files, {})
    table.commit(files[:1], {})
    assert ids(table) == list(range(8))


def test_files_that_lance_appended_twice_are_noticed(tmp_path: Path) -> None:
    """The state that a lost reply leaves: Lance appends again and says nothing."""
    import lance
    from lance.fragment import FragmentMetadata

    table = open_table(Storage(str(tmp_path)), spec("lance"))
    (file,) = append(table, things(range(4), 1))
    again = lance.LanceOperation.Append([FragmentMetadata.from_json(file.native)])
    lance.LanceDataset.commit(str(tmp_path / "things"), again, read_version=table.version())
    assert len(ids(table)) == 8, "pylance repeats an append: see reference/engines.md"
    with pytest.raises(StorageError, match="stored twice"):
        table.commit([file], {})
    table.delete("batch = 1")
    assert ids(table) == []
