"""LAION-5B's own way with links, bug for bug: which of a page it took, and which of their URLs.

After rvencu/crawlingathome-gpu-hcloud, ``ccpp.py``. There a line that is no JSON, a link without a string for
its URL, or a lone surrogate in a URL lost the whole file; here they lose themselves. It doubled every
backslash for Postgres' COPY, which halves them again: here they stay as they are.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

from transforms.candidates.pages import Page
from transforms.candidates.reasons import Drop
from transforms.candidates.rules import CandidateRules
from transforms.candidates.validity import is_valid

IMAGE_PATH = "IMG@/src"
_LICENSE = "creativecommons.org/licenses/"
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)


def pages(url: str | None, links: Iterable[dict[str, Any]], rules: CandidateRules) -> Iterator[Page]:
    """The links with an alt text, of any kind, of the page at `url`: one `Page` per licence in force.

    `links` are the page's in their order, with path, url and alt as a WAT record has them; images without
    alt come too, to be counted. The licence of a link is the last one before it.
    """
    base = posixpath.dirname(url or "")
    license: str | None = None
    found: list[tuple[Any, Any]] = []
    for link in links:
        target = link.get("url")
        if isinstance(target, str) and _LICENSE in target:
            if found:
                yield Page(url, base, license, found)
            license, found = target[: rules.max_license_chars].replace("\n", ""), []
        if "alt" in link or link.get("path") == IMAGE_PATH:
            found.append((target, link.get("alt")))
    if found:
        yield Page(url, base, license, found)


def resolver(
    rules: CandidateRules, refuse: Callable[[str, str, str], Drop | None]
) -> Callable[[str, str | None], tuple[str, str] | Drop]:
    """A function from (URL as written, base) to (URL, host) or the reason to drop it.

    `refuse` gives the reason to leave out a (URL, host, path and query), None for most.

    The URL is cut, then has to be valid as it stands (`validity.is_valid`), and only then is made absolute:
    so every relative one is lost, and what `urljoin` changes is the case of "HTTP://".
    """

    def resolve(src: str, base: str | None) -> tuple[str, str] | Drop:
        url = src[: rules.max_url_chars].replace("\n", "")
        if not is_valid(url, rules.schemes):
            return _refusal(url, rules)
        try:
            url.encode()
        except UnicodeEncodeError:
            return Drop.BAD_URL
        parts = urlsplit(url)
        host = parts.hostname or ""
        if reason := refuse(url, host, f"{parts.path}?{parts.query}"):
            return reason
        return url if url.startswith("http") else urljoin(base or "", url), host

    return resolve


def _refusal(url: str, rules: CandidateRules) -> Drop:
    """Why `url` is not valid, as far as its scheme tells."""
    scheme = _SCHEME.match(url)
    if not scheme:
        return Drop.RELATIVE_URL
    if scheme[1].lower() == "data":
        return Drop.DATA_URL
    return Drop.BAD_URL if scheme[1].lower() in rules.schemes else Drop.SCHEME
