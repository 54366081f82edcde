"""One HTTP request at a time: within its deadlines and limits, to a vetted address, no redirects."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from transforms.downloads.resolve import ForbiddenAddressError, VettedResolver
from transforms.downloads.rules import HEADER_BYTES, HEADERS, UNNAMED, DownloadRules, Network
from transforms.downloads.status import DownloadError, DownloadStatus

Headers = CIMultiDictProxy[str]

_KEEP_ALIVE = 5.0  # seconds: thousands of hosts are asked once and must not hold sockets
_REQUEST_HEADERS = {
    "Accept": "image/jpeg, image/png, image/webp, image/gif, */*;q=0.1",
    "Accept-Encoding": "identity",  # pictures do not compress, and bombs do
}


@dataclass(frozen=True)
class Answer:
    """What came back; `body` is empty unless `status` is 200, and still encoded as its headers say."""

    status: int
    headers: Headers
    body: bytes

    @property
    def encoding(self) -> str:
        """All Content-Encoding headers as one list."""
        return ",".join(self.headers.getall("Content-Encoding", []))


class Client:
    """The connections of one partition."""

    def __init__(self, rules: DownloadRules, network: Network) -> None:
        self._rules = rules
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=VettedResolver(network),
                use_dns_cache=False,  # the resolver has its own
                ssl=ssl.create_default_context(cafile=network.ca_file) if network.ca_file else True,
                limit=0,  # `Hosts` is the limit
                keepalive_timeout=_KEEP_ALIVE,
            ),
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=rules.connect_seconds,
                sock_connect=rules.connect_seconds,
                sock_read=rules.read_seconds,
            ),
            headers={**_REQUEST_HEADERS, "User-Agent": network.user_agent or UNNAMED},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # done within a limit, by `decoded`
            max_line_size=HEADER_BYTES,
            max_field_size=HEADER_BYTES,
            max_headers=HEADERS,
        )

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def get(
        self,
        url: URL,
        seconds: float,
        limit: int,
        judge: Callable[[int, Headers], None] | None = None,
    ) -> Answer:
        """The answer to a request for `url`, within `seconds`, with no more than `limit` bytes of body.

        The head is given to `judge`, which may raise, before the body is read. Without one a body over the
        limit is cut instead of refused. Raises DownloadError.
        """
        in_body = False
        try:
            async with asyncio.timeout(seconds), self._session.get(url, allow_redirects=False) as response:
                if judge is not None:
                    judge(response.status, response.headers)
                if response.status != 200:
                    return Answer(response.status, response.headers, b"")
                if judge is not None and (response.content_length or 0) > limit:
                    raise DownloadError(DownloadStatus.TOO_LARGE, f"more than {limit} bytes announced")
                in_body = True
                body = await self._read(response, limit, cut=judge is None)
                return Answer(response.status, response.headers, body)
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            raise explained(error, in_body) from error

    async def _read(self, response: aiohttp.ClientResponse, limit: int, cut: bool) -> bytes:
        rules, loop = self._rules, asyncio.get_running_loop()
        begin, size, pieces = loop.time(), 0, []
        async for piece in response.content.iter_any():
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                if cut:
                    break
                raise DownloadError(DownloadStatus.TOO_LARGE, f"more than {limit} bytes")
            taken = loop.time() - begin
            if taken > rules.grace_seconds and size < taken * rules.min_bytes_per_second:
                raise DownloadError(
                    DownloadStatus.TIMEOUT, f"under {rules.min_bytes_per_second} bytes per second"
                )
        return b"".join(pieces)[:limit]


def explained(error: aiohttp.ClientError | OSError, in_body: bool) -> DownloadError:
    """Which failure an error of the client or the system is. The line has no address, time or host in it."""
    status = DownloadStatus
    if isinstance(error, TimeoutError):  # first: aiohttp's are connection errors too
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return DownloadError(status.TIMEOUT, "no connection in time")
        if isinstance(error, aiohttp.SocketTimeoutError):
            return DownloadError(status.TIMEOUT, "no data in time")
        return DownloadError(status.TIMEOUT, "not done in time")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return _unresolved(error.os_error)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return DownloadError(status.TLS, "certificate is not valid")
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return DownloadError(status.TLS, "handshake failed")
    if isinstance(error, aiohttp.ClientConnectorError):
        name = errno.errorcode.get(error.os_error.errno or 0, "no address answered")
        return DownloadError(status.CONNECT, name, transient=True)
    if isinstance(error, aiohttp.InvalidURL):
        return DownloadError(status.BAD_URL, "not a valid URL")
    if isinstance(error, aiohttp.ClientResponseError):
        return DownloadError(status.BAD_RESPONSE, "not a valid HTTP answer")
    if in_body:
        return DownloadError(status.TRUNCATED, "body ended before it was complete", transient=True)
    return DownloadError(status.RESET, "connection closed by the server", transient=True)


def _unresolved(error: OSError) -> DownloadError:
    if isinstance(error, ForbiddenAddressError):
        return DownloadError(DownloadStatus.FORBIDDEN_ADDRESS, "address is not public")
    if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
        return DownloadError(DownloadStatus.DNS, "name servers did not answer", transient=True)
    return DownloadError(DownloadStatus.DNS, "name has no address")
