"""Pairlake's public surface: open a lake, and the errors it raises."""

from __future__ import annotations

from lakehouse.errors import (
    ConflictError,
    DamagedError,
    LakeError,
    NoLakeError,
    RulesChangedError,
    StorageError,
    UsageError,
)
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
