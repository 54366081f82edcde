"""Vector maths written once for NumPy and CuPy."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy


def array_module(array: Any) -> ModuleType:
    """The module whose functions take `array`: CuPy for its arrays, else NumPy."""
    cupy = sys.modules.get("cupy")  # an array of CuPy exists only where CuPy is imported
    return numpy if cupy is None else cupy.get_array_module(array)
