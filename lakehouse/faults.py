"""Named points at which a test can kill the process, and accesses to the store that it can let fail.

Set ``LAKE_CRASH_AT=downloads:committed`` (or ``…:committed:3`` for the third time) and the process
that reaches the point is killed with SIGKILL, as a power cut or the kernel's out-of-memory killer
would. ``LAKE_FAULT=KIND:N`` is about the Nth access to the store of this process: ``kill`` kills it
there, ``error`` lets that access fail, ``errors`` that one and all that follow, and ``late`` lets it be
done and then fail, as when a reply is lost. Without the variables both cost one look at the environment.
"""

from __future__ import annotations

import errno
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLE = "LAKE_CRASH_AT"
FAULT = "LAKE_FAULT"

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


@contextmanager
def access(what: str) -> Iterator[None]:
    """Around an access to the store: dies or raises OSError, before or after, if the environment asks."""
    wanted = os.environ.get(FAULT)
    if not wanted:
        yield
        return
    kind, _, number = wanted.partition(":")
    _passed[FAULT] += 1
    here = _passed[FAULT] == int(number)
    if here and kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if (here and kind == "error") or (kind == "errors" and _passed[FAULT] >= int(number)):
        raise OSError(errno.EIO, "asked for by a test", what)
    yield
    if here and kind == "late":
        raise OSError(errno.EIO, "asked for by a test", what)
