"""What one attempt found out, and the rows that a partition of attempts becomes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Self
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pyarrow as pa

from transforms import columns
from transforms.downloads.container import picture_format
from transforms.downloads.credentials import training_signals
from transforms.downloads.image import picture
from transforms.downloads.policy import refuse_opt_outs
from transforms.downloads.refused import Refused
from transforms.downloads.rules import DownloadRules
from transforms.downloads.status import DownloadError, DownloadStatus

FETCHED = pa.schema([*columns.DOWNLOADS, columns.IMAGE])
"""The columns of the downloads table and the picture itself."""

ROWS = pa.schema([field.with_nullable(True) for field in FETCHED])
"""The same as they are while rows are made and kept."""

GIVEN = ["url", "url_id", "unit", "attempt"]
"""What a URL's row is told."""

_File = bytes  # the class below has a field of that name

HEADER_CHARS = 200
"""How much of a header's value is stored (ours: registered media types are under 100 characters)."""


@dataclass(slots=True)
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

    @classmethod
    def from_record(cls, values: Sequence[Any]) -> Self:
        """The outcome whose `record` is `values`."""
        status, *rest = values
        return cls(DownloadStatus(status), *rest)

    def record(self) -> list[Any]:
        """Its values in the order of its fields, of types that every store of records has."""
        return [getattr(self, name) for name in _NAMES]

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

    def examine(self, url: str, body: _File, rules: DownloadRules, refused: Refused) -> None:
        """Hash, check, decode and resize what came for `url`. Raises DownloadError if it gives no picture.

        Of a file that `refused` has nothing is kept that would tell it: no hash, no size.
        """
        sha256 = hashlib.sha256(body).hexdigest()
        md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
        refused.file(body, sha256, md5)
        try:
            refused.unexpected(url, body, sha256, md5)
            if len(body) < rules.min_bytes:
                raise DownloadError(DownloadStatus.TOO_SMALL, f"fewer than {rules.min_bytes} bytes")
            signals = training_signals(body, picture_format(body))
            self.note(signals)
            refuse_opt_outs(signals, rules)
            found = picture(body, rules)
            refused.picture(found.phash)
        except DownloadError as failure:
            if failure.status != DownloadStatus.LISTED:
                self.bytes, self.sha256, self.md5 = len(body), sha256, md5
            raise
        self.bytes, self.sha256, self.md5 = len(body), sha256, md5
        self.width, self.height = found.width, found.height
        self.phash, self.image = found.phash, found.data


_NAMES = [each.name for each in fields(Outcome)]
RECORD = len(_NAMES)
"""The length of an outcome's `record`."""


def rows(frame: pd.DataFrame, outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """One row of `counted(FETCHED)` per row of `frame` (the columns `GIVEN`), and each unit's counts."""
    return with_counts(fetched(pa.Table.from_pandas(frame[GIVEN], preserve_index=False), outcomes))


def fetched(given: pa.Table, outcomes: Sequence[Outcome]) -> pa.Table:
    """One row of `ROWS` per row of `given` (url, url_id, unit, attempt)."""
    hosts = pa.array([_host(url) for url in given["url"].to_pylist()], pa.string())
    arrays = []
    for column in FETCHED:
        if column.name in GIVEN:
            arrays.append(given[column.name].cast(column.type))
        elif column.name == "host":
            arrays.append(hosts)
        elif column.name == "image":
            arrays.append(_binary([outcome.image for outcome in outcomes]))
        else:
            arrays.append(pa.array([getattr(outcome, column.name) for outcome in outcomes], column.type))
    return pa.table(arrays, schema=ROWS)


def _binary(values: Sequence[_File | None]) -> pa.LargeBinaryArray:
    """`values` in memory of just their size: pa.array moves its own to twice as much each time it is full."""
    sizes = [len(value or b"") for value in values]
    offsets = np.cumsum([0, *sizes], dtype=np.int64)
    valid = pa.array([value is not None for value in values], pa.bool_()).buffers()[1]
    data = pa.py_buffer(b"".join(value or b"" for value in values))
    return pa.Array.from_buffers(columns.IMAGE.type, len(values), [valid, pa.py_buffer(offsets), data])


def with_counts(made: pa.Table) -> pd.DataFrame:
    """`made` (`ROWS`) as a frame of `counted(FETCHED)`, followed by the counts of each unit.

    These are ``in``; ``note:STATUS`` for each status met; ``note:bytes``, of the files received.
    """
    counts: dict[str, Counter[str]] = {}
    for unit, status, size in zip(
        *(made[name].to_pylist() for name in ("unit", "status", "bytes")), strict=True
    ):
        counter = counts.setdefault(unit, Counter())
        counter["in"] += 1
        counter[f"note:{status}"] += 1
        counter["note:bytes"] += size or 0
    tables = [columns.with_counts(made, "", {})]
    tables += [columns.count_rows(FETCHED, unit, counter) for unit, counter in counts.items()]
    return columns.to_pandas(pa.concat_tables(tables))


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:  # such as an unclosed bracket
        return None
