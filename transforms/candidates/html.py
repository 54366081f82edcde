"""An HTML page's images, base and licence, as a browser's parser sees them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from selectolax.lexbor import LexborHTMLParser, LexborNode

from transforms.candidates import laion
from transforms.candidates.pages import Page, creative_commons, join
from transforms.candidates.rules import CandidateRules

_META = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([a-z0-9_:.-]+)", re.IGNORECASE)
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([a-z0-9_:.-]+)", re.IGNORECASE)
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
# Labels that mean another encoding than they say, and families that mean what they say: the WHATWG
# Encoding Standard. Anything else is not believed: Python's codecs know names that a page must not use.
_ALIASES = {
    "ascii": "cp1252",
    "us-ascii": "cp1252",
    "latin1": "cp1252",
    "iso-8859-1": "cp1252",
    "iso-8859-9": "cp1254",
    "iso-8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "x-sjis": "cp932",
    "sjis": "cp932",
    "euc-kr": "cp949",
    "ks_c_5601-1987": "cp949",
    "x-gbk": "gb18030",
    "utf8": "utf-8",
    "unicode": "utf-16-le",
}
_KNOWN = re.compile(
    r"utf-8|utf-16(?:-le|-be)?|utf-16le|utf-16be|windows-(?:874|125[0-8])|iso-8859-(?:[2-8]|10|1[3-6])|koi8-[ru]|gb18030"
    r"|big5(?:-hkscs)?|euc-jp|iso-2022-jp"
)


def pages(html: bytes, content_type: str, url: str | None, rules: CandidateRules) -> list[Page]:
    """The page at `url` from its bytes and its Content-Type header; images come in document order.

    One `Page`; with `rules.links` = "as_written", what `laion.pages` makes of its images.
    """
    tree = LexborHTMLParser(decode(html, content_type, rules))
    if rules.links == "as_written":
        return [*laion.pages(url, map(_link, tree.css("img, a[href]")), rules)]
    images = [(node.attributes.get("src"), node.attributes.get("alt")) for node in tree.css("img")]
    base = next((node.attributes["href"] for node in tree.css("base[href]")), None)
    links = _links(tree.css('a[href*="creativecommons.org/"], link[href*="creativecommons.org/"]'))
    return [Page(url, join(url, base), creative_commons(links, rules.max_license_chars), images)]


def decode(html: bytes, content_type: str, rules: CandidateRules) -> str:
    """`html` as text: byte order mark, then header, then `<meta>`, then UTF-8, then Windows-1252."""
    for mark, encoding in _BOMS:
        if html.startswith(mark):
            return html[len(mark) :].decode(encoding, "replace")
    header = _CHARSET.search(content_type)
    meta = _META.search(html, 0, rules.max_charset_bytes)
    for label in (header[1] if header else "", meta[1].decode() if meta else ""):
        encoding = _ALIASES.get(label.lower(), "") or (
            label.lower() if _KNOWN.fullmatch(label.lower()) else ""
        )
        if encoding:
            # a meta element that can be read is not UTF-16, whatever it says
            if meta and encoding.startswith("utf-16"):
                encoding = "utf-8"
            return html.decode(encoding, "replace")
    try:
        return html.decode()
    except UnicodeDecodeError:
        return html.decode("cp1252", "replace")


def _link(node: LexborNode) -> dict[str, str | None]:
    """An image or anchor as a WAT record has it; LAION's licences stand in anchors, as a WAT's do."""
    attributes = node.attributes
    if node.tag == "a":
        return {"path": "A@/href", "url": attributes.get("href")}
    return {"path": laion.IMAGE_PATH, "url": attributes.get("src"), "alt": attributes.get("alt")}


def _links(nodes: Iterable[LexborNode]) -> Iterable[tuple[str, str]]:
    for node in nodes:
        yield node.attributes.get("href") or "", node.attributes.get("rel") or ""
