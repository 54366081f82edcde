"""Pictures over HTTP: a partition's URLs at once, in one event loop, each within its limits."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from transforms.downloads.encoding import decoded
from transforms.downloads.outcome import Outcome
from transforms.downloads.policy import Robots, RobotsCache, opt_outs, parse_robots, refuse_opt_outs
from transforms.downloads.resolve import ForbiddenAddressError, VettedResolver, parsed, target
from transforms.downloads.rules import ROBOTS_BYTES, ROBOTS_REDIRECTS, DownloadRules, Network
from transforms.downloads.status import DownloadError, DownloadStatus

_Headers = CIMultiDictProxy[str]
_DECODERS = 2  # threads for decoding, per partition: Pillow works outside the interpreter's lock
_PIECE = 64 * 1024
_KEEP_ALIVE = 5.0  # seconds: thousands of hosts are asked once and must not hold sockets
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_OUT_OF_REACH = frozenset(
    {
        DownloadStatus.FORBIDDEN_ADDRESS,
        DownloadStatus.DNS,
        DownloadStatus.CONNECT,
        DownloadStatus.TLS,
        DownloadStatus.TIMEOUT,
        DownloadStatus.RESET,
    }
)
_PASSING = frozenset({429, 500, 502, 503, 504})  # codes that another try may not meet
_REQUEST_HEADERS = {
    "Accept": "image/jpeg, image/png, image/webp, */*;q=0.1",
    "Accept-Encoding": "identity",  # pictures do not compress, and bombs do
}


def fetch_all(urls: Sequence[str], rules: DownloadRules, network: Network) -> list[Outcome]:
    """The outcome of each of `urls`, in their order.

    Works from any thread, one with a running event loop included: the loop runs in a thread of its own.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="downloads") as thread:
        return thread.submit(asyncio.run, _fetch_all(urls, rules, network)).result()


async def _fetch_all(urls: Sequence[str], rules: DownloadRules, network: Network) -> list[Outcome]:
    # For name lookups, which block a thread each: as many as there are places, so that dead names delay none.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(network.in_flight))
    async with Fetcher(rules, network) as fetcher:
        return await asyncio.gather(*(fetcher.fetch(url) for url in urls))


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: _Headers
    body: bytes  # empty unless status is 200


class Fetcher:
    """One partition's client: its connections, its limits, and the robots.txt of its hosts.

    A request holds a place of its host first and one of the partition second, so that those who wait for a
    slow host take no place from others; between two redirects it holds none, so that none wait in a ring.
    """

    def __init__(self, rules: DownloadRules, network: Network) -> None:
        self._rules = rules
        self._network = network
        self._robots = RobotsCache(self._fetch_robots, network)
        self._places = asyncio.Semaphore(network.in_flight)
        self._hosts: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(rules.per_host)
        )
        self._decoders = ThreadPoolExecutor(_DECODERS, thread_name_prefix="decode")
        context = ssl.create_default_context(cafile=network.ca_file)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=VettedResolver(network),
                ssl=context,
                limit=0,  # the semaphores above are the limit
                keepalive_timeout=_KEEP_ALIVE,
            ),
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=rules.connect_seconds,
                sock_connect=rules.connect_seconds,
                sock_read=rules.read_seconds,
            ),
            headers={**_REQUEST_HEADERS, "User-Agent": network.user_agent},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # done within a limit, by `decoded`
        )

    async def __aenter__(self) -> Fetcher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()
        self._decoders.shutdown(wait=True, cancel_futures=True)

    async def fetch(self, url: str) -> Outcome:
        """What becomes of `url`: one attempt, with retries of what may pass."""
        for retry in range(self._rules.retries + 1):
            outcome = Outcome()
            try:
                await self._follow(url, outcome)
            except DownloadError as failure:
                outcome.fail(failure)
                wait = self._wait(failure, retry)
                if wait is not None:
                    await asyncio.sleep(wait)
                    continue
            break
        outcome.fetched_at = datetime.now(UTC)
        return outcome

    def _wait(self, failure: DownloadError, retry: int) -> float | None:
        """Seconds to wait before another try; None if there shall be none."""
        if not failure.transient or retry == self._rules.retries:
            return None
        wait = max(failure.wait or 0.0, self._rules.retry_seconds * 2**retry)
        return wait if wait <= self._rules.max_retry_seconds else None

    async def _follow(self, url: str, outcome: Outcome) -> None:
        """Fetch `url` through its redirects into `outcome`. Raises DownloadError if it gives no picture."""
        rules, seconds = self._rules, self._rules.total_seconds
        current = target(url, self._network)
        loop = asyncio.get_running_loop()
        for _ in range(rules.redirects + 1):
            if rules.honour_robots_txt:
                await self._robots.check(current)
            async with self._place(current):
                begin = loop.time()
                answer = await self._request(current, seconds, rules.max_bytes, outcome)
                seconds -= loop.time() - begin
                if answer.status == 200:
                    encoding = ",".join(answer.headers.getall("Content-Encoding", []))
                    await loop.run_in_executor(self._decoders, self._examine, answer.body, encoding, outcome)
                    return
            current = self._next(current, answer, outcome)
        raise DownloadError(DownloadStatus.TOO_MANY_REDIRECTS, f"more than {rules.redirects} redirects")

    def _examine(self, body: bytes, encoding: str, outcome: Outcome) -> None:
        outcome.examine(decoded(body, encoding, self._rules.max_bytes), self._rules)

    def _next(self, current: URL, answer: _Answer, outcome: Outcome) -> URL:
        """Where an answer other than 200 leads. Raises DownloadError if nowhere, or nowhere allowed."""
        if answer.status not in REDIRECTS or "Location" not in answer.headers:
            raise http_error(answer.status, answer.headers.get("Retry-After"))
        following = redirected(str(current), answer.headers["Location"])
        outcome.final_url = following
        return target(following, self._network)

    @asynccontextmanager
    async def _place(self, url: URL) -> AsyncIterator[None]:
        async with self._hosts[url.host or ""], self._places:
            yield

    async def _request(self, url: URL, seconds: float, limit: int, outcome: Outcome | None) -> _Answer:
        """One request, no redirects. The head is judged, and told to `outcome`, before the body is read.

        Without an outcome (robots.txt) a body over the limit is cut instead of refused.
        """
        in_body = False
        try:
            async with asyncio.timeout(seconds), self._session.get(url, allow_redirects=False) as response:
                if outcome is not None:
                    self._judge_head(response, outcome)
                if response.status != 200:
                    return _Answer(response.status, response.headers, b"")
                in_body = True
                body = await self._read(response, limit, cut=outcome is None)
                return _Answer(response.status, response.headers, body)
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            raise explained(error, in_body) from error

    def _judge_head(self, response: aiohttp.ClientResponse, outcome: Outcome) -> None:
        headers = response.headers
        outcome.answered(response.status, headers.get("Content-Type"))
        tags, reserved = headers.getall("X-Robots-Tag", []), headers.get("TDM-Reservation")
        refuse_head(tags, reserved, outcome, self._rules, self._network.product)
        if response.status == 200 and (response.content_length or 0) > self._rules.max_bytes:
            raise DownloadError(
                DownloadStatus.TOO_LARGE, f"more than {self._rules.max_bytes} bytes announced"
            )

    async def _read(self, response: aiohttp.ClientResponse, limit: int, cut: bool) -> bytes:
        rules, loop = self._rules, asyncio.get_running_loop()
        begin, body = loop.time(), bytearray()
        async for piece in response.content.iter_chunked(_PIECE):
            body += piece
            if len(body) > limit:
                if cut:
                    break
                raise DownloadError(DownloadStatus.TOO_LARGE, f"more than {limit} bytes")
            taken = loop.time() - begin
            if taken > rules.grace_seconds and len(body) < taken * rules.min_bytes_per_second:
                raise DownloadError(
                    DownloadStatus.TIMEOUT, f"under {rules.min_bytes_per_second} bytes per second"
                )
        return bytes(body[:limit])

    async def _fetch_robots(self, url: URL) -> Robots:
        """robots.txt as RFC 9309 section 2.3.1 says: 4xx allows all, 5xx or no answer nothing."""
        own = True  # still asking the host that the picture is on
        for _ in range(ROBOTS_REDIRECTS + 1):
            try:
                async with self._place(url):
                    answer = await self._request(url, self._rules.total_seconds, ROBOTS_BYTES, None)
                if answer.status == 200:
                    encoding = ",".join(answer.headers.getall("Content-Encoding", []))
                    return parse_robots(decoded(answer.body, encoding, ROBOTS_BYTES))
                if answer.status in REDIRECTS and "Location" in answer.headers:
                    own = False
                    url = target(redirected(str(url), answer.headers["Location"]), self._network)
                    continue
            except DownloadError as failure:
                # Where the picture's own host is out of reach, that is what the picture's row shall say.
                told = own and failure.status in _OUT_OF_REACH
                return _no_robots(failure.error, failure.status if told else DownloadStatus.ROBOTS_DISALLOWED)
            return _no_robots(f"HTTP {answer.status}") if answer.status >= 500 else Robots()
        return Robots()  # too many redirects: RFC 9309 lets us take it for unavailable, as 4xx


def _no_robots(error: str, status: DownloadStatus = DownloadStatus.ROBOTS_DISALLOWED) -> Robots:
    return Robots(failure=DownloadError(status, f"robots.txt: {error}"))


def refuse_head(
    robots_tags: Sequence[str],
    tdm_reservation: str | None,
    outcome: Outcome,
    rules: DownloadRules,
    product: str,
) -> None:
    """Note the opt-out signals of an answer's head in `outcome`. Raises DownloadError if one is honoured.

    Error pages often say "noindex" of themselves: they stay errors, and their signals are only noted.
    """
    signals = opt_outs(robots_tags, tdm_reservation, product)
    outcome.opt_out = list(dict.fromkeys([*outcome.opt_out, *signals]))
    if outcome.http_status == 200 or outcome.http_status in REDIRECTS:
        refuse_opt_outs(signals, rules)


def redirected(url: str, location: str) -> str:
    """The URL that the Location header of an answer from `url` means. Raises DownloadError (bad_url)."""
    location = location.encode("utf-8", "surrogateescape").decode("utf-8", "replace").strip()
    try:
        return str(parsed(url).join(parsed(location)).with_fragment(None))
    except ValueError as error:
        raise DownloadError(DownloadStatus.BAD_URL, "redirect to what is not a valid URL") from error


def http_error(status: int, retry_after: str | None = None) -> DownloadError:
    """The failure that an answer with code `status` is; Retry-After, seconds or a date, becomes its wait."""
    transient = status in _PASSING
    wait = _seconds(retry_after) if transient and retry_after else None
    return DownloadError(DownloadStatus.HTTP_ERROR, f"HTTP {status}", transient=transient, wait=wait)


def _seconds(retry_after: str) -> float | None:
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        when = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (when.astimezone(UTC) - datetime.now(UTC)).total_seconds())


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
