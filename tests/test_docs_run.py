"""What the documentation marks as ```sh run does run: in the pages' order, beside the demo's lake.

The README's commands are run every time, those of the other pages every night.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import commands
import pytest
from doc_pages import Block, blocks

from lakehouse.lake import Lake

# `uv run` in this environment, without a sync
UV = '#!/bin/sh\n[ "$1" = run ] || exit 64\nshift\nexec "$@"\n'


@pytest.fixture(scope="module")
def folder(demo: Lake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the demo's lake in it, under the name that `lake demo` gives it."""
    made = tmp_path_factory.mktemp("reader")
    shutil.copytree(demo.storage.root, made / "demo-lake")
    (made / "bin").mkdir()
    (made / "bin" / "uv").write_text(UV)
    (made / "bin" / "uv").chmod(0o755)
    return made


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(block, id=str(block), marks=() if block.page.name == "README.md" else pytest.mark.slow)
        for block in blocks("sh run")
    ],
)
def test_it_runs(block: Block, folder: Path) -> None:
    path = f"{folder / 'bin'}:{Path(sys.executable).parent}:/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=folder,
        env=commands.environment(PATH=path),
        capture_output=True,
        text=True,
        timeout=commands.SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert "Traceback" not in done.stderr
