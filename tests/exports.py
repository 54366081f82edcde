"""Exports of the demo's lake, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from distributed import Client

from lakehouse.export import FORMATS
from lakehouse.export.plan import Request
from lakehouse.export.run import Report, _silent, export
from lakehouse.lake import Lake

VIEW = "laion2b_en"
ROWS = 10  # per shard, so that there are several


def exported(
    lake: Lake,
    client: Client,
    form: str,
    to: Path,
    rows: int = ROWS,
    report: Report = _silent,
    **changes: Any,
) -> dict[str, Any]:
    """Exports a view of the lake and returns the manifest."""
    request = Request(**{"format": form, "view": VIEW, "of": "head", "shard_rows": rows, "seed": 0} | changes)
    assert form in FORMATS
    return export(lake, client, request, str(to), report)
