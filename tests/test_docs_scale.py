"""docs/scale.md carries costs to LAION-5B's numbers: its table is what benchmarks/road.py prints."""

from __future__ import annotations

import subprocess
import sys

import pytest
from doc_pages import ROOT

PAGE = (ROOT / "docs" / "scale.md").read_text("utf-8")


@pytest.fixture(scope="module")
def printed() -> list[str]:
    """What the program prints."""
    command = [sys.executable, str(ROOT / "benchmarks" / "road.py")]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_table_is_the_programs(printed: list[str]) -> None:
    assert len(printed) > 10
    assert [line for line in printed if f"\n{line}\n" not in PAGE] == []


def test_its_sums(printed: list[str]) -> None:
    """Core hours and dollars of one line, computed here from the figures that the line names."""
    (line,) = [line for line in printed if "downloads, of the pairs kept" in line]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1:3] == ["5.85 B", "3,670 µs"]
    hours = 5.85e9 * 3_670e-6 / 3600
    assert float(cells[3].replace(",", "")) == pytest.approx(hours, abs=1)
    assert float(cells[7]) == pytest.approx(hours * 0.68 / 16, abs=1)
