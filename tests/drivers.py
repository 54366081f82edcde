"""Claims as other drivers make them: in other processes, on "other machines", dead or alive."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lakehouse.fingerprints import Fingerprint
from lakehouse.ledger import Claim, Ledger, Result
from lakehouse.storage import Storage

HOLD = """
import sys
from datetime import timedelta
from lakehouse import ledger
from lakehouse.storage import Storage

root, host, lease, *keys = sys.argv[1:]
if host:
    import socket
    socket.gethostname = lambda: host
ledger.LEASE = timedelta(seconds=float(lease))
ledger.Ledger(Storage(root)).claim(keys, ["work"], "rules", "all", "{}")
print("claimed", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(
    root: str, keys: Sequence[str] = ("things",), host: str = "", lease: float = 600
) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a claim of `keys`, on a machine of the name `host` if one is given."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, root, host, str(lease), *keys],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "claimed\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def new_ledger(root: Path) -> Ledger:
    """The empty ledger of a new lake."""
    ledger = Ledger(Storage(str(root)))
    ledger.create()
    return ledger


def claim(ledger: Ledger, *works: str, keys: Sequence[str] = ("things",)) -> Claim:
    """A claim of the next batch."""
    return ledger.claim(keys, works, "rules", "all", "{}")


def finish(ledger: Ledger, held: Claim, rows: int = 1) -> None:
    """Marks a batch of `rows` rows as done in all tables of the claim."""
    result = Result(rows, 10, {("u", "in"): rows}, [], Fingerprint(1, 2), 1)
    ledger.finish(held, dict.fromkeys(held.keys, result), 1.0, "{}")
