"""What a small web is made of: pages that show pictures, and the answers that its hosts give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import pyarrow as pa

TRUTH = pa.schema(
    [
        pa.field("page_url", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("text", pa.string()),
        pa.field("language", pa.string()),
        pa.field("right", pa.bool_()),
    ]
)
"""Columns of `Web.truth`."""


@dataclass(frozen=True)
class Answer:
    """What a host answers to one path."""

    status: int = 200
    media_type: str = "text/html; charset=utf-8"
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    wait: float = 0.0  # seconds before the first byte
    cut: int | None = None  # bytes after which the connection ends, fewer than Content-Length says


@dataclass(frozen=True)
class Link:
    """An `<img>` of a page, and the truth about it."""

    src: str  # as the page means it; its HTML has `&` as `&amp;`
    alt: str | None  # None: the attribute is missing
    kind: str  # which of the web's habits it shows
    url: str | None  # absolute; None where there is nothing to fetch
    text: str | None = None  # what a clean reading makes of alt; None where it is empty or too short
    language: str | None = None  # the sentence's
    right: bool | None = None  # whether the text says what the picture shows; None where either is missing


@dataclass(frozen=True)
class Page:
    """One page and its images, in order."""

    url: str
    title: str
    language: str
    links: tuple[Link, ...]
    base: str | None = None
    license: str | None = None

    @property
    def html(self) -> bytes:
        """The page as its host serves it, UTF-8."""
        base = f'\n<base href="{escape(self.base)}">' if self.base else ""
        license_link = (
            f'\n<p><a rel="license" href="{escape(self.license)}">CC BY 4.0</a></p>' if self.license else ""
        )
        images = "\n".join(f"<p>{_image(link)}</p>" for link in self.links)
        return (
            f'<!DOCTYPE html>\n<html lang="{self.language}">\n<head>\n<meta charset="utf-8">'
            f"\n<title>{escape(self.title)}</title>{base}\n</head>\n<body>\n<h1>{escape(self.title)}</h1>"
            f'\n<p><a href="/">{escape(self.title)}</a></p>\n{images}{license_link}\n</body>\n</html>\n'
        ).encode()


@dataclass(frozen=True)
class Web:
    """Pages in the order in which they were crawled, and every answer by (host, path with query)."""

    pages: tuple[Page, ...]
    answers: Mapping[tuple[str, str], Answer]

    @property
    def truth(self) -> pa.Table:
        """One row for each image link, in crawl order, of schema `TRUTH`.

        `url` is the resolved URL and `text` the cleaned caption, so that (url, text) joins to candidates.
        `right` is whether the caption says what is in the picture; NULL where either is missing.
        """
        rows = [
            {
                "page_url": page.url,
                "kind": link.kind,
                "url": link.url,
                "text": link.text,
                "language": link.language,
                "right": link.right,
            }
            for page in self.pages
            for link in page.links
        ]
        return pa.Table.from_pylist(rows, schema=TRUTH)


def _image(link: Link) -> str:
    alt = "" if link.alt is None else f' alt="{escape(link.alt)}"'
    return f'<img src="{escape(link.src)}"{alt}>'
