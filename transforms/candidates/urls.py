"""From an `<img src>` as written to the URL that is fetched, or the reason why there is none."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from urllib.parse import urljoin, urlsplit

from transforms.candidates import laion
from transforms.candidates.reasons import Drop
from transforms.candidates.rules import CandidateRules

# A URL that needs no work: lower-case ASCII host, no user, nothing to encode, no fragment
_AFTER_SCHEME = r"://([a-z0-9][a-z0-9._-]*)(?::\d{1,4})?(/[!$-\[\]_a-z|~]*)?"
_PLAIN = re.compile("https?" + _AFTER_SCHEME)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_AUTHORITY = re.compile(r"//[^/?#]")
_HOST = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\]")
# What browsers take off both ends (WHATWG URL, basic URL parser)
_EDGE = "".join(map(chr, range(0x21)))
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def resolver(
    rules: CandidateRules,
) -> Callable[[str, str | None], tuple[str, str] | Drop]:
    """A function from (src, base) to (URL, host) or the reason to drop it.

    `base` is an absolute URL, None where there is none. An absolute URL stays as it was written, spaces and
    upper case included, as it is half of the key that LAION's tables join by; only white space around it
    and control characters go, as in browsers. The host comes in lower case and in its ASCII form (IDNA). A
    URL with user or password is no URL for us: nobody meant to publish it. That is how `rules.urls` =
    "resolved" reads a URL; "validated" is `laion.resolver`.
    """
    refuse = _refuser(rules)
    if rules.urls == "validated":
        return laion.resolver(rules, refuse)
    plain_url = re.compile(f"(?:{'|'.join(rules.schemes)}){_AFTER_SCHEME}")

    def resolve(src: str, base: str | None) -> tuple[str, str] | Drop:
        url = src if src.startswith("http") else _joined(src, base)
        plain = plain_url.fullmatch(url)
        if plain:
            host, rest = plain[1], plain[2] or ""
        else:
            parts = _absolute(src, base, rules)
            if isinstance(parts, Drop):
                return parts
            url, host, rest = parts
        if len(url) > rules.max_url_chars:
            return Drop.LONG_URL
        return refuse(url, host, rest) or (url, host)

    return resolve


def _refuser(rules: CandidateRules) -> Callable[[str, str, str], Drop | None]:
    """A function from (URL, host, path and query) to why it is left out, None where it is not."""
    excluded = _any(rf"\.(?:{'|'.join(rules.excluded_extensions)})(?![a-z0-9])", rules.excluded_extensions)
    anywhere = _any("|".join(map(re.escape, rules.excluded_substrings)), rules.excluded_substrings)
    beacon = _any("|".join(rules.tracking_paths), rules.tracking_paths)
    counters = frozenset(rules.tracking_hosts)

    @lru_cache(maxsize=1 << 14)
    def host_reason(host: str) -> Drop | None:
        if len(host) > rules.max_host_chars:
            return Drop.HOST
        if rules.urls == "resolved" and not _HOST.fullmatch(host):
            return Drop.BAD_URL
        labels = host.rstrip(".").split(".")
        if any(".".join(labels[i:]) in counters for i in range(len(labels))):
            return Drop.TRACKING_PIXEL
        return None

    def refuse(url: str, host: str, rest: str) -> Drop | None:
        if reason := host_reason(host):
            return reason
        rest = rest.lower()
        if excluded.search(rest) or anywhere.search(url):
            return Drop.EXCLUDED_FORMAT
        return Drop.TRACKING_PIXEL if beacon.search(rest) else None

    return refuse


def _any(pattern: str, given: Sequence[str]) -> re.Pattern[str]:
    """`pattern`, made of the texts `given`; of none, one that matches nothing."""
    return re.compile(pattern if given else r"(?!)")


def _joined(src: str, base: str | None) -> str:
    """`urljoin(base, src)` for the three common cases, "" for any that needs a closer look.

    A path within the host ("/a/b.jpg") or beside the page ("b.jpg"), without dot segments; another host
    ("//b.example/b.jpg").
    """
    if base and src.startswith("//") and not src.endswith(("?", ";")):
        return _places(base)[0].partition("/")[0] + src
    if not base or not src or src[0] in ".?#" or "/." in src or "//" in src or ":" in src:
        return ""
    origin, directory = _places(base)
    return (origin if src[0] == "/" else directory) + src if origin else ""


@lru_cache(maxsize=1 << 10)
def _places(base: str) -> tuple[str, str]:
    """Origin without and directory with a slash at the end of a plain base URL; "" for any other."""
    plain = _PLAIN.fullmatch(base)
    if not plain or not plain[2] or "/." in plain[2] or "//" in plain[2]:
        return "", ""
    path = base.partition("?")[0]
    return base[: plain.start(2)], path[: path.rindex("/") + 1]


def _absolute(src: str, base: str | None, rules: CandidateRules) -> tuple[str, str, str] | Drop:
    """(URL, host, path and query) of `src` seen from `base`, or why there is none."""
    src = _CONTROL.sub("", src.strip(_EDGE))
    if not src:
        return Drop.NO_URL
    scheme = _SCHEME.match(src)
    if scheme and scheme[1].lower() == "data":
        return Drop.DATA_URL
    if scheme and scheme[1].lower() not in rules.schemes:
        return Drop.SCHEME
    if scheme and not _AUTHORITY.match(src, scheme.end()):
        return Drop.BAD_URL
    if len(src) > 2 * rules.max_url_chars:  # before work that grows with its length
        return Drop.LONG_URL
    try:
        url = src if scheme else urljoin(base or "", src.replace("\\", "/"))
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
        if not host.isascii():
            host = host.encode("idna").decode().lower()
        url.encode()
    except ValueError:  # broken brackets or port; what the IDNA codec and lone surrogates raise is one too
        return Drop.BAD_URL
    if parts.scheme not in rules.schemes:
        return Drop.SCHEME if parts.scheme else Drop.BAD_URL
    if not host or "@" in parts.netloc:
        return Drop.BAD_URL
    return url, f"[{host}]" if ":" in host else host, f"{parts.path}?{parts.query}"
