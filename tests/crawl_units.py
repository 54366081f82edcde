"""Units of candidates for tests, and what came of them."""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from transforms import columns
from transforms.candidates import UNITS, CandidateRules, extract

WAT = Path(__file__).parent / "data" / "wat"
SHARED = Path(__file__).parents[1].parent / "shared" / "data"
RULES = CandidateRules()


def units(*rows: tuple) -> pd.DataFrame:
    """A frame of units from (unit, path, kind, order) or (unit, path, kind, order, start, stop)."""
    full = [(*map(_text, row), *(None,) * (len(UNITS) - len(row))) for row in rows]
    values = zip(*full, strict=True)
    table = pa.table([pa.array(v, f.type) for v, f in zip(values, UNITS, strict=True)], names=UNITS.names)
    return columns.to_pandas(table)


def _text(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def data(frame: pd.DataFrame) -> list[dict]:
    """The data rows of a frame, as dicts."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    return [row for row in table.to_pylist() if row[columns.COUNT] is None]


def counts(frame: pd.DataFrame, unit: str | None = None) -> dict[str, int]:
    """The counts of a frame (of one unit of it), summed by name; checks that they add up."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    rows = [row for row in table.to_pylist() if unit is None or row["unit"] == unit]
    total: dict[str, int] = {}
    for row in rows:
        if row[columns.COUNT] is not None:
            total[row[columns.COUNT]] = total.get(row[columns.COUNT], 0) + row[columns.N]
    out = sum(row[columns.COUNT] is None for row in rows)
    dropped = sum(n for name, n in total.items() if name.startswith("drop:"))
    assert total.get("in", 0) == out + dropped, total
    return total


def drops(frame: pd.DataFrame, unit: str | None = None) -> dict[str, int]:
    """The reasons among `counts`, without their prefix."""
    found = counts(frame, unit)
    return {name.removeprefix("drop:"): n for name, n in found.items() if name.startswith("drop:")}


def extracted(path: Path | str, kind: str, start: int | None = None, stop: int | None = None) -> pd.DataFrame:
    """The candidates of one file, under the default rules."""
    return extract(units(("u", path, kind, 0, start, stop)), RULES)
