"""A wheel carries all that it needs: in an empty environment it runs the demo."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built as a package index would get it."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(["uv", "build", "--wheel", "-q", "-o", str(folder), str(ROOT)], check=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_carries_sql_models_and_pictures(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    sql = {f"lakehouse/sql/{path.relative_to(ROOT / 'sql')}" for path in (ROOT / "sql").rglob("*.sql")}
    data = {
        str(path.relative_to(ROOT))
        for folder in ("lakehouse/demo/model", "lakehouse/demo/web", "transforms/scores/weights")
        for path in (ROOT / folder).iterdir()
        if path.is_file()
    }
    page = {str(path.relative_to(ROOT)) for path in (ROOT / "lakehouse/server/page").rglob("*.*")}
    assert len(sql) > 10
    assert len(data) > 5
    assert len(page) > 10
    assert sql | data | page <= inside


@pytest.mark.slow
def test_the_demo_runs_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    subprocess.run(["uv", "venv", "-q", "--python", sys.executable, str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run(["uv", "pip", "install", "-q", "--python", str(python), str(wheel)], check=True)
    lake = python.with_name("lake")
    first = subprocess.run([lake, "demo"], cwd=tmp_path, capture_output=True, text=True, check=True)
    again = subprocess.run([lake, "demo"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "laion2b_en" in first.stdout
    assert "everything is fresh" in again.stderr
    assert again.stdout == first.stdout
