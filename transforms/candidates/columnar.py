"""The quick way from WAT files to links: a block of records at a time, its plain links as Arrow columns.

Compiled loops (compiled.py) find the plain links and put their URLs together: 0.2 s per 250 MB beside the
0.5 s of inflating, where Python objects take a second more. All others go the way of wat.py and urls.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from transforms.candidates import wat
from transforms.candidates.framed import Block
from transforms.candidates.links import LINKS, Link, Tally, encoded, judge, table
from transforms.candidates.pages import Page
from transforms.candidates.reasons import Drop, Note
from transforms.candidates.records import blocks, record_of
from transforms.candidates.rules import CandidateRules
from transforms.candidates.urls import resolver
from transforms.files import READS, Reads


def applies(rules: CandidateRules) -> bool:
    """Whether `links` can be asked: what is plain in it is so under the rules of the preset "pairlake"."""
    return rules.links == "images" and rules.urls == "resolved" and {"http", "https"} <= set(rules.schemes)


def links(
    path: str, rules: CandidateRules, notes: Counter[str], tally: Tally, reads: Reads = READS
) -> Iterator[pa.Table]:
    """The links of the WAT file at `path`: those `links.batches` of its `wat.pages` gives.

    They come in another order: of each block of records, first the plain links, then the others.
    """
    read = _reader(rules, notes, tally)
    for block in blocks(path, rules, notes, reads):
        yield from read(block)


def _reader(rules: CandidateRules, notes: Counter[str], tally: Tally) -> Callable[[Block], list[pa.Table]]:
    """A function from a block to its links, the plain ones and the others."""
    from transforms.candidates import compiled

    judged = judge(rules)
    refused = _screen(rules)

    def read(block: Block) -> list[pa.Table]:
        fates, links = compiled.scan(block.data, block.records, rules.max_url_chars, rules.max_host_chars)
        odd = {
            i: list(wat.pages_of(record_of(block, i), rules, notes))
            for i in np.flatnonzero(fates == compiled.ODD).tolist()
        }
        # how many images each record has, and so where each link stands in the unit
        plain = np.bincount(links[:, compiled.RECORD], minlength=len(fates))
        images = plain.copy()
        for i, pages in odd.items():
            images[i] = sum(len(page.images) for page in pages)
        first = tally.images + np.cumsum(images) - images
        position = np.arange(len(links)) + (first - np.cumsum(plain) + plain)[links[:, compiled.RECORD]]
        tally.images += int(images.sum())
        notes[Note.PAGES] += int(np.count_nonzero(fates == compiled.PLAIN))
        tally.drops[Drop.NO_ALT] += int(np.count_nonzero(links[:, compiled.FATE] == compiled.NO_ALT))

        rows: list[Link] = []

        def add(image: tuple[Any, Any], page: Page, position: int) -> None:
            found = judged(*image, page.base)
            if isinstance(found, Drop):
                tally.drops[found] += 1
            else:
                rows.append((*found, page.url, page.license, position, encoded(image[1])))

        for i, pages in odd.items():
            of_record = ((image, page) for page in pages for image in page.images)
            for place, (image, page) in enumerate(of_record, int(first[i])):
                add(image, page, place)
        for i in np.flatnonzero(links[:, compiled.FATE] == compiled.PARSED).tolist():
            link = links[i].tolist()
            image = wat.image_of(orjson.loads(block.bytes(link[compiled.START], link[compiled.STOP])))
            url = block.bytes(link[compiled.PAGE], link[compiled.PAGE_STOP]).decode()
            add(image, Page(url, url, None, []), int(position[i]))

        ready = links[:, compiled.FATE] == compiled.READY
        quick = _put_together(block, links[ready], position[ready], refused, tally)
        return [quick, table(rows)]

    return read


def _put_together(
    block: Block,
    links: np.ndarray[Any, Any],
    position: np.ndarray[Any, Any],
    refused: Callable[[pa.Array], dict[int, Drop]],
    tally: Tally,
) -> pa.Table:
    """Plain links as a table of `LINKS`, without those that the rules leave out."""
    from transforms.candidates import compiled

    urls = _array(pa.string(), *compiled.urls(block.data, links))
    if reasons := refused(urls):
        tally.drops.update(reasons.values())
        kept = np.ones(len(urls), np.bool_)
        kept[list(reasons)] = False
        urls, links, position = urls.filter(pa.array(kept)), links[kept], position[kept]

    def texts(dtype: pa.DataType, start: int, stop: int) -> pa.Array:
        return _array(dtype, *compiled.gather(block.data, links, start, stop))

    arrays = {
        "url": urls,
        "host": texts(pa.string(), compiled.HOST, compiled.HOST_STOP),
        "page_url": texts(pa.string(), compiled.PAGE, compiled.PAGE_STOP),
        "license": pa.nulls(len(links), pa.string()),
        "position": pa.array(position),
        "alt": texts(pa.binary(), compiled.ALT, compiled.ALT_STOP),
    }
    return pa.table([arrays[name] for name in LINKS.names], schema=LINKS)


def _array(dtype: pa.DataType, offsets: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> pa.Array:
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(values)]
    return pa.Array.from_buffers(dtype, len(offsets) - 1, buffers, null_count=0)


def _screen(rules: CandidateRules) -> Callable[[pa.Array], dict[int, Drop]]:
    """A function from plain URLs to those rows that the rules leave out, with the reason.

    RE2 finds those that may have to be, in one pass of 0.05 s per 100,000 URLs, and `urls.resolver` is asked
    for them: three searches per URL in Python would take 0.2 s.
    """
    hosts = "|".join(map(re.escape, rules.tracking_hosts))
    parts = [
        rf"\.(?:{'|'.join(rules.excluded_extensions)})" if rules.excluded_extensions else "",
        *map(re.escape, rules.excluded_substrings),
        rf"//(?:[^/]*\.)?(?:{hosts})\.?(?:[:/]|$)" if hosts else "",
        *rules.tracking_paths,
    ]
    pattern = "|".join(f"(?:{part})" for part in parts if part)
    resolve = resolver(rules)

    def suspects(urls: pa.Array) -> list[int]:
        if not pattern:
            return []
        try:
            found = pc.match_substring_regex(urls, pattern, ignore_case=True)
        except pa.ArrowInvalid:  # a rule that RE2 has no words for
            return list(range(len(urls)))
        rows: list[int] = np.flatnonzero(found.to_numpy(zero_copy_only=False)).tolist()
        return rows

    def refused(urls: pa.Array) -> dict[int, Drop]:
        rows = suspects(urls)
        reasons = (resolve(url, None) for url in urls.take(pa.array(rows, pa.int64())).to_pylist())
        return {row: found for row, found in zip(rows, reasons, strict=True) if isinstance(found, Drop)}

    return refused
