"""Named points at which a test can kill the process, to prove that nothing is lost there.

Set ``LAKE_CRASH_AT=downloads:committed`` (or ``…:committed:3`` for the third time) and the process
that reaches the point is killed with SIGKILL, as a power cut or the kernel's out-of-memory killer
would. Without the variable a point costs one look at the environment.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

VARIABLE = "LAKE_CRASH_AT"

_passed: Counter[str] = Counter()


def point(name: str) -> None:
    """Dies here if the environment asks for it."""
    wanted = os.environ.get(VARIABLE)
    if not wanted or not wanted.startswith(name):
        return
    _passed[name] += 1
    times = wanted.removeprefix(name).lstrip(":") or "1"
    if times == str(_passed[name]):
        os.kill(os.getpid(), signal.SIGKILL)
