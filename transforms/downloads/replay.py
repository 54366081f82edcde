"""Pictures out of WARC files: the answers that a crawler kept, judged as if they came over HTTP just now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO, NamedTuple

import dask.dataframe as dd
import pandas as pd
import pyarrow as pa
from dask.delayed import Delayed
from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

from transforms import columns
from transforms.candidates.errors import UnreadableUnit
from transforms.candidates.keys import url_id
from transforms.downloads.encoding import decoded
from transforms.downloads.fetch import REDIRECTS, http_error, redirected, refuse_head
from transforms.downloads.outcome import FETCHED, Outcome, rows
from transforms.downloads.refused import NOTHING, Refused
from transforms.downloads.rules import PRODUCT, DownloadRules
from transforms.downloads.status import DownloadError, DownloadStatus
from transforms.files import READS, Reads, open_file

_GIVEN = ["url", "url_id", "unit", "attempt"]
_INDEX = pa.schema(
    [
        pa.field("url_id", pa.int64()),
        pa.field("rank", pa.int8()),  # 0: code 200, 1: a redirect, 2: any other
        pa.field("archive", pa.int32()),  # which of the archives
        # Of the URL's record, then of those it redirects to, with blanks between: not a list, because
        # distributed's shuffle cannot take lists of Arrow dtype.
        pa.field("offsets", pa.string()),
    ]
)
_GZIP = b"\x1f\x8b\x08"  # RFC 1952


def replay(
    urls: dd.DataFrame,
    archives: Sequence[str],
    rules: DownloadRules,
    reads: Reads = READS,
    refused: Delayed | Refused = NOTHING,
) -> dd.DataFrame:
    """The pictures of `urls` (url, url_id, unit, attempt) from the responses in the WARC files `archives`.

    `counted(FETCHED)` comes out, one row per row, all rows of a unit in one partition if they were so before.
    Of several records of a URL the first with code 200 counts, else the first redirect, else the first.
    A redirect is followed within its file. `fetched_at` is the record's WARC-Date. robots.txt is not asked
    (the crawler did), opt-out headers are honoured. Computing raises OSError where an archive cannot be
    read, and UnreadableUnit where it holds no record; a damaged record in it is passed over.
    """
    index = dd.from_map(
        _index,
        list(enumerate(archives)),
        redirects=rules.redirects,
        reads=reads,
        meta=columns.meta(_INDEX),
    )
    found = index if len(archives) == 1 else index.shuffle("url_id").map_partitions(_best, meta=index._meta)
    located = urls[_GIVEN].merge(found, on="url_id", how="left")
    if len(archives) > 1:
        located = located.shuffle("unit")  # the join scattered them
    meta = columns.meta(columns.counted(FETCHED))
    read: dd.DataFrame = located.map_partitions(
        _read_partition, list(archives), rules, reads, refused, meta=meta
    )
    return read


class _Seen(NamedTuple):
    rank: int
    offset: int
    following: int | None  # url_id that it redirects to


def _index(numbered: tuple[int, str], redirects: int, reads: Reads) -> pd.DataFrame:
    """The best record of each URL in one archive, in the form of `_INDEX`."""
    number, path = numbered
    seen: dict[int, _Seen] = {}
    with open_file(path, reads) as file:
        for record in _responses(file, path):
            url, this = _target(record), _seen(record)
            key = url_id(url)
            if key not in seen or this.rank < seen[key].rank:
                seen[key] = this
    arrays = [
        pa.array(seen.keys(), pa.int64()),
        pa.array([this.rank for this in seen.values()], pa.int8()),
        pa.array([number] * len(seen), pa.int32()),
        pa.array([" ".join(map(str, _chain(this, seen, redirects))) for this in seen.values()], pa.string()),
    ]
    return columns.to_pandas(pa.table(arrays, schema=_INDEX))


def _seen(record: WarcRecord) -> _Seen:
    record.parse_http()
    code, location = record.http_headers.status_code, record.http_headers.get("Location")
    if code == 200:
        return _Seen(0, record.stream_pos, None)
    if code not in REDIRECTS or location is None:
        return _Seen(2, record.stream_pos, None)
    try:
        return _Seen(1, record.stream_pos, url_id(redirected(_target(record), location)))
    except DownloadError:  # found again, and told, when the record is read
        return _Seen(1, record.stream_pos, None)


def _chain(this: _Seen, seen: Mapping[int, _Seen], redirects: int) -> list[int]:
    offsets = [this.offset]
    while this.following is not None and this.following in seen and len(offsets) <= redirects:
        this = seen[this.following]
        offsets.append(this.offset)
    return offsets


def _best(index: pd.DataFrame) -> pd.DataFrame:
    return index.sort_values(["url_id", "rank", "archive"]).drop_duplicates("url_id")


def _responses(file: BinaryIO, path: str) -> Iterator[WarcRecord]:
    """The HTTP responses in a WARC file, passing over damaged gzip members.

    Raises UnreadableUnit if there is no WARC record in it at all.
    """
    position: int | None = 0
    records = 0
    while position is not None:
        file.seek(position)
        try:
            for record in ArchiveIterator(file, parse_http=False):
                records += 1
                position = record.stream_pos
                if record.record_type == WarcRecordType.response and record.is_http and _target(record):
                    yield record
            break
        except OSError as error:
            if error.errno is not None:  # the system's, not the parser's
                raise
            position = _next_member(file, position + 1)
    if not records:
        raise UnreadableUnit(f"{path} holds no WARC record: fetch it again")


def _next_member(file: BinaryIO, start: int) -> int | None:
    """Where the next gzip member may begin, at `start` or after; None if nowhere."""
    file.seek(start)
    block = b""
    while more := file.read(1 << 16):
        block = block[-len(_GZIP) + 1 :] + more
        if (at := block.find(_GZIP)) >= 0:
            return file.tell() - len(block) + at
    return None


def _target(record: WarcRecord) -> str:
    return (record.headers.get("WARC-Target-URI") or "").strip("<>")  # some writers put brackets around it


def _read_partition(
    frame: pd.DataFrame, archives: Sequence[str], rules: DownloadRules, reads: Reads, refused: Refused
) -> pd.DataFrame:
    """The outcome of each row of `frame` (`_GIVEN` and `_INDEX`), its archives read once each, in order."""
    located = pa.Table.from_pandas(frame[["url", "archive", "offsets"]], preserve_index=False).to_pylist()
    outcomes = [Outcome() for _ in located]
    by_archive: dict[int, list[tuple[list[int], str, Outcome]]] = {}
    for row, outcome in zip(located, outcomes, strict=True):
        if row["archive"] is None:
            outcome.fail(DownloadError(DownloadStatus.NOT_ARCHIVED, "no record of the URL"))
        else:
            offsets = [int(offset) for offset in row["offsets"].split()]
            try:
                refused.url(row["url"])
            except DownloadError as failure:
                outcome.fail(failure)
            else:
                by_archive.setdefault(row["archive"], []).append((offsets, row["url"], outcome))
    for number, wanted in by_archive.items():
        with open_file(archives[number], reads) as file:
            for offsets, url, outcome in sorted(wanted, key=lambda each: each[0]):
                try:
                    _follow(file, offsets, url, rules, refused, outcome)
                except DownloadError as failure:
                    outcome.fail(failure)
    return rows(frame, outcomes)


def _follow(
    file: BinaryIO, offsets: Sequence[int], url: str, rules: DownloadRules, refused: Refused, outcome: Outcome
) -> None:
    """Fill in `url`'s outcome from the records at `offsets`. Raises DownloadError if they give no picture."""
    for offset in offsets:
        file.seek(offset)
        record = next(iter(ArchiveIterator(file, parse_http=False)))
        outcome.fetched_at = record.record_date
        record.parse_http(auto_decode="transfer")
        headers = record.http_headers
        code = headers.status_code
        if code is None:
            raise DownloadError(DownloadStatus.BAD_RESPONSE, "not a valid HTTP answer")
        outcome.answered(code, headers.get("Content-Type"))
        tags = headers.get_multiple("X-Robots-Tag")
        refuse_head(tags, headers.get("TDM-Reservation"), outcome, rules, PRODUCT)
        if code == 200:
            outcome.examine(url, _body(record, rules), rules, refused)
            return
        location = headers.get("Location")
        if code not in REDIRECTS or location is None:
            raise http_error(code)
        outcome.final_url = redirected(outcome.final_url or _target(record), location)
        refused.url(outcome.final_url)
    if len(offsets) > rules.redirects:
        raise DownloadError(DownloadStatus.TOO_MANY_REDIRECTS, f"more than {rules.redirects} redirects")
    raise DownloadError(DownloadStatus.NOT_ARCHIVED, "no record of the URL that it redirects to")


def _body(record: WarcRecord, rules: DownloadRules) -> bytes:
    """The payload without transfer and content encoding. Raises DownloadError: too_large, truncated."""
    headers = record.http_headers
    body = record.reader.read(rules.max_bytes + 1)
    stated = headers.get("Content-Length") or ""
    if stated.isdecimal() and not headers.get("Transfer-Encoding"):
        # HTTP's length counts, where WARC's is too long and the next record stands in this one.
        if len(body) < min(int(stated), rules.max_bytes + 1):
            raise DownloadError(DownloadStatus.TRUNCATED, "body ended before it was complete")
        body = body[: int(stated)]
    if len(body) > rules.max_bytes:
        raise DownloadError(DownloadStatus.TOO_LARGE, f"more than {rules.max_bytes} bytes")
    return decoded(body, ",".join(headers.get_multiple("Content-Encoding")), rules.max_bytes)
