"""The `lake` command: parse, call the library, print.

Data goes to stdout, progress and notes to stderr. Exit codes: 0 done, 1 failed, 2 wrong use.
The library is imported by each command: Dask, DuckDB and Arrow take seconds, `lake --help` none.
One module per group of commands; help lists them in the order of the imports below.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from lakehouse.cli.base import main

# isort: off
from lakehouse.cli import building, importing, looking, searching, serving
from lakehouse.cli import versions, removing, exporting, papers, care

# isort: on

__all__ = [
    "building",
    "care",
    "entry",
    "exporting",
    "importing",
    "looking",
    "main",
    "papers",
    "removing",
    "searching",
    "serving",
    "versions",
]


def entry() -> None:
    """The console script: `main`, and then the end of the process, without taking the engines apart.

    Seen once, on a busy machine: a command that had printed its answer was aborted while C++ libraries ended
    their threads ("terminate called without an active exception"), and exited with 134.
    """
    code: object = 1
    try:
        main()
    except SystemExit as end:
        code = end.code
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a pipe that the reader has closed
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))
