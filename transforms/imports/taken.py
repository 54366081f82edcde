"""Rows of downloads and images from img2dataset's shards, in the place of fetching."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pyarrow as pa

from transforms.downloads.container import essence, picture_format
from transforms.downloads.image import picture, scaled_size
from transforms.downloads.outcome import GIVEN, Outcome, fetched, with_counts
from transforms.downloads.refused import Refused
from transforms.downloads.rules import DownloadRules
from transforms.downloads.spooled import FRAME_BYTES, FRAME_ROWS
from transforms.downloads.status import DownloadError, DownloadStatus
from transforms.files import READS, Reads, open_file
from transforms.imports import shards

POSITION = "position"

#: What img2dataset's messages stand for (``downloader.py``, ``resizer.py``; urllib's and the system's own)
MESSAGES: Sequence[tuple[str, DownloadStatus]] = (
    (r"HTTP Error \d+", DownloadStatus.HTTP_ERROR),
    (r"X-Robots-Tag", DownloadStatus.OPT_OUT),
    (r"Image decoding error|cannot identify image", DownloadStatus.BAD_IMAGE),
    (r"image too small", DownloadStatus.TOO_NARROW),
    (r"aspect ratio too large", DownloadStatus.TOO_LONG),
    (r"image area too large", DownloadStatus.TOO_MANY_PIXELS),
    (r"Name or service not known|No address associated|name resolution|getaddrinfo", DownloadStatus.DNS),
    (r"CERTIFICATE_VERIFY_FAILED|\[SSL", DownloadStatus.TLS),
    (r"timed out", DownloadStatus.TIMEOUT),
    (r"IncompleteRead", DownloadStatus.TRUNCATED),
    (r"Connection reset|Remote end closed", DownloadStatus.RESET),
    (r"Connection refused|No route to host|Network is unreachable", DownloadStatus.CONNECT),
    (r"unknown url type|no host given", DownloadStatus.BAD_URL),
)
_CODE = re.compile(r"HTTP Error (\d{3})")
_ERROR_CHARS = 200  # of img2dataset's message that are kept


@dataclass(frozen=True)
class Take:
    """What a task does with the URLs of some shards; picklable. `paths`: the shard of each unit."""

    paths: Mapping[str, str]
    rules: DownloadRules
    reads: Reads = READS

    def __call__(self, frame: pd.DataFrame, number: int, given: Refused) -> Iterator[pd.DataFrame]:
        """The rows of the URLs in `frame` (`GIVEN` and position), in frames of bounded size.

        What `given` has is refused, as it is where pictures are fetched.
        """
        for unit, rows in frame.groupby("unit", sort=True):
            yield from _of_shard(rows, self.paths[str(unit)], self.rules, self.reads, given)

    def clear(self) -> None:
        """Nothing is kept for a repeat: the shards are there."""


def _of_shard(
    frame: pd.DataFrame, path: str, rules: DownloadRules, reads: Reads, refused: Refused
) -> Iterator[pd.DataFrame]:
    given = pa.Table.from_pandas(frame[GIVEN], preserve_index=False)
    places = {int(position): place for place, position in enumerate(frame[POSITION].tolist())}
    when = _ended(path, reads)
    waiting: dict[str, tuple[int, shards.Fields]] = {}  # by key: those whose picture has yet to come
    held: list[tuple[int, Outcome]] = []
    size = 0

    def rows_of(held: Sequence[tuple[int, Outcome]]) -> pd.DataFrame:
        some = given.take(pa.array([place for place, _ in held], pa.int64()))
        return with_counts(fetched(some, [outcome for _, outcome in held]))

    number = 0
    for batch in shards.rows(path, shards.FIELDS, reads):
        for row in batch:
            place = places.pop(number, None)
            number += 1
            if place is None:
                continue
            if row["status"] in (None, "success"):
                waiting[str(row["key"])] = place, row
            else:
                held.append((place, failed(row, when)))
    held += [(place, _lost("the shard has fewer rows than it had", when)) for place in places.values()]
    for key, data in shards.pictures(path, reads) if waiting else ():
        if key not in waiting:
            continue
        place, row = waiting.pop(key)
        url = str(given["url"][place])
        held.append((place, taken(row, data, url, rules, refused, when)))
        size += len(data)
        if len(held) >= FRAME_ROWS or size >= FRAME_BYTES:
            yield rows_of(held)
            held, size = [], 0
    held += [(place, _lost("the shard has no picture of it", when)) for place, _ in waiting.values()]
    if held:
        yield rows_of(held)


def taken(
    row: shards.Fields, data: bytes, url: str, rules: DownloadRules, refused: Refused, when: datetime | None
) -> Outcome:
    """What becomes of one picture of a shard.

    It is decoded, hashed and looked up in what is `refused`, as if it had come over the network. A picture
    that `rules` would leave at its size stays as img2dataset encoded it, without metadata; others are
    resized.
    """
    outcome = Outcome(fetched_at=when)
    own = hashlib.sha256(data).hexdigest()
    sha256, md5 = row["sha256"] or own, row["md5"]
    try:
        refused.url(url)
        for digest in dict.fromkeys((own, sha256)):
            refused.file(data, digest, md5 or hashlib.md5(data, usedforsecurity=False).hexdigest())
        found = picture(data, _unlimited(rules))
        refused.picture(found.phash)
    except DownloadError as failure:
        outcome.fail(failure)
        return outcome
    outcome.bytes, outcome.sha256, outcome.md5 = len(data), sha256, md5
    outcome.width = row["original_width"] or found.width
    outcome.height = row["original_height"] or found.height
    outcome.phash = found.phash
    outcome.image = _kept(data, (found.width, found.height), rules) or found.data
    return outcome


def failed(row: shards.Fields, when: datetime | None) -> Outcome:
    """What becomes of a row without a picture: img2dataset's reason, as far as there is one like it here."""
    message = str(row["error_message"] or row["status"])
    status = next(
        (status for pattern, status in MESSAGES if re.search(pattern, message)), DownloadStatus.NOT_ARCHIVED
    )
    code = _CODE.search(message)
    return Outcome(
        status,
        f"img2dataset: {message}"[:_ERROR_CHARS],
        int(code[1]) if code else None,
        fetched_at=when,
    )


def _lost(why: str, when: datetime | None) -> Outcome:
    return Outcome(DownloadStatus.NOT_ARCHIVED, why, fetched_at=when)


def _unlimited(rules: DownloadRules) -> DownloadRules:
    """Limits on originals say nothing about what img2dataset has resized."""
    return replace(rules, min_side=0, max_aspect_ratio=0.0)


def _kept(data: bytes, size: tuple[int, int], rules: DownloadRules) -> bytes | None:
    """The file itself, if a picture of that size is stored in its format and at its size."""
    name = picture_format(data) or ""
    square = size == (rules.size, rules.size)
    fits = square or (
        scaled_size(*size, rules) == size and rules.resize_mode not in ("border", "center_crop")
    )
    if name != rules.format or not fits:
        return None
    pixels, orientation = essence(data, name)
    return pixels if orientation == 1 else None


def _ended(path: str, reads: Reads) -> datetime | None:
    """When img2dataset was done with the shard, where its statistics are there."""
    stem = shards.beside(path) if not path.endswith(".parquet") else path
    place = f"{stem.removesuffix('.parquet')}_stats.json"
    try:
        with open_file(place, reads) as file:
            told: Any = json.loads(file.read())
        return datetime.fromtimestamp(float(told["end_time"]), UTC)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
