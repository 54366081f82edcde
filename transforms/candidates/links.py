"""From images as pages have them to absolute URLs with alt texts, in batches; what is dropped is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa

from transforms import columns
from transforms.candidates.lists import BadRow
from transforms.candidates.pages import Page
from transforms.candidates.reasons import Drop
from transforms.candidates.rules import CandidateRules
from transforms.candidates.urls import resolver

BATCH = 16_384  # rows that are Python objects at a time

_FIELDS = [columns.CANDIDATES.field(name) for name in ("url", "host", "page_url", "license", "position")]
# alt: UTF-8, with lone surrogates where the file has them
LINKS = pa.schema([*_FIELDS, pa.field("alt", pa.binary())])

Link = tuple[str, str, str | None, str | None, int, bytes]


class Tally:
    """What was met so far in a unit: its images, and the reasons of those that were dropped."""

    def __init__(self) -> None:
        self.images = 0
        self.drops: Counter[Drop] = Counter()


def judge(rules: CandidateRules) -> Callable[[Any, Any, str | None], tuple[str, str] | Drop]:
    """A function from (src, alt, base) of an image to (URL, host) or the reason to drop it."""
    resolve = resolver(rules)

    def judged(src: Any, alt: Any, base: str | None) -> tuple[str, str] | Drop:
        if src is BadRow:
            return Drop.BAD_ROW
        if not alt:
            return Drop.NO_ALT
        if type(alt) is not str:
            return Drop.BAD_TEXT
        if alt.isspace():
            return Drop.NO_ALT
        if not src or type(src) is not str:
            return Drop.BAD_URL if src else Drop.NO_URL
        return resolve(src, base)

    return judged


def batches(pages: Iterable[Page], rules: CandidateRules, tally: Tally) -> Iterator[pa.Table]:
    """The links of `pages`, in their order, as tables of `LINKS`."""
    judged = judge(rules)
    rows: list[Link] = []
    for page in pages:
        for src, alt in page.images:
            found = judged(src, alt, page.base)
            if isinstance(found, Drop):
                tally.drops[found] += 1
            else:
                rows.append((*found, page.url, page.license, tally.images, encoded(alt)))
            tally.images += 1
        if len(rows) >= BATCH:
            yield table(rows)
            rows = []
    yield table(rows)


def encoded(alt: str) -> bytes:
    """`alt` as `LINKS` has it."""
    return alt.encode("utf-8", "surrogatepass")


def decoded(alt: bytes) -> str:
    """The reverse of `encoded`."""
    return alt.decode("utf-8", "surrogatepass")


def table(rows: list[Link]) -> pa.Table:
    """`rows` as a table of `LINKS`."""
    values = zip(*rows, strict=True) if rows else [()] * len(LINKS)
    arrays = [pa.array(value, field.type) for value, field in zip(values, LINKS, strict=True)]
    return pa.table(arrays, schema=LINKS)
