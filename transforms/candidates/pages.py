"""What WAT, WARC and URL lists have in common: pages with images."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import urljoin

_CREATIVE_COMMONS = re.compile(
    r"(?:https?:)?//(?:www\.)?creativecommons\.org/(?:licenses|publicdomain)/[!-~]*", re.IGNORECASE
)


class Page(NamedTuple):
    """A page, or some rows of a URL list, with its images in their order."""

    url: str | None  #: where the page is; None in a URL list
    base: str | None  #: what relative URLs are relative to
    license: str | None  #: see `creative_commons`
    images: list[tuple[Any, Any]]  #: (src, alt) as found: of any type, None where there is none


def creative_commons(links: Iterable[tuple[str, str]], max_chars: int) -> str | None:
    """The licence that a page states, from its (URL, rel) links: rel=license first, else the first.

    LAION takes the last link before an image whose URL holds "creativecommons.org/licenses/" anywhere,
    sharing buttons included, and cuts it at 80 characters.
    """
    found = None
    for url, rel in links:
        if _CREATIVE_COMMONS.fullmatch(url):
            if "license" in rel.lower().split():
                return url[:max_chars]
            found = found or url[:max_chars]
    return found


def join(url: str | None, base: str | None) -> str | None:
    """What relative URLs of the page at `url` are relative to, given its `<base href>`."""
    try:
        return urljoin(url or "", base) if base else url
    except ValueError:
        return url
