"""Scorers that are somebody's own Python function: a frame in, a value for each row out."""

from __future__ import annotations

import hashlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from transforms.files import READS, open_file


class ScorerError(Exception):
    """What is wrong with a scorer's function or weights, in one line."""


@dataclass(frozen=True)
class Call:
    """A function that scores, by name.

    `target`: "module:function". The module is a file MODULE.py in `folder`, else one that can be imported.
    `weights`: a file that the function is given as second argument, as a path or URL; of this `sha256`.
    """

    target: str
    folder: str | None = None
    weights: str | None = None
    sha256: str | None = None

    def identity(self) -> dict[str, str]:
        """What decides about the values: the module's source, and the weights. Raises ScorerError."""
        source = _path(self).read_bytes()
        told = {"callable": self.target, "source_sha256": hashlib.sha256(source).hexdigest()}
        return told | ({"weights_sha256": self.sha256} if self.sha256 else {})

    def values(self, frame: pd.DataFrame) -> npt.NDArray[np.float32]:
        """The function's values of the rows of `frame`: float32 [n], NaN where it gave None or NaN.

        Raises ScorerError where the function cannot be had, fails, or gives another number of values.
        """
        function = _function(self)
        more = [_weights(self)] if self.weights else []
        with _told(self):
            raw = function(frame, *more)
            values = pd.array(pd.Series(raw), "Float64").to_numpy(np.float64, na_value=np.nan)
        if len(values) != len(frame):
            raise ScorerError(f"{self.target} gave {len(values)} values for {len(frame)} rows")
        found: npt.NDArray[np.float32] = values.astype(np.float32)
        return found


class _told(AbstractContextManager[None]):  # noqa: N801  a context manager, named as one
    """Whatever somebody's code raises becomes a ScorerError that says where, in one line."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, Exception):
            return
        where, name = "", self._call.target.partition(":")[0].rpartition(".")[2]
        while trace is not None:
            if Path(trace.tb_frame.f_code.co_filename).stem == name:
                where = f", line {trace.tb_lineno}"
            trace = trace.tb_next
        reason = " ".join(str(error).split())
        raise ScorerError(f"{self._call.target}{where}: {type(error).__name__}: {reason}") from None


def _path(call: Call) -> Path:
    module = call.target.partition(":")[0]
    if call.folder is not None and (own := Path(call.folder, f"{module}.py")).is_file():
        return own
    with _told(call):
        found = importlib.util.find_spec(module)
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        beside = "" if call.folder is None else f"{call.folder}/{module}.py is not there, and "
        raise ScorerError(f"{call.target}: {beside}no module {module!r} can be imported")
    return Path(found.origin)


@cache
def _function(call: Call) -> Callable[..., Any]:
    _, _, name = call.target.partition(":")
    function = getattr(_module(call, _path(call)), name, None)
    if not callable(function):
        raise ScorerError(f"{call.target}: the module has no function {name!r}")
    return function  # type: ignore[no-any-return]


def _module(call: Call, path: Path) -> ModuleType:
    module = call.target.partition(":")[0]
    with _told(call):
        if call.folder is None or path != Path(call.folder, f"{module}.py"):
            return pkgutil.resolve_name(module)  # type: ignore[no-any-return]
        spec = importlib.util.spec_from_file_location(module, path)
        assert spec is not None
        assert spec.loader is not None
        made = importlib.util.module_from_spec(spec)
        sys.modules[module] = made  # where dataclasses and pickle look for it
        spec.loader.exec_module(made)
        return made


@cache
def _weights(call: Call) -> Path:
    """The weights as a local file of the right sha256; what is elsewhere is kept in the user's cache."""
    assert call.weights is not None
    local = Path(call.weights)
    if "://" in call.weights:
        local = Path.home() / ".cache" / "pairlake" / f"{call.sha256}-{local.name}"
        if not local.is_file():
            local.parent.mkdir(parents=True, exist_ok=True)
            _fetch(call.weights, local)
    try:
        with local.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ScorerError(f"{call.target}: the weights {local} cannot be read: {error.strerror}") from error
    if found != call.sha256:
        raise ScorerError(f"{call.target}: the weights {local} have the sha256 {found}, not {call.sha256}")
    return local


def _fetch(url: str, to: Path) -> None:
    part = to.with_name(f"{to.name}.{id(to)}.part")
    try:
        with open_file(url, READS) as source, part.open("wb") as file:
            while piece := source.read(1 << 20):
                file.write(piece)
        part.replace(to)
    except OSError as error:
        raise ScorerError(f"the weights {url} cannot be fetched: {error}") from error
    finally:
        part.unlink(missing_ok=True)
