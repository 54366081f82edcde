"""`transforms` stands alone: a GPU worker needs neither the lake nor its engines."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "transforms").rglob("*.py"))
ENGINES = ("lakehouse", "deltalake", "lance", "duckdb")

IMPORT_ALL = """
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1:]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import transforms
for module in pkgutil.walk_packages(transforms.__path__, "transforms."):
    importlib.import_module(module.name)
    print(module.name)
"""


def test_every_module_imports_without_the_engines() -> None:
    found = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *ENGINES], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    packages = {path.relative_to(ROOT).with_suffix("") for path in FILES if path.name != "__init__.py"}
    assert {".".join(path.parts) for path in packages} <= set(found.stdout.split())


def test_the_block_blocks() -> None:
    """What the test above relies on: a blocked module cannot be imported."""
    code = IMPORT_ALL.replace("import transforms\n", "import transforms.columns, duckdb\n")
    found = subprocess.run(
        [sys.executable, "-c", code, *ENGINES], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "No module named 'duckdb'" in found.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_imports_the_lake_or_its_engines(path: Path) -> None:
    """Not in a function either, where an import is seen only once it is called."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            if called in ("import_module", "__import__"):
                names |= {str(ast.literal_eval(argument)).partition(".")[0] for argument in node.args[:1]}
    assert not names & set(ENGINES)
