"""`lake views --sql`: a script that makes the same views in a DuckDB shell."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import duckdb
import pytest

from lakehouse import releases, views
from lakehouse.lake import Lake, init
from tests import lakes


def run(script: str, connection: duckdb.DuckDBPyConnection) -> None:
    """Runs the script with the packaged extension in the place of the one that it would fetch."""
    package = find_spec("duckdb_extension_delta")
    assert package is not None
    assert package.submodule_search_locations
    (file,) = Path(package.submodule_search_locations[0]).rglob("delta.duckdb_extension")
    assert script.count("install delta;\nload delta;\n") == 1
    connection.execute(script.replace("install delta;\nload delta;\n", f"load '{file}';\n"))


def compare(lake: Lake, connection: duckdb.DuckDBPyConnection) -> None:
    with views.connect(lake) as ours:
        for name in views.names(lake):
            sql = f'from "{name}" order by all'
            rows = connection.sql(sql).to_arrow_table().to_pylist()
            assert rows == ours.sql(sql).to_arrow_table().to_pylist(), name


@pytest.mark.parametrize("folder", [pytest.param("plain", marks=pytest.mark.slow), "it's a lake"])
def test_the_shell_sees_what_lake_sql_sees(tmp_path: Path, folder: str) -> None:
    lake = lakes.small(tmp_path / folder)
    with duckdb.connect(":memory:") as connection:
        run(views.script(lake), connection)
        compare(lake, connection)


def test_a_young_lake_has_a_script_too(tmp_path: Path) -> None:
    with duckdb.connect(":memory:") as connection:
        run(views.script(init(str(tmp_path))), connection)
        assert connection.sql("from pairs").fetchall() == []


def test_a_releases_script_reads_the_release_and_lasts_in_a_file(tmp_path: Path) -> None:
    lake = lakes.small(tmp_path / "lake")
    releases.create(lake, "v1")
    lakes.append(lake, {"candidates": [lakes.candidate("later")]})
    file = tmp_path / "release.duckdb"
    with duckdb.connect(str(file)) as connection:
        run(views.script(lake, "v1"), connection)
        run(views.script(lake, "v1"), connection)  # again does no harm
    with duckdb.connect(":memory:") as loader:
        run(views.script(lake, "v1"), loader)
        assert loader.sql("select count(*) from pairs").fetchall() == [(3,)]
        loader.execute(f"attach '{file}' as kept (read_only)")
        assert loader.sql("select count(*) from kept.pairs").fetchall() == [(3,)]
