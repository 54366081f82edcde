"""How a benchmark says what it found."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any


def show(result: Mapping[str, Any], as_json: bool) -> None:
    """A line for each figure on stderr; with `as_json` all of them as one object, the last line of stdout."""
    for name, value in result.items():
        print(f"{name}: {value}", file=sys.stderr)
    if as_json:
        print(json.dumps(result))
