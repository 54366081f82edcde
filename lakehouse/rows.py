"""Rows of an Arrow table as mappings that hold no cell until it is asked for.

A ledger of 10,000 batches has some 200,000 events, most of whose cells, lists of counts and files above
all, nobody looks at: as dictionaries they take 1 GB and ten seconds, as Arrow 50 MB.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa


class Row(Mapping[str, Any]):
    """One row; equal to the dictionary of its cells."""

    __slots__ = ("_number", "_of")

    def __init__(self, of: _Columns, number: int) -> None:
        self._of, self._number = of, number

    def __getitem__(self, name: str) -> Any:
        return self._of.cell(name, self._number)

    def __iter__(self) -> Iterator[str]:
        return iter(self._of.names)

    def __len__(self) -> int:
        return len(self._of.names)

    def __repr__(self) -> str:
        return repr(dict(self))


class _Columns:
    """The table that rows are of. Plain columns become lists when one of their cells is asked for."""

    def __init__(self, table: pa.Table) -> None:
        self.names = table.column_names
        self._arrays = {name: table[name].combine_chunks() for name in self.names}
        self._lists: dict[str, list[Any]] = {}

    def cell(self, name: str, number: int) -> Any:
        """One cell as Python has it."""
        if (found := self._lists.get(name)) is not None:
            return found[number]
        array = self._arrays[name]
        if pa.types.is_nested(array.type):
            return array[number].as_py()
        self._lists[name] = _listed(array)
        return self._lists[name][number]


def _listed(array: pa.Array) -> list[Any]:
    """The values; texts that are equal are one object."""
    if not pa.types.is_string(array.type):
        return list(array.to_pylist())
    encoded = array.dictionary_encode()
    texts = [*encoded.dictionary.to_pylist(), None]
    return [texts[i] for i in encoded.indices.fill_null(len(texts) - 1).to_pylist()]


def rows(table: pa.Table) -> list[Row]:
    """The rows of `table`, in their order."""
    of = _Columns(table)
    return [Row(of, number) for number in range(len(table))]
