"""The ledger's events are read cell by cell: what they say is what pyarrow's own dictionaries say."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import synthetic
from distributed import Client
from drivers import claim, finish, new_ledger

from lakehouse.rows import rows


def test_of_a_real_ledger(tmp_path: Path, client: Client) -> None:
    lake = synthetic.new(tmp_path / "lake")
    synthetic.fill(lake, client)
    for path in Path(lake.ledger.uri).glob("*.parquet"):
        table = pq.read_table(path)
        assert [dict(row) for row in rows(table)] == table.to_pylist()


def test_rows_are_mappings() -> None:
    (first, second) = rows(pa.table({"key": ["a", None], "units": [["x", "y"], None]}))
    assert first == {"key": "a", "units": ["x", "y"]}
    assert {**second, "batch": 1} == {"key": None, "units": None, "batch": 1}
    assert first.get("nothing") is None
    assert list(first) == ["key", "units"]
    assert rows(pa.table({"key": pa.array([], pa.string())})) == []


def test_an_answer_stays_what_it_was_while_the_ledger_goes_on(tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path)
    finish(ledger, claim(ledger, "one"))
    before = ledger.state()
    pins = ledger.pins()
    pins["things"] = (7, 7)
    ledger.done("things").clear()
    assert ledger.pins() == {"things": (1, 1)}, "answers are copies"
    assert len(ledger.done("things")) == 1
    finish(ledger, claim(ledger, "two"))
    assert ledger.pins() == {"things": (1, 2)}
    assert before.pins() == {"things": (1, 1)}
