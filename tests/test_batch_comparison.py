"""Two batches are compared by key: content exactly, numbers within a tolerance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lakehouse import schema
from lakehouse.comparison import Compared, Tolerance, compare
from lakehouse.schema import TableSpec
from lakehouse.storage import Storage
from lakehouse.tables import Range, open_table
from tests import lakes

SPEC = schema.FIXED["scores"]
KEY = lakes.SIMILARITY


def stored(root: Path, spec: TableSpec, rows: Sequence[dict[str, Any]], part: str | None = None) -> Storage:
    storage = Storage(str(root))
    table = open_table(storage, spec)
    found = pa.Table.from_pylist([{"unit": "u", "batch": 1, **row} for row in rows], schema=spec.schema)
    table.commit(table.writer(part).write(found), {})
    return storage


def scores(values: dict[int, float | None]) -> list[dict[str, Any]]:
    return [{"sample_id": key, "scorer": KEY, "value": value} for key, value in values.items()]


def both(tmp_path: Path, old: dict[int, float | None], new: dict[int, float | None], **how: Any) -> Compared:
    sides = [stored(tmp_path / n, SPEC, scores(rows), KEY) for n, rows in (("a", old), ("b", new))]
    return compare(*sides, SPEC, Range(1, 1, KEY), Range(1, 1, KEY), **{"content": False, **how})


@pytest.mark.parametrize(
    ("old", "new", "largest", "beyond"),
    [
        ({1: 0.5, 2: None}, {2: None, 1: 0.5}, 0.0, 0),
        ({1: 0.5}, {1: 0.5001}, 0.0001, 0),
        ({1: 0.5}, {1: 0.51}, 0.01, 1),
        ({1: 9.0}, {1: 9.01}, 0.01, 0),  # a thousandth of 9 is allowed beside the absolute part
        ({1: 0.5, 2: 0.1}, {1: None, 2: 0.1}, 0.5, 1),
    ],
)
def test_numbers(
    tmp_path: Path, old: dict[int, float | None], new: dict[int, float | None], largest: float, beyond: int
) -> None:
    found = both(tmp_path, old, new)
    assert found.beyond == beyond
    assert found.largest == pytest.approx(largest, abs=1e-6)
    assert len(found.rows) == beyond


def test_the_tolerance_is_the_callers(tmp_path: Path) -> None:
    assert both(tmp_path, {1: 0.5}, {1: 0.5001}, tolerance=Tolerance(0.0, 0.0)).beyond == 1


def test_rows_on_one_side_alone_are_named(tmp_path: Path) -> None:
    found = both(tmp_path, {1: 0.1, 2: 0.2}, {2: 0.2, -3: 0.3}, content=True)
    assert found.rows == ("sample_id 1: no more", "sample_id -3: new")


def test_ten_rows_are_named_at_most(tmp_path: Path) -> None:
    found = both(tmp_path, dict.fromkeys(range(50), 0.1), dict.fromkeys(range(50), 0.9))
    assert (len(found.rows), found.beyond) == (10, 50)


def test_content_is_compared_exactly_and_named(tmp_path: Path) -> None:
    spec = schema.FIXED["candidates"]
    apple = lakes.candidate("apple", language_probability=0.9)
    sides = [
        stored(tmp_path / name, spec, [row])
        for name, row in (("a", apple), ("b", apple | {"language": "de", "page_url": "https://x.test/"}))
    ]
    found = compare(*sides, spec, Range(1, 1), Range(1, 1), content=True)
    name = f"sample_id {apple['sample_id']}"
    assert found.rows == (
        f"{name}: page_url was None then, 'https://x.test/' now",
        f"{name}: language was 'en' then, 'de' now",
    )
    assert found.beyond == 0


def test_vectors_are_compared_element_by_element(tmp_path: Path) -> None:
    spec = schema.embeddings("m", 4)
    vector = np.array([0.5, 0.5, 0.5, 0.5], "float16")
    near = np.nextafter(vector, np.float16(1))
    far = vector.copy()
    far[3] = 0.6
    rows = [{"sample_id": n, "text_embedding": vector, "image_embedding": vector} for n in (1, 2)]
    other = [rows[0] | {"image_embedding": near}, rows[1] | {"image_embedding": far}]
    sides = [stored(tmp_path / "a", spec, rows), stored(tmp_path / "b", spec, other)]
    found = compare(*sides, spec, Range(1, 1), Range(1, 1), content=True)
    assert found.beyond == 1
    assert found.largest == pytest.approx(0.1, abs=1e-3)
    assert found.rows[0].startswith("sample_id 2: image_embedding was ")
