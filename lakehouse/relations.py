"""What the files of sql/ stand on, as SQL text: the tables as a reader sees them, and the settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from lakehouse.events import Pins
from lakehouse.schema import TableSpec
from lakehouse.sqlfiles import identifier, literal
from lakehouse.tables import Range
from lakehouse.tables.base import predicate

_TYPES = {
    pa.int64(): "bigint",
    pa.int32(): "integer",
    pa.string(): "varchar",
    pa.float32(): "real",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    pa.timestamp("us", tz="UTC"): "timestamp with time zone",
}


def sql_type(dtype: pa.DataType) -> str:
    """DuckDB's name of an Arrow type that tables for SQL have."""
    if pa.types.is_list(dtype):
        return f"{sql_type(dtype.value_type)}[]"
    if pa.types.is_struct(dtype):
        return f"struct({', '.join(f'{identifier(f.name)} {sql_type(f.type)}' for f in dtype)})"
    return _TYPES[dtype]


def table(spec: TableSpec, source: str, ranges: Sequence[Range] | None) -> str:
    """The rows of `source` that lie in `ranges`; all rows where that is None."""
    names = ", ".join(identifier(name) for name in spec.schema.names)
    where = "" if ranges is None else f"\nwhere {predicate(ranges, spec.partition_by)}"
    return f"select {names}\nfrom {source}{where}"


def empty(schema: pa.Schema) -> str:
    """A relation with the columns of `schema` and no rows: a table that does not exist yet."""
    columns = ",\n    ".join(f"null::{sql_type(f.type)} as {identifier(f.name)}" for f in schema)
    return f"select\n    {columns}\nwhere false"


def ranges_of(name: str, pins: Pins) -> list[Range]:
    """What `pins` let a reader see of the table `name`, whose partitions may have pins of their own."""
    keys = {key: key.partition("/") for key in pins}
    return [
        Range(*pins[key], part or None) for key, (table, _, part) in sorted(keys.items()) if table == name
    ]


def pinned(pins: Pins) -> str:
    """Relation pins: key, low, high."""
    rows = [(literal(key), str(low), str(high)) for key, (low, high) in sorted(pins.items())]
    return _values({"key": "varchar", "low": "bigint", "high": "bigint"}, rows)


#: roles within a role: LAION has subsets by the one and by the other, so each has an active scorer
VARIANTS = ("aesthetic_v1", "aesthetic_v2")


def scorers(chosen: Iterable[tuple[str, str]]) -> str:
    """Relation scorers: role, scorer, active. Of each role the first in `chosen` (role, name) is active.

    A scorer of one of VARIANTS has that role too.
    """
    rows, seen = [], set()
    for role, name in chosen:
        for each in (role, *[variant for variant in VARIANTS if name.startswith(f"{variant}_")]):
            rows.append((literal(each), literal(name), "false" if each in seen else "true"))
            seen.add(each)
    return _values({"role": "varchar", "scorer": "varchar", "active": "boolean"}, rows)


def duplicate_methods(chosen: Sequence[str]) -> str:
    """Relation duplicate_methods: method, active. The first of `chosen` is active."""
    rows = [(literal(name), "false" if place else "true") for place, name in enumerate(chosen)]
    return _values({"method": "varchar", "active": "boolean"}, rows)


def thresholds(values: Mapping[str, float]) -> str:
    """Relations own_thresholds and asked_thresholds: rule, value."""
    rows = [(literal(rule), repr(float(value))) for rule, value in sorted(values.items())]
    return _values({"rule": "varchar", "value": "real"}, rows)


def _values(columns: Mapping[str, str], rows: Sequence[Sequence[str]]) -> str:
    typed = ", ".join(f"{name}::{dtype} as {name}" for name, dtype in columns.items())
    if not rows:
        return (
            f"select {', '.join(f'null::{dtype} as {name}' for name, dtype in columns.items())} where false"
        )
    lines = ",\n    ".join(f"({', '.join(row)})" for row in rows)
    return f"select {typed}\nfrom (values\n    {lines}\n) as given ({', '.join(columns)})"
