"""The numbers and names that decide which image links become candidates, each with its source.

Two sets of them have names: `PRESETS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

MIB = 1 << 20


@dataclass(frozen=True)
class CandidateRules:
    """The rules of extraction; the defaults are the preset "pairlake".

    "LAION" below means rvencu/crawlingathome-gpu-hcloud, ``ccpp.py``, the code that made LAION-5B's
    candidates. Values are JSON-able (`dataclasses.asdict`), as they go into the stage's fingerprint.
    """

    # Which links of a page, and under which licence. "images": its images, with the page's licence, URLs
    # without the `&amp;` of HTML. "as_written", LAION: every link that has an alt text, with the last licence
    # before it, URLs as a WAT has them: 16 of 1,000 rows that LAION published hold "&amp;".
    links: Literal["images", "as_written"] = "images"
    # What is made of a URL. "resolved": as browsers do, from the page's address and its <base>; too long ones
    # are dropped. "validated", LAION: cut, then asked of Django's URLValidator (`validity`), then resolved.
    urls: Literal["resolved", "validated"] = "resolved"
    # Whether a URL keeps its first text of a file alone. LAION: yes.
    one_row_per_url: bool = False
    # Whether a text with a quotation mark is kept as CSV writes it. LAION, by accident: so are all 27 such
    # texts of 1,000 rows that it published, so the score files' keys are made of such texts.
    quote_texts: bool = False

    # Text
    # Fewest characters of a cleaned text. LAION.
    min_text_chars: int = 5
    # Where a cleaned text is cut, in characters. LAION.
    max_text_chars: int = 2_000
    # How much of an alt text is looked at, in characters; ours: bounds the work on a 10 MB alt. LAION: all.
    max_raw_text_chars: int = 20_000

    # URL
    # Longest URL in characters. LAION cuts there, which makes another URL of it; we drop.
    max_url_chars: int = 2_000
    # Longest host name in characters. LAION.
    max_host_chars: int = 60
    # URL schemes that are fetched. cc2dataset; LAION's validator takes ftp and ftps as well.
    schemes: tuple[str, ...] = ("http", "https")
    # Formats left out where the path or the query names them. LAION drops ".svg" and ".gif" anywhere in
    # the URL, so that it loses "www.gifts.example" too; svgz is the compressed form of SVG.
    excluded_extensions: tuple[str, ...] = ("svg", "svgz", "gif")
    # Left out where the URL holds them anywhere, in this case. LAION: see `PRESETS`.
    excluded_substrings: tuple[str, ...] = ()
    # Hosts, their subdomains included, whose pictures count visitors. Ours: the oldest and largest
    # services that EasyPrivacy (easylist.to) blocks whole.
    tracking_hosts: tuple[str, ...] = (
        "2o7.net",
        "adnxs.com",
        "bat.bing.com",
        "bigmir.net",
        "counter.rambler.ru",
        "counter.yadro.ru",
        "doubleclick.net",
        "google-analytics.com",
        "hit.gemius.pl",
        "hit.ua",
        "imrworldwide.com",
        "mc.yandex.ru",
        "omtrdc.net",
        "pixel.wp.com",
        "quantserve.com",
        "scorecardresearch.com",
        "statcounter.com",
        "stats.wordpress.com",
        "top-fwz1.mail.ru",
    )
    # Regular expressions on path and query in lower case, of beacons and spacers; each begins with "/". Ours,
    # after the general patterns of EasyPrivacy and the file names that page makers gave to their spacers.
    tracking_paths: tuple[str, ...] = (
        r"/tr/?\?",
        r"/b/ss/",
        r"/(?:matomo|piwik)\.php",
        r"/__utm\.",
        r"/(?:blank|clear|dot|pixel|shim|spacer|trans|transparent)[_-]?(?:1x1)?\.(?:png|jpe?g|webp)(?:$|\?)",
        r"/1x1[^/]{0,16}\.(?:png|jpe?g|webp)(?:$|\?)",
    )
    # Longest licence URL in characters. LAION.
    max_license_chars: int = 80

    # Language: CLD3 as LAION called it, NNetLanguageIdentifier(min_num_bytes=5, max_num_bytes=2000).
    language_min_bytes: int = 5
    language_max_bytes: int = 2_000
    # Codes of languages. "current": those of BCP 47 today, Hebrew as he; "cld3", LAION: as CLD3 has them, iw.
    language_codes: Literal["current", "cld3"] = "current"

    # URL lists: the first of these columns that the file has.
    url_columns: tuple[str, ...] = ("url", "URL")
    text_columns: tuple[str, ...] = ("text", "TEXT", "caption")

    # Crawl files
    # Longest record kept in memory, in bytes once inflated. Ours: Common Crawl cuts a page at 5 MiB
    # (1 MiB before 2025), and a WAT record of it stays below twice that.
    max_record_bytes: int = 16 * MIB
    # Where `<meta charset>` is looked for, in bytes. Ours: twice what the HTML standard asks for.
    max_charset_bytes: int = 2_048
    # Longest WARC or HTTP header block, in bytes. Ours: twice the limit that common servers set.
    max_header_bytes: int = MIB // 16


PRESETS: Mapping[str, CandidateRules] = {
    "pairlake": CandidateRules(),
    # LAION-5B's candidates, bug for bug: what `CandidateRules` says of LAION, and nothing of our own
    "laion5b": CandidateRules(
        links="as_written",
        urls="validated",
        one_row_per_url=True,
        quote_texts=True,
        language_codes="cld3",
        max_raw_text_chars=16 * MIB,
        schemes=("http", "https", "ftp", "ftps"),
        excluded_extensions=(),
        excluded_substrings=(".svg", ".gif", "data:image", "javascript:"),
        tracking_hosts=(),
        tracking_paths=(),
    ),
}
