"""The Delta extension and pyarrow datasets give the same rows of every relation, at head and at versions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from lakehouse import views
from lakehouse.lake import Lake, init
from tests import lakes


@pytest.fixture(
    scope="module",
    params=[
        *[pytest.param(name, marks=pytest.mark.slow) for name in ("plain", "läke #1 (copy)")],
        "it's a lake",
    ],
)
def lake(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake in a folder whose name must be quoted."""
    return lakes.small(tmp_path_factory.mktemp("access") / request.param)


def everything(lake: Lake, access: views.Access, versions: Mapping[str, int]) -> dict[str, pa.Table]:
    with views.connect(lake, versions=versions, access=access) as connection:
        return {
            name: connection.sql(f'from "{name}" order by all').to_arrow_table() for name in views.names(lake)
        }


@pytest.mark.parametrize(
    "versions", [pytest.param({}, marks=pytest.mark.slow), {"candidates": 1, "scores": 0}], ids=str
)
def test_both_paths_give_the_same(lake: Lake, versions: Mapping[str, int]) -> None:
    extension, arrow = (everything(lake, access, versions) for access in ("extension", "arrow"))
    assert extension.keys() == arrow.keys()
    for name, rows in extension.items():
        assert rows.schema == arrow[name].schema, name
        assert rows.to_pylist() == arrow[name].to_pylist(), name


@pytest.mark.parametrize("access", ["extension", "arrow"])
def test_lists_and_times_keep_their_values(tmp_path: Path, access: views.Access) -> None:
    lake = init(str(tmp_path))
    rows = [lakes.candidate(name) for name in ("none", "empty", "two")]
    seen = [None, [], ["noai", "noindex"]]
    attempts = [
        lakes.download(row, opt_out=signals, attempt=number)
        for number, (row, signals) in enumerate(zip(rows, seen, strict=True))
    ]
    lakes.append(lake, {"downloads": attempts})
    with views.connect(lake, access=access) as connection:
        sql = "select opt_out, fetched_at::varchar as at from downloads order by attempt"
        found = connection.sql(sql).to_arrow_table().to_pylist()
    assert [row["opt_out"] for row in found] == seen
    assert {row["at"] for row in found} == {"2026-11-01 00:00:00+00"}
