"""Requests for removal: kept as lists that `lake remove --hash-list` reads, until somebody looks at them.

Each is a file of its own in the lake's folder `removal-requests`: a line of comment, and what to remove.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from lakehouse.errors import UsageError
from lakehouse.lake import Lake

FOLDER = "removal-requests"
REASON = 500  # characters
_FILE = re.compile(rf"{FOLDER}/(?P<id>[0-9TZ]+-[0-9a-f]{{8}})\.txt")

Kind = Literal["sample_id", "url_id"]


@dataclass(frozen=True)
class Request:
    """Somebody asks for a pair (`sample_id`) or for a picture with all its captions (`url_id`) to go."""

    id: str
    kind: str
    value: int
    reason: str

    @property
    def command(self) -> str:
        """What carries it out; run in the lake's folder."""
        return f"lake remove --hash-list {FOLDER}/{self.id}.txt"


def ask(lake: Lake, kind: Kind, value: int, reason: str, most: int) -> Request:
    """Keeps the request. Raises UsageError where `most` wait already."""
    lake.storage.check_writable()
    if len(lake.storage.files(FOLDER)) >= most:
        raise UsageError("too many requests wait to be looked at: write to whoever runs this server")
    made = Request(
        f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}",
        kind,
        value,
        " ".join(reason.split())[:REASON],
    )
    text = f"# {made.reason}\n{kind}:{value}\n"
    lake.storage.write(f"{FOLDER}/{made.id}.txt", text.encode())
    return made


def waiting(lake: Lake) -> list[Request]:
    """The requests that are kept, oldest first."""
    found = []
    for path in lake.storage.files(FOLDER):
        match = _FILE.fullmatch(path)
        if match:
            comment, _, line = lake.storage.read(path).decode("utf-8", "replace").partition("\n")
            kind, _, value = line.strip().partition(":")
            found.append(Request(match["id"], kind, int(value), comment.removeprefix("# ")))
    return found
