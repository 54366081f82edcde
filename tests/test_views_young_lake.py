"""Every relation binds on a lake without tables, and has the types that it has later."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from lakehouse import DamagedError, views
from lakehouse.lake import Lake, init
from tests import lakes

NEVER_EMPTY = {"scorers", "thresholds", "active_thresholds", "research_keywords"}


def relations(lake: Lake, access: views.Access) -> dict[str, pa.Table]:
    with views.connect(lake, access=access) as connection:
        return {name: connection.sql(f'from "{name}"').to_arrow_table() for name in views.names(lake)}


@pytest.mark.parametrize("access", ["extension", "arrow"])
def test_every_relation_is_there_and_empty(tmp_path: Path, access: views.Access) -> None:
    found = relations(init(str(tmp_path)), access)
    assert {name for name, rows in found.items() if len(rows)} == NEVER_EMPTY


@pytest.mark.parametrize("access", ["extension", "arrow"])
def test_types_stay_when_tables_come(tmp_path: Path, access: views.Access) -> None:
    young = relations(init(str(tmp_path / "young")), access)
    grown = relations(lakes.small(tmp_path / "grown"), access)
    assert {n: rows.schema for n, rows in young.items()} == {n: rows.schema for n, rows in grown.items()}


def test_a_table_that_the_ledger_knows_must_be_there(tmp_path: Path) -> None:
    lake = lakes.small(tmp_path)
    (tmp_path / "candidates").rename(tmp_path / "gone")
    with pytest.raises(DamagedError, match="candidates is missing"):
        views.query(lake, "from pairs")
