"""The script of `lake views --sql` in the real DuckDB shell: at head, at a release, and of a pushed copy."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
from distributed import Client

from lakehouse import open_lake, releases, views
from lakehouse.lake import Lake
from lakehouse.push import push
from tests import lakes

FETCHED = "install delta;\nload delta;\n"  # in a script: from the network
SHELL = shutil.which("duckdb", path=str(Path(sys.executable).parent)) or shutil.which("duckdb")
VERSION = (
    subprocess.run([SHELL, "--version"], capture_output=True, text=True, check=True).stdout if SHELL else ""
)

pytestmark = pytest.mark.skipif(
    not VERSION.startswith(f"v{duckdb.__version__} "),
    reason=f"needs the DuckDB shell {duckdb.__version__}: the packaged extension loads in no other",
)


def shell(script: str, sql: str) -> list[dict[str, Any]]:
    """What the shell answers to `sql` after the script, with the packaged extension."""
    assert SHELL is not None
    script = script.replace(FETCHED, f"load '{views._extension()}';\n")
    done = subprocess.run(
        [SHELL, "-json", "-bail"], input=f"{script}\n{sql};\n", capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    return found


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    made = lakes.small(tmp_path_factory.mktemp("shell") / "it's a lake")
    releases.create(made, "v1")
    lakes.append(made, {"candidates": [lakes.candidate("later")]})
    return made


SQL = "select text, status, round(similarity::double, 2) as similarity from pairs order by text"


def test_head_and_release_read_as_in_lake_sql(lake: Lake) -> None:
    seen = open_lake(lake.storage.root, release="v1")
    for there, rows in ((lake, 4), (seen, 3)):
        script = views.script(there)
        assert script.count(FETCHED) == 1
        found = shell(script, SQL)
        assert found == views.query(there, SQL).to_pylist()
        assert len(found) == rows


def test_every_view_opens(lake: Lake) -> None:
    names = views.names(lake)
    counts = " union all ".join(f"select '{name}' as name, count(*) as n from \"{name}\"" for name in names)
    found = {row["name"]: row["n"] for row in shell(views.script(lake), counts)}
    assert found == {row["name"]: row["n"] for row in views.query(lake, counts).to_pylist()}


def test_a_pushed_copy_needs_no_extension(lake: Lake, client: Client, tmp_path: Path) -> None:
    push(lake, "v1", str(tmp_path / "copy"), client)
    there = open_lake(str(tmp_path / "copy"))
    script = views.script(there)
    assert "load delta" not in script
    assert "httpfs" not in script
    assert shell(script, SQL) == views.query(there, SQL).to_pylist()
