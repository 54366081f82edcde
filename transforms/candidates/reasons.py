"""Why an image link gives no candidate, and what else is counted on the way.

Both are the names of counts after their prefix: ``drop:REASON`` and ``note:WHAT``.
"""

from enum import StrEnum


class Drop(StrEnum):
    """Why a link (WAT, WARC) or a row (URL list) was dropped. The first that applies is counted."""

    NO_ALT = "no_alt"  #: no alt text, or only white space
    BAD_TEXT = "bad_text"  #: the alt text is not a string
    BAD_ROW = "bad_row"  #: a line of a URL list that cannot be parsed
    NO_URL = "no_url"  #: no URL, or an empty one
    RELATIVE_URL = "relative_url"  #: relative to its page (preset laion5b alone, which does not resolve it)
    DATA_URL = "data_url"  #: the picture is written into the page: data:
    SCHEME = "scheme"  #: any scheme but http and https, such as javascript: or blob:
    BAD_URL = "bad_url"  #: not a URL: no base to resolve it against, broken host or port, bad characters
    LONG_URL = "long_url"  #: longer than `max_url_chars`
    HOST = "host"  #: the host name is longer than `max_host_chars`
    EXCLUDED_FORMAT = "excluded_format"  #: the URL names a format that LAION leaves out: SVG, GIF
    TRACKING_PIXEL = "tracking_pixel"  #: the URL is one of a counter, a beacon or a spacer
    SHORT_TEXT = "short_text"  #: under `min_text_chars` characters after cleaning
    SAME_URL = "same_url"  #: the URL came earlier in this file (preset laion5b alone)
    WITHDRAWN = "withdrawn"  #: its pair, URL or host was taken out of the lake for good (`lake remove`)
    DUPLICATE = "duplicate"  #: the same URL and text came earlier in this run
    KNOWN = "known"  #: the lake has this sample_id already
    ID_COLLISION = "id_collision"  #: another URL or text of this run has the same sample_id


class Note(StrEnum):
    """What happened to records and pages; not part of the sum."""

    UNREADABLE = "unreadable"  #: the file is missing or holds nothing, and the run was told to pass over such
    RECORDS = "records"  #: WARC records whose header could be read
    PAGES = "pages"  #: HTML pages among them
    NO_LINKS = "no_links"  #: HTML pages without any link
    IMAGE_RESPONSES = "image_responses"  #: responses that are pictures (replay takes them from here)
    BAD_GZIP = "bad_gzip"  #: gzip members that could not be inflated to their end
    BAD_RECORD = "bad_record"  #: pieces that do not begin with a WARC header
    BAD_LENGTH = "bad_length"  #: records whose Content-Length is not the length of their block
    OVERSIZED_RECORD = "oversized_record"  #: records longer than `max_record_bytes`, skipped
    BAD_JSON = "bad_json"  #: WAT records that are not JSON; image links that can be cut out are kept
    REPAIRED_JSON = (
        "repaired_json"  #: WAT records with bytes that are not UTF-8, surrogates, control characters
    )
    BAD_HTTP = "bad_http"  #: HTML responses whose body could not be decoded
