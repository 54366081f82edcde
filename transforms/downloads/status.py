"""What can become of an attempt to fetch a URL."""

from __future__ import annotations

from enum import StrEnum


class DownloadStatus(StrEnum):
    """The `status` column of the downloads table: success, or the reason why there is no picture."""

    SUCCESS = "success"
    """the picture was fetched, decoded and stored"""
    BAD_URL = "bad_url"
    """the URL, or one it redirects to, is no valid http or https URL"""
    FORBIDDEN_ADDRESS = "forbidden_address"
    """the host's address is not public (private, loopback, link-local, …), or the port is not allowed"""
    DNS = "dns"
    """the host name has no address"""
    CONNECT = "connect"
    """no connection could be made"""
    TLS = "tls"
    """the server's certificate is not valid for the host, or the handshake failed"""
    TIMEOUT = "timeout"
    """a deadline passed, or the answer came slower than the least rate"""
    RESET = "reset"
    """the server closed the connection before its answer began"""
    TRUNCATED = "truncated"
    """the body ended before it was complete: connection closed, or fewer bytes than announced"""
    BAD_RESPONSE = "bad_response"
    """the answer breaks HTTP, or its content encoding is unknown or damaged"""
    HTTP_ERROR = "http_error"
    """the answer's code is not 200; it stands in `http_status`"""
    TOO_MANY_REDIRECTS = "too_many_redirects"
    """more redirects than allowed, a loop for instance"""
    ROBOTS_DISALLOWED = "robots_disallowed"
    """robots.txt forbids it, or could not be read"""
    OPT_OUT = "opt_out"
    """the answer's headers, the host's tdmrep.json or the picture's Content Credentials refuse this use"""
    TOO_SMALL = "too_small"
    """the file has fewer bytes than the least allowed"""
    TOO_LARGE = "too_large"
    """the file has more bytes than allowed, as sent or once decoded"""
    LISTED = "listed"
    """the URL, the file or its perceptual hash is on a list of what must not be stored; `error` says which"""
    UNEXPECTED = "unexpected"
    """the file has not the digest that a list of expected ones has for its URL; `error` says which kind"""
    NOT_IMAGE = "not_image"
    """the body is no picture in any format that we know"""
    REFUSED_FORMAT = "refused_format"
    """a picture in a format that is not taken"""
    TOO_MANY_PIXELS = "too_many_pixels"
    """the picture's header announces more pixels than allowed"""
    TOO_NARROW = "too_narrow"
    """the picture's shorter side has fewer pixels than the least allowed"""
    TOO_LONG = "too_long"
    """the picture's longer side is more times its shorter side than allowed"""
    BAD_IMAGE = "bad_image"
    """a picture that cannot be decoded: cut short or damaged"""
    PUT_OFF = "put_off"
    """not asked for: its host did not answer many times in a row, or asked us to wait for long"""
    NOT_ARCHIVED = "not_archived"
    """replay and imports only: the archives, or the shard, hold no answer for the URL"""


class DownloadError(Exception):
    """One URL gives no picture: the `status` and the `error` line that its row gets.

    `transient` says that another try may go better, `wait` for how many seconds the server asked us to wait.
    """

    def __init__(
        self, status: DownloadStatus, error: str, *, transient: bool = False, wait: float | None = None
    ) -> None:
        super().__init__(status, error)
        self.status = status
        self.error = error
        self.transient = transient
        self.wait = wait


UNNAMED_CRAWLER = (
    "the open web is not crawled without a name: set `user_agent` in section [network] of lake.toml, "
    'such as "Yourname/1.0 (+https://your.example/contact)", so that those who are crawled can reach you'
)


class UnnamedCrawlerError(Exception):
    """A host of the open web would be asked, and no user agent with a contact is set."""
