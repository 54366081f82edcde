"""A reader sees finished batches of the current generation, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakehouse import views
from lakehouse.lake import Lake
from tests import lakes

SCORES = f"scores/{lakes.SIMILARITY}"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return lakes.small(tmp_path)


def similarities(lake: Lake) -> list[float | None]:
    sql = "select round(similarity::double, 2) as s from pairs order by text"
    found: list[float | None] = views.query(lake, sql)["s"].to_pylist()
    return found


def test_a_rebuild_is_seen_when_it_is_complete(lake: Lake) -> None:
    before = similarities(lake)
    lake.ledger.rebuild([SCORES])
    lakes.append(lake, {SCORES: [lakes.score(lakes.candidate("apple"), 0.9)]})
    assert similarities(lake) == before
    lake.ledger.switch()
    assert similarities(lake) == [0.9, None, None]


def test_pins_of_one_scorer_do_not_touch_another(lake: Lake) -> None:
    row = lakes.candidate("apple")
    for value in (0.1, 0.2):
        lakes.append(lake, {"scores/punsafe_b32": [lakes.score(row, value, "punsafe_b32")]})
    pins = lake.pins() | {"scores/punsafe_b32": (2, 2)}
    found = views.query(lake, "select scorer, count(*) as n from scores group by all order by 1", pins=pins)
    assert found.to_pylist() == [{"scorer": "punsafe_b32", "n": 1}, {"scorer": lakes.SIMILARITY, "n": 3}]


def test_batches_and_counts_are_those_of_the_pins(lake: Lake) -> None:
    pins = {"candidates": (1, 1)}
    sql = "select key, batch, unit, name, n from counts order by name desc"
    assert views.query(lake, sql, pins=pins).to_pylist() == [
        {"key": "candidates", "batch": 1, "unit": lakes.UNIT, "name": "in", "n": 4},
        {"key": "candidates", "batch": 1, "unit": lakes.UNIT, "name": "drop:no_alt", "n": 2},
    ]
    (batch,) = views.query(lake, "select key, units, rows, files from batches", pins=pins).to_pylist()
    assert batch == {"key": "candidates", "units": [lakes.UNIT], "rows": 2, "files": 1}


def test_no_pins_are_not_the_pins_of_head(lake: Lake) -> None:
    assert len(views.query(lake, "from candidates", pins={})) == 0
