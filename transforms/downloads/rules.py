"""What a download is held to (`DownloadRules`), and the way to the network (`Network`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ResizeMode = Literal["no", "border", "keep_ratio", "keep_ratio_largest", "center_crop"]
"""img2dataset's names.

- ``keep_ratio``: the shorter side becomes `size`;
- ``center_crop``: the same, then the middle square is cut out (LAION-5B: 224, `dbdl.py`);
- ``keep_ratio_largest``: the longer side becomes `size`;
- ``border``: the same, then padded with white to a square;
- ``no``: the picture keeps its size.
"""

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP")
"""Formats that LAION-5B took (`dbdl.py`); it refused GIF, TIFF and everything else."""

KNOWN_FORMATS = (*IMAGE_FORMATS, "GIF")
"""Formats that a lake may take; there is no decoder for others."""

OPT_OUT_DIRECTIVES = ("noai", "noimageai", "noml", "noindex", "noimageindex", "none")
"""X-Robots-Tag directives that refuse this use: img2dataset's four, `noml` (asked for in its issue 365)
and `none`, which Google's robots meta tag specification defines as `noindex, nofollow`."""

MAX_SCANS = 500
"""Scans of a progressive JPEG: libjpeg-turbo's own limit where it is fuzzed. Each passes over all pixels."""

MAX_SIDE: Mapping[str, int] = {"JPEG": 65_500, "WEBP": 16_383, "PNG": 2**31 - 1}
"""Longest side of each output format: libjpeg's JPEG_MAX_DIMENSION, WebP's and PNG's specifications."""

PRODUCT = "pairlake"
"""The name by which answers in archives may address us, where no user agent was sent."""

ROBOTS_BYTES = 500 * 1024
"""How much of a robots.txt or tdmrep.json is read: the least that RFC 9309 section 2.5 allows."""

ROBOTS_REDIRECTS = 5
"""Redirects followed to a robots.txt: RFC 9309 section 2.3.1.2."""

POLICY_SECONDS = 24 * 3600.0
"""How long a robots.txt is believed: RFC 9309 section 2.4."""

POLICY_HOSTS = 4096
"""Hosts whose robots.txt and tdmrep.json a process remembers from one partition to the next (ours)."""

POLICY_BYTES = 16 * 1024 * 1024
"""Bytes of these files, as they were sent, that it remembers (ours: some ten times as much in memory)."""

MAX_DELAY_SECONDS = 30.0
"""Longest Crawl-delay that is kept to: a longer one counts as this (ours: RFC 9309 does not know the line,
and one of a day would hold up a crawl for years)."""

HEADERS = 128
"""Header lines of an answer, and `HEADER_BYTES` of each: aiohttp's limits, stated."""
HEADER_BYTES = 8190

DNS_SECONDS = 300.0
"""How long an address is believed (ours: the system's resolver does not tell what DNS allows; common TTLs
are 300 s, and what is forbidden is checked at every use)."""
DNS_FAILED_SECONDS = 30.0
"""How long it is believed that a name has none (ours)."""
DNS_NAMES = 65_536
"""Names that a process remembers (ours: some 20 MB)."""
DNS_THREADS = 64
"""Names looked up at a time (ours: as many as `in_flight`, so that dead names delay none)."""


@dataclass(frozen=True)
class DownloadRules:
    """Every number that decides what becomes of a URL; part of the stage's fingerprint.

    Raises ValueError where `formats` names none that we know, or `quality` is not 1 to 100.
    """

    connect_seconds: float = 20.0
    """to resolve the name, connect and shake hands (LAION-5B, `dbdl.py`: 20)"""
    read_seconds: float = 10.0
    """between two pieces of the answer (LAION-5B, `dbdl.py`: 10)"""
    total_seconds: float = 60.0
    """for one try with its redirects, waiting for our own limits not counted (ours: LAION had none)"""
    min_bytes_per_second: int = 1_000
    """least mean rate of a body, once it has taken `grace_seconds` (ours)"""
    grace_seconds: float = 5.0
    """time that a body may take at any rate (ours)"""
    max_bytes: int = 20 * 1024 * 1024
    """of a body, as sent and once decoded (ours: LAION had none)"""
    min_bytes: int = 5_000
    """of a file (LAION-5B, `dbdl.py`: 5,000)"""
    max_pixels: int = 89_478_484
    """width times height in the picture's header (LAION-5B, `dbdl.py`)"""
    min_side: int = 0
    """pixels of the shorter side of the original; 0 for no limit (as img2dataset; LAION: none)"""
    max_aspect_ratio: float = 0.0
    """longer side over shorter side of the original; 0 for no limit (as img2dataset; LAION: none)"""
    formats: tuple[str, ...] = IMAGE_FORMATS
    """formats of files that are taken, of JPEG, PNG, WEBP and GIF (LAION-5B, `dbdl.py`)"""
    redirects: int = 10
    """redirects followed (as Python's urllib, with which img2dataset fetches)"""
    retries: int = 1
    """further tries in one attempt, where a failure may pass (img2dataset issue 361: success 56 to 77 %)"""
    retry_seconds: float = 1.0
    """wait before the first retry, doubled for each further one (ours)"""
    max_retry_seconds: float = 30.0
    """longest wait before a retry: a Retry-After beyond it ends the attempt (ours)"""
    host_failures: int = 16
    """requests in a row that a host did not answer, after which the rest of its URLs is put off (ours: each
    may cost `total_seconds` twice, and a dead host has thousands)"""
    honour_robots_txt: bool = True
    """ask robots.txt first, as RFC 9309 says"""
    ask_tdmrep: bool = True
    """ask each host's /.well-known/tdmrep.json as well (TDM Reservation Protocol)"""
    honour_opt_outs: bool = True
    """refuse pictures whose headers or host opt out; the signals seen are stored either way"""
    opt_out_directives: tuple[str, ...] = OPT_OUT_DIRECTIVES
    """X-Robots-Tag directives that count as an opt-out"""
    resize_mode: ResizeMode = "keep_ratio"
    """how pictures are resized (img2dataset's usual for CLIP training)"""
    only_if_bigger: bool = True
    """leave pictures alone that are smaller than wanted (img2dataset's resize_only_if_bigger)"""
    size: int = 256
    """pixels of the side that `resize_mode` speaks of (img2dataset's default)"""
    format: Literal["JPEG", "WEBP", "PNG"] = "JPEG"
    """encoding of the stored picture (img2dataset's default)"""
    quality: int = 95
    """of the stored picture; PNG has none, it loses nothing (img2dataset's default)"""

    def __post_init__(self) -> None:
        unknown = [name for name in self.formats if name not in KNOWN_FORMATS]
        if unknown or not self.formats:
            raise ValueError(f"formats = {list(self.formats)}: expected some of {', '.join(KNOWN_FORMATS)}")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality = {self.quality}: expected 1 to 100")


@dataclass(frozen=True)
class HashLists:
    """Lists of what must not be stored, and of what must come (`transforms.downloads.refused`).

    They hold for what is fetched from now on and make no row stale: a list that grows every week must not
    ask for everything to be fetched again. Each batch's lineage says which lists it was held against.

    Raises ValueError for a distance over 15, at which every other picture is like every other.
    """

    files: tuple[str, ...] = ()
    """paths or URLs, as workers see them"""
    expected: tuple[str, ...] = ()
    """parquet files of URLs and the digest that each one's file must have, as their publisher recorded it"""
    phash_distance: int = 4
    """bits in which a perceptual hash may differ from one in a list, of 64 (ours: of 300 photos none differed
    in more from the hash that the package ImageHash gives the original)"""

    def __post_init__(self) -> None:
        if not 0 <= self.phash_distance <= 15:
            raise ValueError(f"phash_distance = {self.phash_distance}: expected 0 to 15")


_AGENT = re.compile(r"[A-Za-z][A-Za-z_-]*(/\S+)? \(.*(https?://|mailto:|@).*\)")


UNNAMED = "Pairlake (no contact: servers of our own alone are asked)"
"""Sent where no user agent is set, which is so only for `Network.resolve` and loopback."""


@dataclass(frozen=True)
class Network:
    """How this machine reaches the web; decides nothing about the data and is not in the fingerprint.

    Raises ValueError if `user_agent` is not of the form "Name/version (+https://contact)": those who are
    crawled must be able to tell who it is and to complain.
    """

    user_agent: str | None = None
    """sent with every request; its first word, without the version, is the name looked for in robots.txt.
    Without one, only hosts in `resolve` and loopback addresses are asked"""
    resolve: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """host name or pattern ("*.test") -> (address, port) to connect to, unvetted, instead of asking DNS"""
    allow_loopback: bool = False
    """let loopback addresses pass, on any port where the URL itself names one"""
    in_flight: int = 64
    """answers being read or decoded at a time, per worker: bounds memory, with `max_bytes`"""
    per_host: int = 4
    """requests to one host at a time, in the whole run (ours: browsers use 6)"""
    host_delay_seconds: float = 0.1
    """between the starts of two requests to one host (ours); its robots.txt may ask for more (Crawl-delay)"""
    ca_file: str | None = None
    """certificates to trust instead of the system's (PEM)"""

    def __post_init__(self) -> None:
        if self.user_agent is not None and not _AGENT.fullmatch(self.user_agent):
            raise ValueError(
                f"user agent {self.user_agent!r} names no contact: write it as 'Name/version (+https://contact)'"
            )

    @property
    def product(self) -> str:
        """The name that robots.txt and X-Robots-Tag know us by, in lower case."""
        return re.split(r"[/ ]", self.user_agent or PRODUCT, maxsplit=1)[0].lower()

    @property
    def is_open(self) -> bool:
        """Whether nothing says that the servers asked are our own."""
        return not (self.resolve or self.allow_loopback)
