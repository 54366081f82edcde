"""From crawl files and URL lists to rows of candidates, unit by unit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from transforms import columns
from transforms.candidates import columnar, keys, lists, warc, wat
from transforms.candidates.errors import UnreadableUnit
from transforms.candidates.language import identifier
from transforms.candidates.links import Tally, batches, decoded
from transforms.candidates.reasons import Drop, Note
from transforms.candidates.rules import CandidateRules
from transforms.candidates.text import clean, cut
from transforms.files import READS, Reads
from transforms.imports import shards

ORDER = "_order"
_CACHED_CHARS = 200  # texts up to this length are remembered: most repeat within a site

SCHEMA = pa.schema([*columns.counted(columns.CANDIDATES), pa.field(ORDER, pa.int64())])
UNITS = pa.schema(
    [
        columns.UNIT,
        columns.column("path", pa.string(), "content", "where the unit's file is: a path or URL for fsspec"),
        columns.column("kind", pa.string(), "content", "what the file is: wat, warc, urls or img2dataset"),
        columns.column("order", pa.int64(), "content", "the unit's place in the crawl"),
        columns.column("start", pa.int64(), "content", "first row of a slice of a URL list, else NULL"),
        columns.column("stop", pa.int64(), "content", "the row after the slice's last, else NULL"),
    ]
)

Text = tuple[str | None, str | None, float]  # cleaned, None where too short; its language, its probability


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
    tally = Tally()
    notes: Counter[str] = Counter()
    finish = _finisher(rules, unit["unit"], tally)
    tables = [finish(table) for table in _links(unit, rules, notes, tally, reads) if len(table)]
    counts = {"in": tally.images}
    counts.update({f"drop:{reason}": n for reason, n in tally.drops.items()})
    counts.update({f"note:{note}": n for note, n in notes.items()})
    return _counted(pa.concat_tables([columns.CANDIDATES.empty_table(), *tables]), unit, counts)


def _counted(rows: pa.Table, unit: Mapping[str, Any], counts: Mapping[str, int]) -> pa.Table:
    table = columns.with_counts(rows, unit["unit"], counts)
    return table.append_column(ORDER, pa.array([unit["order"]] * len(table), pa.int64()))


def _links(
    unit: Mapping[str, Any], rules: CandidateRules, notes: Counter[str], tally: Tally, reads: Reads
) -> Iterator[pa.Table]:
    """The links of a unit, as tables of `links.LINKS`."""
    path = unit["path"]
    match unit["kind"]:
        case "wat" if columnar.applies(rules):
            return columnar.links(path, rules, notes, tally, reads)
        case "wat":
            pages = wat.pages(path, rules, notes, reads)
        case "warc":
            pages = warc.pages(path, rules, notes, reads)
        case "urls":
            pages = lists.pages(path, unit["start"], unit["stop"], rules, reads)
        case "img2dataset":
            pages = shards.pages(path, reads)
        case kind:
            raise ValueError(f"unknown kind of unit: {kind!r}; it is wat, warc, urls or img2dataset")
    return batches(pages, rules, tally)


def _finisher(rules: CandidateRules, unit: str, tally: Tally) -> Callable[[pa.Table], pa.Table]:
    """A function from a table of links to one of candidates: with texts cleaned, their language, and keys."""
    read = _reader(rules)
    urls: set[str] | None = set() if rules.one_row_per_url else None

    def is_new(url: str) -> bool:
        if urls is None:
            return True
        before = len(urls)
        urls.add(url)
        return len(urls) > before

    def finish(links: pa.Table) -> pa.Table:
        found = [read(decoded(alt)) for alt in links["alt"].to_pylist()]
        kept = np.array([text is not None for text, _, _ in found])
        tally.drops[Drop.SHORT_TEXT] += len(kept) - int(kept.sum())
        if urls is not None:
            for i in np.flatnonzero(kept):
                kept[i] = is_new(links["url"][int(i)].as_py())
                tally.drops[Drop.SAME_URL] += not kept[i]
        if not kept.all():
            links = links.filter(pa.array(kept))
            found = [each for each, keep in zip(found, kept, strict=True) if keep]
        return _table(links, found, unit)

    return finish


def _reader(rules: CandidateRules) -> Callable[[str], Text]:
    """A function from a raw text to (cleaned text or None, language, probability)."""
    identify = identifier(rules)

    def read(raw: str) -> Text:
        text = clean(raw, rules)
        return (None, None, 0.0) if text is None else (cut(text, rules), *identify(text))

    remembered = lru_cache(maxsize=1 << 16)(read)
    return lambda raw: remembered(raw) if len(raw) <= _CACHED_CHARS else read(raw)


def _table(links: pa.Table, texts: list[Text], unit: str) -> pa.Table:
    """Links, their texts and their keys, as a table of `columns.CANDIDATES`."""
    values = zip(*texts, strict=True) if texts else [()] * 3
    named = zip(("text", "language", "language_probability"), values, strict=True)
    arrays = {name: pa.array(values, columns.CANDIDATES.field(name).type) for name, values in named}
    arrays["sample_id"] = keys.sample_ids(links["url"], arrays["text"])
    arrays["url_id"] = keys.url_ids(links["url"])
    arrays["unit"] = pa.array([unit] * len(links), pa.string())
    return pa.table(
        [arrays[name] if name in arrays else links[name] for name in columns.CANDIDATES.names],
        schema=columns.CANDIDATES,
    )
