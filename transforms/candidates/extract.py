"""From crawl files and URL lists to rows of candidates, unit by unit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

import pandas as pd
import pyarrow as pa

from transforms import columns
from transforms.candidates import keys, lists, warc, wat
from transforms.candidates.errors import UnreadableUnit
from transforms.candidates.language import identifier
from transforms.candidates.lists import BadRow
from transforms.candidates.pages import Page
from transforms.candidates.reasons import Drop, Note
from transforms.candidates.rules import CandidateRules
from transforms.candidates.text import clean, cut
from transforms.candidates.urls import resolver
from transforms.files import READS, Reads

ORDER = "_order"
BATCH = 16_384  # rows that are Python objects at a time
_CACHED_CHARS = 200  # texts up to this length are remembered: most repeat within a site

SCHEMA = pa.schema([*columns.counted(columns.CANDIDATES), pa.field(ORDER, pa.int64())])
UNITS = pa.schema(
    [
        columns.UNIT,
        columns.column("path", pa.string(), "content", "where the unit's file is: a path or URL for fsspec"),
        columns.column("kind", pa.string(), "content", "what the file is: wat, warc or urls"),
        columns.column("order", pa.int64(), "content", "the unit's place in the crawl"),
        columns.column("start", pa.int64(), "content", "first row of a slice of a URL list, else NULL"),
        columns.column("stop", pa.int64(), "content", "the row after the slice's last, else NULL"),
    ]
)

# url, text, page_url, host, license, language, language_probability, position
Row = tuple[str, str, str | None, str, str | None, str | None, float, int]


def extract(
    units: pd.DataFrame, rules: CandidateRules, reads: Reads = READS, skip_unreadable: bool = False
) -> pd.DataFrame:
    """The candidates of a partition of `UNITS`, as a frame of `SCHEMA`, one unit after the other.

    Raises `UnreadableUnit` where a file holds nothing that it should hold, FileNotFoundError where it is not
    there: with `skip_unreadable` such a unit has no rows and the count ``note:unreadable``. Raises another
    OSError where a file cannot be read for now.
    """
    rows = columns.to_arrow(units, UNITS).to_pylist()
    tables = [(_unit_or_note if skip_unreadable else _unit)(row, rules, reads) for row in rows]
    return columns.to_pandas(pa.concat_tables(tables) if tables else SCHEMA.empty_table())


def _unit_or_note(unit: Mapping[str, Any], rules: CandidateRules, reads: Reads) -> pa.Table:
    try:
        return _unit(unit, rules, reads)
    except (UnreadableUnit, FileNotFoundError):
        return _counted(columns.CANDIDATES.empty_table(), unit, {f"note:{Note.UNREADABLE}": 1})


def _unit(unit: Mapping[str, Any], rules: CandidateRules, reads: Reads) -> pa.Table:
    """Rows and counts of one unit, as a table of `SCHEMA`."""
    counts: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    rows = _rows(_pages(unit, rules, notes, reads), rules, counts)
    tables = [columns.CANDIDATES.empty_table()]
    while batch := list(islice(rows, BATCH)):
        tables.append(_table(batch, unit["unit"]))
    counts.update({f"note:{note}": n for note, n in notes.items()})
    return _counted(pa.concat_tables(tables), unit, counts)


def _counted(rows: pa.Table, unit: Mapping[str, Any], counts: Mapping[str, int]) -> pa.Table:
    table = columns.with_counts(rows, unit["unit"], counts)
    return table.append_column(ORDER, pa.array([unit["order"]] * len(table), pa.int64()))


def _pages(
    unit: Mapping[str, Any],
    rules: CandidateRules,
    notes: Counter[str],
    reads: Reads,
) -> Iterator[Page]:
    path = unit["path"]
    match unit["kind"]:
        case "wat":
            return wat.pages(path, rules, notes, reads)
        case "warc":
            return warc.pages(path, rules, notes, reads)
        case "urls":
            return lists.pages(path, unit["start"], unit["stop"], rules, reads)
        case kind:
            raise ValueError(f"unknown kind of unit: {kind!r}; it is wat, warc or urls")


def _rows(pages: Iterator[Page], rules: CandidateRules, counts: Counter[str]) -> Iterator[Row]:
    """What becomes a candidate; everything else is counted under its reason."""
    resolve = resolver(rules)
    read = _reader(rules)
    urls: set[str] | None = set() if rules.one_row_per_url else None
    position = -1
    drops: Counter[Drop] = Counter()
    for page in pages:
        for src, alt in page.images:
            position += 1
            if src is BadRow:
                drops[Drop.BAD_ROW] += 1
                continue
            if not alt:
                drops[Drop.NO_ALT] += 1
                continue
            if type(alt) is not str:
                drops[Drop.BAD_TEXT] += 1
                continue
            if alt.isspace():
                drops[Drop.NO_ALT] += 1
                continue
            if not src or type(src) is not str:
                drops[Drop.BAD_URL if src else Drop.NO_URL] += 1
                continue
            found = resolve(src, page.base)
            if isinstance(found, Drop):
                drops[found] += 1
                continue
            text, language, probability = read(alt)
            if text is None:
                drops[Drop.SHORT_TEXT] += 1
                continue
            url, host = found
            if urls is not None:
                if url in urls:
                    drops[Drop.SAME_URL] += 1
                    continue
                urls.add(url)
            yield url, text, page.url, host, page.license, language, probability, position
    counts["in"] = position + 1
    counts.update({f"drop:{reason}": n for reason, n in drops.items()})


def _reader(rules: CandidateRules) -> Callable[[str], tuple[str | None, str | None, float]]:
    """A function from a raw text to (cleaned text or None, language, probability)."""
    identify = identifier(rules)

    def read(raw: str) -> tuple[str | None, str | None, float]:
        text = clean(raw, rules)
        return (None, None, 0.0) if text is None else (cut(text, rules), *identify(text))

    remembered = lru_cache(maxsize=1 << 16)(read)
    return lambda raw: remembered(raw) if len(raw) <= _CACHED_CHARS else read(raw)


def _table(rows: list[Row], unit: str) -> pa.Table:
    """`rows` with their keys, as a table of `columns.CANDIDATES`."""
    names = ("url", "text", "page_url", "host", "license", "language", "language_probability", "position")
    arrays: dict[str, pa.Array] = {
        name: pa.array(values, columns.CANDIDATES.field(name).type)
        for name, values in zip(names, zip(*rows, strict=True), strict=True)
    }
    arrays["sample_id"] = keys.sample_ids(arrays["url"], arrays["text"])
    arrays["url_id"] = keys.url_ids(arrays["url"])
    arrays["unit"] = pa.array([unit] * len(rows), pa.string())
    return pa.table([arrays[name] for name in columns.CANDIDATES.names], schema=columns.CANDIDATES)
