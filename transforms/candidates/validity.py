"""Whether a URL is one by Django's `URLValidator`, which LAION asked before it took a link.

Written after the rules of Django 3.2, the release of LAION-5B's time (django/core/validators.py), not after
their form: schemes, one optional user with password, an IPv4 or IPv6 address, ``localhost`` or a host name
with at least one dot and a last label that is not a number, a port, and no white space anywhere.

Two differences, neither seen on a real link: Django from 3.2.20 on refuses more than 2,048 characters,
which LAION's own cut makes moot; and a host name is converted by this Python's IDNA codec (2003) and split by
this Python's `urlsplit`, which since 2021 is stricter about brackets and characters that NFKC changes.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit

MAX_HOST = 253  # characters, RFC 1034 section 3.1, as Django counts them

_BYTE = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_LETTER = "a-z\u00a1-\uffff"  # what Django takes for letters: ASCII's, and all from U+00A1 to U+FFFF
_FIRST = f"[{_LETTER}0-9](?:[{_LETTER}0-9-]{{0,61}}[{_LETTER}0-9])?"
_MIDDLE = rf"(?:\.(?!-)[{_LETTER}0-9-]{{1,63}}(?<!-))*"
_LAST = rf"\.(?!-)(?:[{_LETTER}-]{{2,63}}|xn--[a-z0-9]{{1,59}})(?<!-)\.?"
_HOST = rf"(?:{_BYTE}(?:\.{_BYTE}){{3}}|\[[0-9a-f:.]+\]|{_FIRST}{_MIDDLE}{_LAST}|localhost)"
_USER = r"(?:[^\s:@/]+(?::[^\s:@/]*)?@)?"
_URL = re.compile(rf"[a-z0-9.+-]*://{_USER}{_HOST}(?::\d{{2,5}})?(?:[/?#]\S*)?", re.IGNORECASE)
_IPV6 = re.compile(r"\[(.+)\](?::\d{2,5})?")
_UNSAFE = re.compile(r"[\t\r\n]")


def is_valid(url: str, schemes: Collection[str]) -> bool:
    """Whether Django's validator for `schemes` (in lower case) lets `url` pass."""
    if _UNSAFE.search(url) or url.partition("://")[0].lower() not in schemes:
        return False
    try:
        parts = urlsplit(url)
        passes = _is_valid_ipv6(parts) if _URL.fullmatch(url) else _URL.fullmatch(_in_ascii(parts))
        return bool(passes) and 0 < len(parts.hostname or "") <= MAX_HOST
    except ValueError:  # brackets, the IDNA codec, lone surrogates
        return False


def _in_ascii(parts: SplitResult) -> str:
    """The URL with its host, port and user as IDNA has them: a second chance for names beyond the letters."""
    return parts._replace(netloc=parts.netloc.encode("idna").decode()).geturl()


def _is_valid_ipv6(parts: SplitResult) -> bool:
    """True too where the host is no IPv6 address; raises ValueError where it is a wrong one."""
    address = _IPV6.fullmatch(parts.netloc)
    return not address or bool(ipaddress.IPv6Address(address[1]))
