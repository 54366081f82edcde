"""Compiled loops over the bytes of crawl files: where records are, and the plain image links of a WAT.

Plain is what needs no second look: a link written as Common Crawl writes it, with no escapes in URL and text
and nothing but `&amp;` to decode in the URL. What is not plain is left to wat.py and urls.py, which alone say
what is right: too few links may be called plain here, but none that they would read otherwise.

numba compiles on the first use on a machine, which takes some seconds, and keeps the result beside this file,
or in the user's cache folder where that cannot be written. It takes as long to import as all of the rest, so
modules that the driver loads import this one inside functions.
"""

# numba infers the types: those of arguments stand in the decorators of what Python calls
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types

BYTES = types.Array(types.uint8, 1, "C", readonly=True)
TABLE = types.Array(types.int64, 2, "C")
ROWS = types.Array(types.int64, 1, "C")
INT = types.int64
OFFSETS = types.Array(types.int32, 1, "C")
CHARACTERS = types.Array(types.uint8, 1, "C")

# The C library searches 250 MB in 0.02 to 0.05 s, ten times as fast as a loop of ours
_memchr = types.ExternalFunction("memchr", types.uintp(types.voidptr, types.intc, types.uintp))
_memmem = types.ExternalFunction(
    "memmem", types.uintp(types.voidptr, types.uintp, types.voidptr, types.uintp)
)
_memcpy = types.ExternalFunction("memcpy", types.uintp(types.voidptr, types.voidptr, types.uintp))


def _compiled(signature: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """For a kernel that Python calls: compiled at once, or taken from the cache."""
    found: Callable[..., Any] = numba.njit(signature, cache=True, nogil=True)
    return found


def _helper(function: Any) -> Any:
    """For what kernels call: cached as a part of them, so it has to be in the file that they are in."""
    # without what Python and C would call it by, which takes a fifth of the time to compile
    return numba.njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)  # type: ignore[call-overload]


def _text(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8)


# What becomes of a record
NOTHING = 0  #: it has no image and nothing to be noted
PLAIN = 1  #: its images are in the table of links
ODD = 2  #: it is to be parsed as a whole

# What becomes of an image of a plain record
NO_ALT = 0
READY = 1  #: URL and alt text are plain
PARSED = 2  #: its object is JSON: parse and resolve it

# Columns of the table of links: the record; the link's fate; where bytes begin and end: its JSON object, the
# address of its page, what goes before its URL as written, that, its host, its alt text; then how many bytes
# its URL has once put together
RECORD, FATE, START, STOP, PAGE, PAGE_STOP, PREFIX, PREFIX_STOP, SRC, SRC_STOP = range(10)
HOST, HOST_STOP, ALT, ALT_STOP, SIZE = range(10, 15)
_COLUMNS = 15

_ROOM = 4096  # rows of a table at first
_FULL = -2

_TARGET = _text(b"warc-target-uri:")
_MARK = _text(b'"path":"IMG@/src"')
_IMAGE = _text(b"IMG@")
_HTML = _text(b'"HTML-Metadata"')
_LICENSE = _text(b"creativecommons.org")
_BASE = _text(b'"Base"')
_AMP = _text(b"&amp;")
_HTTP = _text(b"http")
_SCHEME_END = _text(b"://")
_URL, _ALT = _text(b"url"), _text(b"alt")
_ESCAPED = _text(b'"\\/bfnrt')

_BREAK = _text(b"\r\n\r\n")
_NEXT = _text(b"\r\n\r\nWARC/1.")
_LENGTH = _text(b"\nContent-Length: ")
_INNER = _text(b"\nWARC/1.")
_JSON = _text(b"application/json")

# The characters of a plain host and of a plain path, as urls._PLAIN has them
_IN_HOST = np.zeros(256, np.bool_)
_IN_HOST[list(b"abcdefghijklmnopqrstuvwxyz0123456789._-")] = True
_IN_PATH = np.zeros(256, np.bool_)
_IN_PATH[[ord("!"), *range(ord("$"), ord("[") + 1), *b"]_|~", *range(ord("a"), ord("z") + 1)]] = True

_TAB, _NEWLINE, _RETURN, _SPACE, _DELETE = b"\t\n\r \x7f"
_QUOTE, _BACKSLASH, _OPEN, _CLOSE, _COMMA, _COLON = b'"\\{},:'
_SLASH, _DOT, _DASH, _UNDERSCORE, _QUESTION, _SEMICOLON, _LESS, _GREATER = b"/.-_?;<>"
_0, _8, _9, _A, _Z, _a, _d, _f, _s, _u = b"089AZadfsu"

# What a JSON string has in it besides printable ASCII
_ESCAPES, _BEYOND_ASCII = 1, 2


@_helper
def _find(data, needle, start, stop):
    """`data.find(needle, start, stop)` for 0 <= start and stop <= data.size."""
    if stop - start < needle.size:
        return -1
    base = data.ctypes.data
    at = _memmem(base + start, stop - start, needle.ctypes.data, needle.size)
    return np.int64(at - base) if at else -1


@_helper
def _find_byte(data, byte, start, stop):
    if stop <= start:
        return -1
    base = data.ctypes.data
    at = _memchr(base + start, byte, stop - start)
    return np.int64(at - base) if at else -1


@_helper
def _is_at(data, needle, start, stop):
    """Whether `data[start:stop]` begins with `needle`."""
    if stop - start < needle.size:
        return False
    for i in range(needle.size):
        if data[start + i] != needle[i]:
            return False
    return True


@_helper
def _copy(out, to, data, start, stop):
    """Copies `data[start:stop]` to `out` from `to` on; where it ends there."""
    _memcpy(out.ctypes.data + to, data.ctypes.data + start, stop - start)
    return to + stop - start


@_helper
def _doubled(table):
    """A table with room for twice as many rows, and those of `table`."""
    longer = np.empty((2 * len(table), table.shape[1]), np.int64)
    for i in range(len(table)):
        for j in range(table.shape[1]):
            longer[i, j] = table[i, j]
    return longer


# ---------- records


@_helper
def _swallowed(data, header, start, end):
    """Whether a block of JSON, which has no line ends of its own, has the next record in it."""
    return (
        _find_byte(data, _NEWLINE, start, end) >= 0
        and _find(data, _INNER, start, end) >= 0
        and _find(data, _JSON, header, start) >= 0
    )


@_compiled(types.Tuple((TABLE, INT))(BYTES, INT))
def frame(data, max_header):
    """The records at the beginning of `data` that are in order, int64[n, 4], and where the next one begins.

    Of each record: where its header begins, and ends, and where its block does. In order is a record that
    states its length and has, after so many bytes, two line ends and then another record.
    """
    found = np.empty((_ROOM, 4), np.int64)
    n = 0
    at = 0
    while True:
        head = _find(data, _BREAK, at, min(at + max_header, data.size))
        digit = _find(data, _LENGTH, at, head) if head >= 0 else -1
        if digit < 0:
            break
        digit += _LENGTH.size
        first = digit
        length = 0
        while digit - first < 10 and _0 <= data[digit] <= _9:
            length = 10 * length + data[digit] - _0
            digit += 1
        if digit == first or digit - first == 10 or data[digit] != _RETURN:
            break
        start = head + _BREAK.size
        end = start + length
        if not _is_at(data, _NEXT, end, data.size) or _swallowed(data, at, start, end):
            break
        if n == len(found):
            found = _doubled(found)
        found[n, 0], found[n, 1], found[n, 2], found[n, 3] = at, head + 1, start, end
        n += 1
        at = end + _BREAK.size
    return found[:n], at


# ---------- pages


@_helper
def _is_target(data, start):
    for i in range(_TARGET.size):
        c = data[start + i]
        if (c | 32 if _A <= c <= _Z else c) != _TARGET[i]:
            return False
    return True


@_helper
def _target(data, start, stop):
    """Where the address of a record's page stands in its header; -1 if it is not there or not plain text."""
    start = _find_byte(data, _NEWLINE, start, stop) + 1
    while 0 < start < stop:
        line = _find_byte(data, _NEWLINE, start, stop)
        line = line if line >= 0 else stop
        if line - start >= _TARGET.size and _is_target(data, start):
            start += _TARGET.size
            while start < line and (data[start] == _SPACE or data[start] == _TAB):
                start += 1
            end = line - 1 if line > start and data[line - 1] == _RETURN else line
            for i in range(start, end):
                c = data[i]
                if not _SPACE < c < _DELETE or c in (_LESS, _GREATER):
                    return -1, -1
            return (start, end) if end > start else (-1, -1)
        start = line + 1
    return -1, -1


# ---------- JSON


@_helper
def _string(data, start, stop):
    """Where the JSON string that begins at `start`, after its quote, ends, and what it has in it.

    -1 where it is no JSON, or there is some doubt: surrogates; `"}`, where wat.py takes the object to end.
    """
    end = _find_byte(data, _QUOTE, start, stop)
    if end > start and data[start] == _CLOSE:
        return -1, 0
    strange = False
    beyond_ascii = False
    for i in range(start, end):  # without a branch, so that many bytes are looked at in one step
        strange |= (data[i] < _SPACE) | (data[i] == _BACKSLASH)
        beyond_ascii |= data[i] >= 128
    seen = 0
    if strange:
        end = _end_of_escaped(data, start, stop)
        seen = _ESCAPES
        for i in range(start, end):
            beyond_ascii |= data[i] >= 128
    if beyond_ascii:
        seen |= _BEYOND_ASCII
        if end >= 0 and not _is_utf8(data, start, end):
            return -1, 0
    return end, seen


@_helper
def _end_of_escaped(data, start, stop):
    """Where the JSON string that begins at `start` ends, for one with escapes; -1 as in `_string`."""
    at = start
    while at + 6 < stop:
        c = data[at]
        if c == _QUOTE:
            return at
        if c < _SPACE:
            return -1
        if c == _BACKSLASH:
            at += 1
            c = data[at]
            if c == _u:
                if not _is_code_point(data, at + 1):
                    return -1
                at += 4
            elif _find_byte(_ESCAPED, c, 0, _ESCAPED.size) < 0 or (c == _QUOTE and data[at + 1] == _CLOSE):
                return -1
        at += 1
    return -1


@_helper
def _is_code_point(data, start):
    """Whether four hexadecimal digits stand at `start`, and not of a surrogate (D800 to DFFF)."""
    for i in range(start, start + 4):
        c = data[i]
        if not (_0 <= c <= _9 or _a <= c | 32 <= _f):
            return False
    return not (data[start] | 32 == _d and data[start + 1] >= _8)


@_helper
def _is_utf8(data, start, stop):
    """Whether `data[start:stop]` is UTF-8 (Unicode, table 3-7)."""
    at = start
    while at < stop:
        c = data[at]
        at += 1
        if c < 0x80:
            continue
        more = 1 if 0xC2 <= c <= 0xDF else 2 if 0xE0 <= c <= 0xEF else 3 if 0xF0 <= c <= 0xF4 else 0
        if more == 0 or at + more > stop:
            return False
        low = 0xA0 if c == 0xE0 else 0x90 if c == 0xF0 else 0x80
        high = 0x9F if c == 0xED else 0x8F if c == 0xF4 else 0xBF
        for i in range(more):
            if not low <= data[at + i] <= high:
                return False
            low, high = 0x80, 0xBF
        at += more
    return True


@_helper
def _object(data, start, stop, mark, link):
    """Where the JSON object at `start` ends, which has its path at `mark`; its URL and text go into `link`.

    -1 where it is not written as Common Crawl does: strings alone, each key once, no white space.
    """
    src, src_stop, alt, alt_stop, strange, seen = -1, -1, -1, -1, 0, 0
    marked = False
    at = start
    while True:
        at += 1
        if at >= stop or data[at] != _QUOTE:
            return -1
        key = at + 1
        marked |= at == mark
        key_stop, inside = _string(data, key, stop)
        if key_stop < 0 or inside or key_stop + 2 >= stop:
            return -1
        if data[key_stop + 1] != _COLON or data[key_stop + 2] != _QUOTE:
            return -1
        value = key_stop + 3
        value_stop, inside = _string(data, value, stop)
        if value_stop < 0 or value_stop + 1 >= stop:
            return -1
        if key_stop - key == 3 and _is_at(data, _URL, key, key_stop):
            if src >= 0:
                return -1
            src, src_stop = value, value_stop
            strange |= inside
        elif key_stop - key == 3 and _is_at(data, _ALT, key, key_stop):
            if alt >= 0:
                return -1
            alt, alt_stop, seen = value, value_stop, inside
        at = value_stop + 1
        if data[at] == _CLOSE:
            break
        if data[at] != _COMMA:
            return -1
    if not marked:
        return -1
    link[SRC], link[SRC_STOP], link[ALT], link[ALT_STOP] = src, src_stop, alt, alt_stop
    if alt < 0 or _is_blank(data, alt, alt_stop):
        link[FATE] = NO_ALT
    elif strange or seen & _ESCAPES or src_stop <= src or not _has_ink(data, alt, alt_stop):
        link[FATE] = PARSED
    else:
        link[FATE] = READY
    return at + 1


@_helper
def _is_blank(data, start, stop):
    """Whether there are only spaces, or nothing."""
    for i in range(start, stop):
        if data[i] != _SPACE:
            return False
    return True


@_helper
def _has_ink(data, start, stop):
    """Whether some character is certainly no white space: beyond ASCII, that is in four small ranges."""
    for i in range(start, stop):
        c = data[i]
        if _SPACE < c < _DELETE or 0xC3 <= c <= 0xE0 or c >= 0xE4:
            return True
        if i + 1 < stop and (
            (c == 0xE1 and data[i + 1] != 0x9A)
            or (c == 0xE2 and data[i + 1] > 0x81)
            or (c == 0xE3 and data[i + 1] != 0x80)
        ):
            return True
    return False


# ---------- URLs


@_helper
def _authority(data, start, stop):
    """Host, its end and the path of the URL whose `//` ends at `start`; -1 where it is not plain."""
    at = start
    while at < stop and _IN_HOST[data[at]]:
        at += 1
    host_stop = at
    if at == start or data[start] == _DOT or data[start] == _DASH or data[start] == _UNDERSCORE:
        return -1, -1, -1
    if at < stop and data[at] == _COLON:
        at += 1
        digits = at
        while at < stop and _0 <= data[at] <= _9:
            at += 1
        if not 1 <= at - digits <= 4:
            return -1, -1, -1
    path = at
    if at < stop and data[at] != _SLASH:
        return -1, -1, -1
    while at < stop and _IN_PATH[data[at]]:
        at += 1
    return (start, host_stop, path) if at == stop else (-1, -1, -1)


@_helper
def _split(data, start, stop):
    """The same of a URL with its scheme, http or https."""
    if not _is_at(data, _HTTP, start, stop):
        return -1, -1, -1
    at = start + _HTTP.size
    at += at < stop and data[at] == _s
    if not _is_at(data, _SCHEME_END, at, stop):
        return -1, -1, -1
    return _authority(data, at + _SCHEME_END.size, stop)


@_helper
def _directory(data, path, stop):
    """Where the directory of a page's plain URL ends, whose path begins at `path`.

    -1 where resolving against it is not plain: there is no path, or one with dot segments or empty ones.
    """
    end = -1
    query = False
    for i in range(path, stop):
        c = data[i]
        if c == _SLASH and i + 1 < stop and (data[i + 1] == _SLASH or data[i + 1] == _DOT):
            return -1
        query |= c == _QUESTION
        if c == _SLASH and not query:
            end = i + 1
    return end


@_helper
def _resolve(data, link, host, host_stop, path, directory, max_url, max_host):
    """Whether the URL of `link` is plain, seen from its page; if so, what it is made of goes in there.

    `directory` is where that of the page ends, -1 where that is not plain.
    """
    src, stop = link[SRC], link[SRC_STOP]
    first, last = data[src], data[stop - 1]
    prefix_stop = link[PAGE]
    if _is_at(data, _HTTP, src, stop):
        host, host_stop, _ = _split(data, src, stop)
        if host < 0:
            return False
    elif directory < 0:
        return False
    elif first == _SLASH and stop - src > 1 and data[src + 1] == _SLASH:
        prefix_stop = host - 2
        host, host_stop, _ = _authority(data, src + 2, stop)
        if host < 0 or last in (_QUESTION, _SEMICOLON):
            return False
    elif first in (_DOT, _QUESTION) or not _is_path(data, src, stop):
        return False
    else:
        prefix_stop = path if first == _SLASH else directory
    size = prefix_stop - link[PAGE] + stop - src - (_AMP.size - 1) * _count(data, _AMP, src, stop)
    if size > max_url or host_stop - host > max_host:
        return False
    for i in range(host, host_stop - 1):
        if data[i] == _DOT and data[i + 1] == _DOT:
            return False
    link[PREFIX], link[PREFIX_STOP] = link[PAGE], prefix_stop
    link[HOST], link[HOST_STOP], link[SIZE] = host, host_stop, size
    return True


@_helper
def _is_path(data, start, stop):
    """Whether this is plain and has no colon, no dot segments and no empty ones."""
    for i in range(start, stop):
        c = data[i]
        if not _IN_PATH[c] or c == _COLON:
            return False
        if c == _SLASH and i + 1 < stop and (data[i + 1] == _SLASH or data[i + 1] == _DOT):
            return False
    return True


@_helper
def _count(data, needle, start, stop):
    n = 0
    at = _find(data, needle, start, stop)
    while at >= 0:
        n += 1
        at = _find(data, needle, at + needle.size, stop)
    return n


@_helper
def _page(data, header, header_stop, start, stop, mark, links, n, max_url, max_host):
    """The number of links with those of one record; `_FULL` if there is no room for them, -1 if it is odd."""
    first = mark
    if data[stop - 1] != _CLOSE or _find(data, _HTML, start, first) < 0:
        return -1
    if _find(data, _LICENSE, start, stop) >= 0:
        return -1
    page, page_stop = _target(data, header, header_stop)
    if page < 0:
        return -1
    host, host_stop, path = _split(data, page, page_stop)
    directory = _directory(data, path, page_stop) if host >= 0 else -1
    end = start
    while mark >= 0:
        opening = mark - 1
        while opening >= end and not (data[opening] == _OPEN and data[opening + 1] == _QUOTE):
            opening -= 1
        if opening < end:
            return -1
        if n == len(links):
            return _FULL
        link = links[n]
        link[START], link[PAGE], link[PAGE_STOP] = opening, page, page_stop
        end = _object(data, opening, stop, mark, link)
        if end < 0:
            return -1
        link[STOP] = end
        if link[FATE] == READY and not _resolve(
            data, link, host, host_stop, path, directory, max_url, max_host
        ):
            link[FATE] = PARSED
        n += 1
        mark = _find(data, _MARK, end, stop)
    # Head, which may hold a base URL, stands before the links or after them
    if _find(data, _BASE, start, first) >= 0 or _find(data, _BASE, end, stop) >= 0:
        return -1
    return n


@_compiled(types.Tuple((ROWS, TABLE))(BYTES, TABLE, INT, INT))
def scan(data, records, max_url, max_host):
    """What becomes of each of `records` (of `frame`), int64[n], and the table of links, int64[m, 15].

    A URL longer than `max_url` bytes and a host longer than `max_host` are not plain.
    """
    fates = np.empty(len(records), np.int64)
    links = np.empty((_ROOM, _COLUMNS), np.int64)
    n = 0
    for i in range(len(records)):
        header, header_stop, start, stop = records[i, 0], records[i, 1], records[i, 2], records[i, 3]
        mark = _find(data, _MARK, start, stop)
        if mark >= 0:
            found = _FULL
            while found == _FULL:
                found = _page(data, header, header_stop, start, stop, mark, links, n, max_url, max_host)
                links = _doubled(links) if found == _FULL else links
            fates[i] = PLAIN if found >= 0 else ODD
            for link in range(n, found):
                links[link, RECORD] = i
            n = max(n, found)
        elif _find(data, _IMAGE, start, stop) >= 0 or _find(data, _HTML, start, stop) >= 0:
            fates[i] = ODD
        else:
            cut_off = stop > start and data[start] == _OPEN and data[stop - 1] != _CLOSE
            fates[i] = ODD if cut_off else NOTHING
    return fates, links[:n].copy()


# ---------- columns


@_compiled(types.Tuple((OFFSETS, CHARACTERS))(BYTES, TABLE, INT, INT))
def gather(data, links, start, stop):
    """The ranges of bytes from column `start` to column `stop` of `links`, as an Arrow array has them."""
    offsets = np.zeros(len(links) + 1, np.int32)
    for i in range(len(links)):
        offsets[i + 1] = offsets[i] + links[i, stop] - links[i, start]
    out = np.empty(offsets[-1], np.uint8)
    for i in range(len(links)):
        _copy(out, offsets[i], data, links[i, start], links[i, stop])
    return offsets, out


@_compiled(types.Tuple((OFFSETS, CHARACTERS))(BYTES, TABLE))
def urls(data, links):
    """The URLs of `links`, put together and `&amp;` decoded, as an Arrow array has them."""
    offsets = np.zeros(len(links) + 1, np.int32)
    for i in range(len(links)):
        offsets[i + 1] = offsets[i] + links[i, SIZE]
    out = np.empty(offsets[-1], np.uint8)
    for i in range(len(links)):
        link = links[i]
        to = _copy(out, offsets[i], data, link[PREFIX], link[PREFIX_STOP])
        at = link[SRC]
        while at < link[SRC_STOP]:
            amp = _find(data, _AMP, at, link[SRC_STOP])
            end = amp + 1 if amp >= 0 else link[SRC_STOP]
            to = _copy(out, to, data, at, end)
            at = amp + _AMP.size if amp >= 0 else end
    return offsets, out
