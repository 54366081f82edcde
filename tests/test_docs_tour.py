"""The notebook runs from its first cell to its last, beside the demo's lake."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from lakehouse.lake import Lake

TOUR = Path(__file__).parents[1] / "docs" / "tour.ipynb"


# nbclient's own event loop and sockets, on its way out
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_tour_runs(demo: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKE_ROOT", demo.storage.root)
    notebook = nbformat.read(TOUR, as_version=4)
    NotebookClient(notebook, timeout=240, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert {"text/plain", "text/html", "image/png"} <= kinds
    assert not [output for output in outputs if output.output_type == "error"]


def test_it_is_kept_without_outputs() -> None:
    notebook = nbformat.read(TOUR, as_version=4)
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code")
