"""What one attempt found out, and the rows that a partition of attempts becomes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

import pandas as pd
import pyarrow as pa

from transforms import columns
from transforms.downloads.image import picture
from transforms.downloads.refused import Refused
from transforms.downloads.rules import DownloadRules
from transforms.downloads.status import DownloadError, DownloadStatus

FETCHED = pa.schema([*columns.DOWNLOADS, columns.IMAGE])
"""The columns of the downloads table and the picture itself."""

_File = bytes  # the class below has a field of that name

HEADER_CHARS = 200
"""How much of a header's value is stored (ours: registered media types are under 100 characters)."""


@dataclass
class Outcome:
    """The facts of an attempt, filled in as they are learnt; each is a column of `FETCHED`."""

    status: DownloadStatus = DownloadStatus.SUCCESS
    error: str | None = None
    http_status: int | None = None
    final_url: str | None = None
    content_type: str | None = None
    width: int | None = None
    height: int | None = None
    bytes: int | None = None
    sha256: str | None = None
    md5: str | None = None
    phash: int | None = None
    opt_out: list[str] = field(default_factory=list)
    image: _File | None = None
    fetched_at: datetime | None = None

    def fail(self, error: DownloadError) -> None:
        """Take over why there is no picture."""
        self.status, self.error = error.status, error.error

    def note(self, signals: Sequence[str]) -> None:
        """Add opt-out signals that were seen."""
        self.opt_out = list(dict.fromkeys([*self.opt_out, *signals]))

    def answered(self, http_status: int, content_type: str | None) -> None:
        """Take over what an answer's head says. Header bytes that are no text become U+FFFD."""
        self.http_status = http_status
        if content_type is None:
            self.content_type = None
        else:
            text = content_type.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            self.content_type = text[:HEADER_CHARS]

    def examine(self, body: _File, rules: DownloadRules, refused: Refused) -> None:
        """Hash, check, decode and resize the file `body`. Raises DownloadError if it gives no picture.

        Of a file that `refused` has nothing is kept that would tell it: no hash, no size.
        """
        sha256 = hashlib.sha256(body).hexdigest()
        md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
        refused.file(body, sha256, md5)
        try:
            if len(body) < rules.min_bytes:
                raise DownloadError(DownloadStatus.TOO_SMALL, f"fewer than {rules.min_bytes} bytes")
            found = picture(body, rules)
            refused.picture(found.phash)
        except DownloadError as failure:
            if failure.status != DownloadStatus.LISTED:
                self.bytes, self.sha256, self.md5 = len(body), sha256, md5
            raise
        self.bytes, self.sha256, self.md5 = len(body), sha256, md5
        self.width, self.height = found.width, found.height
        self.phash, self.image = found.phash, found.data


def rows(frame: pd.DataFrame, outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """One row of `counted(FETCHED)` per row of `frame` (url, url_id, unit, attempt), and each unit's counts.

    Counts per unit: ``in``; ``note:STATUS`` for each status met; ``note:bytes``, of the files received.
    """
    given = {name: pa.array(frame[name]) for name in ("url_id", "attempt", "url", "unit")}
    given["host"] = pa.array([_host(url) for url in frame["url"]], pa.string())
    arrays = []
    for column in FETCHED:
        values = given.get(column.name)
        if values is None:
            values = pa.array([getattr(outcome, column.name) for outcome in outcomes], column.type)
        arrays.append(values.cast(column.type))
    full = columns.counted(FETCHED)
    nulls = [pa.nulls(len(frame), pa.string()), pa.nulls(len(frame), pa.int64())]
    tables = [pa.table([*arrays, *nulls], schema=full)]
    for unit, counts in _counts(frame["unit"].tolist(), outcomes).items():
        tables.append(columns.count_rows(FETCHED, unit, counts))
    return columns.to_pandas(pa.concat_tables(tables))


def _counts(units: Sequence[str], outcomes: Sequence[Outcome]) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = {}
    for unit, outcome in zip(units, outcomes, strict=True):
        counter = counts.setdefault(unit, Counter())
        counter["in"] += 1
        counter[f"note:{outcome.status}"] += 1
        counter["note:bytes"] += outcome.bytes or 0
    return counts


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:  # such as an unclosed bracket
        return None
