"""Pairlake's public surface: open a lake, and the errors it raises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lakehouse.errors import (
    ConflictError,
    DamagedError,
    LakeError,
    NoLakeError,
    RulesChangedError,
    StorageError,
    UsageError,
)

if TYPE_CHECKING:
    from lakehouse.lake import Lake, open_lake

__all__ = [
    "ConflictError",
    "DamagedError",
    "Lake",
    "LakeError",
    "NoLakeError",
    "RulesChangedError",
    "StorageError",
    "UsageError",
    "open_lake",
]


def __getattr__(name: str) -> Any:
    """Imports the lake when it is first asked for: Dask and Arrow take seconds."""
    if name in ("Lake", "open_lake"):
        from lakehouse import lake

        return getattr(lake, name)
    raise AttributeError(f"module 'lakehouse' has no attribute {name!r}")
