"""Vector maths written once for NumPy and CuPy."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy
import numpy.typing


def array_module(array: Any) -> ModuleType:
    """The module whose functions take `array`: CuPy for its arrays, else NumPy."""
    cupy = sys.modules.get("cupy")  # an array of CuPy exists only where CuPy is imported
    return numpy if cupy is None else cupy.get_array_module(array)


def on_device(array: numpy.typing.NDArray[Any], device: str) -> Any:
    """`array` as CuPy's where `device` is "cuda", else as it is."""
    if device != "cuda":
        return array
    import cupy

    return cupy.asarray(array)


def on_host(array: Any) -> numpy.typing.NDArray[Any]:
    """`array` as NumPy's."""
    host: numpy.typing.NDArray[Any] = array if isinstance(array, numpy.ndarray) else array.get()
    return host


def as_float32(array: Any) -> Any:
    """`array` as float32, NumPy or CuPy.

    Of NumPy's float16 by torch, which needs a sixteenth of NumPy's time for it.
    """
    if not isinstance(array, numpy.ndarray) or array.dtype != numpy.float16:
        return array.astype(numpy.float32)
    import torch

    return torch.from_numpy(numpy.require(array, requirements=["C", "W"])).float().numpy()
