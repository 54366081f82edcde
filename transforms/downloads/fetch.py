"""Pictures over HTTP: a partition's URLs in one event loop, in their hosts' turns, within their limits."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial

from yarl import URL

from transforms.downloads.client import Answer, Client, Headers
from transforms.downloads.encoding import decoded
from transforms.downloads.hosts import Hosts
from transforms.downloads.image import is_quick
from transforms.downloads.outcome import Outcome
from transforms.downloads.policy import (
    ROBOTS,
    TDMREP,
    TDMREP_SIGNAL,
    Policies,
    Policy,
    Robots,
    opt_outs,
    parse_robots,
    parse_tdmrep,
    refuse_opt_outs,
)
from transforms.downloads.refused import NOTHING, Refused
from transforms.downloads.resolve import is_own, mapping, parsed, target
from transforms.downloads.rules import (
    MAX_DELAY_SECONDS,
    ROBOTS_BYTES,
    ROBOTS_REDIRECTS,
    DownloadRules,
    Network,
)
from transforms.downloads.status import (
    UNNAMED_CRAWLER,
    DownloadError,
    DownloadStatus,
    UnnamedCrawlerError,
)

Found = Callable[[int, Outcome], None]
"""Takes the outcome of the URL at that place; called in the loop's thread, so it must be quick."""

_DECODERS = 2  # threads, per partition, for pictures that the loop cannot wait for
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NO_ANSWER = frozenset({DownloadStatus.CONNECT, DownloadStatus.TIMEOUT, DownloadStatus.RESET})
_OUT_OF_REACH = _NO_ANSWER | {DownloadStatus.FORBIDDEN_ADDRESS, DownloadStatus.DNS, DownloadStatus.TLS}
_BROKEN_OFF = frozenset({DownloadStatus.TIMEOUT, DownloadStatus.TOO_LARGE, DownloadStatus.OPT_OUT})
_PASSING = frozenset({429, 500, 502, 503, 504})  # codes that another try may not meet


@dataclass
class Tally:
    """How a partition's fetching stands; for those who watch."""

    urls: int = 0
    done: int = 0
    success: int = 0
    bytes: int = 0
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))  # of each host's

    def count(self, outcome: Outcome) -> None:
        """Take one more outcome in."""
        self.done += 1
        self.success += outcome.status == DownloadStatus.SUCCESS
        self.bytes += outcome.bytes or 0


def fetch_all(
    urls: Sequence[str], rules: DownloadRules, network: Network, refused: Refused = NOTHING
) -> list[Outcome]:
    """The outcome of each of `urls`, in their order. See `fetch_each`."""
    found: dict[int, Outcome] = {}
    fetch_each(urls, rules, network, found.__setitem__, refused=refused)
    return [found[number] for number in range(len(urls))]


def fetch_each(
    urls: Sequence[str],
    rules: DownloadRules,
    network: Network,
    found: Found,
    tally: Tally | None = None,
    refused: Refused = NOTHING,
) -> None:
    """Fetch `urls`, each once however often it is there, and give each outcome to `found` as it comes.

    Works from any thread, one with a running event loop included: the loop runs in a thread of its own.
    Raises UnnamedCrawlerError where `network` has no user agent and a URL leads to the open web, and what
    `found` raises.
    """
    fetching = _fetch_each(urls, rules, network, found, tally or Tally(), refused)
    with _frozen_heap(), ThreadPoolExecutor(1, thread_name_prefix="downloads") as thread:
        thread.submit(asyncio.run, fetching).result()


@contextmanager
def _frozen_heap() -> Iterator[None]:
    """The collector leaves alone what is there already: for what a few thousand URLs make and drop, it would
    go through all of a worker's modules each time."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def _fetch_each(
    urls: Sequence[str],
    rules: DownloadRules,
    network: Network,
    found: Found,
    tally: Tally,
    refused: Refused,
) -> None:
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for number, url in enumerate(urls):
        numbers[url].append(number)

    def finished(url: str, outcome: Outcome) -> None:
        for number in numbers.pop(url):
            tally.count(outcome)
            found(number, outcome)

    tally.urls = len(urls)
    async with Client(rules, network) as client:
        fetcher = Fetcher(client, rules, network, finished, tally, refused)
        with fetcher.decoders:
            for url in list(numbers):
                fetcher.start(url)
            await fetcher.hosts.drain()


@dataclass(slots=True)
class _Attempt:
    """A URL on its way: through redirects, and from try to try."""

    url: str
    current: str
    outcome: Outcome
    seconds: float  # left of this try
    hops: int = 0
    tries: int = 0


class Fetcher:
    """One partition's fetching. Every request, those for robots.txt included, waits for its host's turn.

    A redirect or a retry is a new turn, so nothing that waits for one host holds a place at another.
    """

    def __init__(
        self,
        client: Client,
        rules: DownloadRules,
        network: Network,
        finished: Callable[[str, Outcome], None],
        tally: Tally,
        refused: Refused,
    ) -> None:
        self._client = client
        self._refused = refused
        self._rules = rules
        self._network = network
        self._finished = finished
        self._tally = tally
        self.hosts = Hosts(network.in_flight, network.per_host, network.host_delay_seconds)
        self.decoders = ThreadPoolExecutor(_DECODERS, thread_name_prefix="decode")
        self._policies: dict[URL, Policy] = {}
        self._parked: dict[URL, list[tuple[_Attempt, URL]]] = {}  # until their origin's policy is known
        self._unanswered: Counter[str] = Counter()  # requests in a row, per host
        self._put_off: dict[str, str] = {}  # hosts that are asked no more, and why

    # ---------------------------------------------------------------- a URL

    def start(self, url: str) -> None:
        """Queue a URL. What must never be asked for is to be refused here, before anything leaves."""
        self._send(_Attempt(url, url, Outcome(), self._rules.total_seconds))

    def _send(self, attempt: _Attempt, wait: float = 0.0) -> None:
        """Queue the next request of `attempt` at its host, once the host's policy is known."""
        try:
            self._refused.url(attempt.current)
            url = target(attempt.current, self._network)
        except DownloadError as failure:
            self._end(attempt, failure)
            return
        if self._network.user_agent is None and not is_own(url, self._network):
            raise UnnamedCrawlerError(UNNAMED_CRAWLER)
        origin = url.origin()
        policy = self._policy(origin)
        if policy is None:
            if origin not in self._parked:
                self._parked[origin] = []
                self.hosts.put(_name(url), partial(self._ask_policy, origin))
            self._parked[origin].append((attempt, url))
        else:
            self._line_up(attempt, url, policy, wait)

    def _line_up(self, attempt: _Attempt, url: URL, policy: Policy, wait: float = 0.0) -> None:
        """Queue the request for `url`, where the policy of its origin allows it."""
        try:
            self._obey(policy, url, attempt.outcome)
        except DownloadError as failure:
            self._end(attempt, failure)
        else:
            self.hosts.put(_name(url), partial(self._visit, attempt, url), wait)

    def _obey(self, policy: Policy, url: URL, outcome: Outcome) -> None:
        """Raises DownloadError where the policy says that `url` is not to be asked for."""
        product = self._network.product
        if self._rules.honour_robots_txt:
            policy.robots.check(url, product)
        if policy.reserves(url):
            outcome.note([TDMREP_SIGNAL])
            refuse_opt_outs([TDMREP_SIGNAL], self._rules)

    async def _visit(self, attempt: _Attempt, url: URL) -> None:
        """One request of `attempt`, and what follows from it."""
        try:
            self._refuse_put_off(url)
            await self._ask(attempt, url)
        except DownloadError as failure:
            self._after(attempt, url, failure)

    async def _ask(self, attempt: _Attempt, url: URL) -> None:
        rules, outcome = self._rules, attempt.outcome

        def judge(status: int, headers: Headers) -> None:
            outcome.answered(status, headers.get("Content-Type"))
            tags, reserved = headers.getall("X-Robots-Tag", []), headers.get("TDM-Reservation")
            usage = headers.getall("Content-Usage", [])
            refuse_head(tags, reserved, outcome, rules, self._network.product, usage)

        loop = asyncio.get_running_loop()
        begin = loop.time()
        try:
            answer = await self._get(url, attempt.seconds, rules.max_bytes, judge)
        finally:
            attempt.seconds -= loop.time() - begin
        if answer.status == 200:
            if is_quick(answer.body):  # a thread would cost a tenth of it
                self._examine(attempt.url, answer, outcome)
            else:
                await loop.run_in_executor(self.decoders, self._examine, attempt.url, answer, outcome)
            self._end(attempt)
            return
        attempt.current = self._next(url, answer, outcome)
        attempt.hops += 1
        if attempt.hops > rules.redirects:
            raise DownloadError(DownloadStatus.TOO_MANY_REDIRECTS, f"more than {rules.redirects} redirects")
        self._send(attempt)

    def _examine(self, url: str, answer: Answer, outcome: Outcome) -> None:
        body = decoded(answer.body, answer.encoding, self._rules.max_bytes)
        outcome.examine(url, body, self._rules, self._refused)

    def _next(self, current: URL, answer: Answer, outcome: Outcome) -> str:
        """Where an answer other than 200 leads. Raises DownloadError if nowhere, or nowhere allowed."""
        if answer.status not in REDIRECTS or "Location" not in answer.headers:
            raise http_error(answer.status, answer.headers.get("Retry-After"))
        outcome.final_url = redirected(str(current), answer.headers["Location"])
        return outcome.final_url

    def _after(self, attempt: _Attempt, url: URL, failure: DownloadError) -> None:
        """End `attempt` with its failure, or try again from its URL on where that may go better."""
        wait = self._wait(url, failure, attempt.tries)
        if wait is None:
            self._end(attempt, failure)
            return
        tries = attempt.tries + 1
        again = _Attempt(attempt.url, attempt.url, Outcome(), self._rules.total_seconds, tries=tries)
        self._send(again, wait)

    def _end(self, attempt: _Attempt, failure: DownloadError | None = None) -> None:
        if failure is not None:
            attempt.outcome.fail(failure)
        attempt.outcome.fetched_at = datetime.now(UTC)
        self._finished(attempt.url, attempt.outcome)

    def _wait(self, url: URL, failure: DownloadError, tries: int) -> float | None:
        """Seconds to wait before another try; None if there shall be none.

        What a host asks for by Retry-After is kept to by all requests to it.
        """
        rules = self._rules
        if failure.wait is not None:
            if failure.wait > rules.max_retry_seconds:
                self._put_off_rest(url, f"host asked us to wait more than {rules.max_retry_seconds:g} s")
                return None
            self.hosts.pause(_name(url), failure.wait)
        if not failure.transient or tries >= rules.retries:
            return None
        wait = max(failure.wait or 0.0, rules.retry_seconds * 2**tries)
        return wait if wait <= rules.max_retry_seconds else None

    # ---------------------------------------------------------------- a host

    async def _get(
        self, url: URL, seconds: float, limit: int, judge: Callable[[int, Headers], None] | None = None
    ) -> Answer:
        """A request that is accounted to its host."""
        name, loop = _name(url), asyncio.get_running_loop()
        begin = loop.time()
        try:
            answer = await self._client.get(url, max(seconds, 0.0), limit, judge)
        except DownloadError as failure:
            if failure.status in _BROKEN_OFF:
                self.hosts.hang_up(name)
            self._unanswered[name] = self._unanswered[name] + 1 if failure.status in _NO_ANSWER else 0
            raise
        finally:
            self._tally.seconds[name] += loop.time() - begin
        self._unanswered[name] = 0
        return answer

    def _put_off_rest(self, url: URL, why: str) -> None:
        """Ask the host of `url` no more; what is queued for it ends at once."""
        self._put_off[_name(url)] = why
        self.hosts.rush(_name(url))

    def _refuse_put_off(self, url: URL) -> None:
        name, most = _name(url), self._rules.host_failures
        if name not in self._put_off and self._unanswered[name] >= most:
            self._put_off_rest(url, f"host did not answer {most} requests in a row")
        if name in self._put_off:
            raise DownloadError(DownloadStatus.PUT_OFF, self._put_off[name])

    def _policy(self, origin: URL) -> Policy | None:
        """What is known of the origin, in this partition or from an earlier one."""
        policy = self._policies.get(origin)
        if policy is None and not self._asks_policy:
            policy = Policy()
        if policy is None and not self._is_mapped(origin):
            policy = Policies.get(self._key(origin))
        if policy is not None and origin not in self._policies:
            self._learn(origin, policy)
        return policy

    @property
    def _asks_policy(self) -> bool:
        return self._rules.honour_robots_txt or self._rules.ask_tdmrep

    def _key(self, origin: URL) -> object:
        rules = self._rules
        return self._network.user_agent, rules.honour_robots_txt, rules.ask_tdmrep, origin

    def _is_mapped(self, origin: URL) -> bool:
        """Whether it is a server of our own, which come and go: nothing is remembered of them."""
        return mapping(origin.host or "", self._network.resolve) is not None

    def _learn(self, origin: URL, policy: Policy) -> None:
        self._policies[origin] = policy
        delay = min(policy.robots.delay(self._network.product), MAX_DELAY_SECONDS)
        if self._rules.honour_robots_txt and delay:
            self.hosts.slow_down(_name(origin), delay)

    async def _ask_policy(self, origin: URL) -> None:
        if self._rules.honour_robots_txt:
            await self._ask_file(origin, ROBOTS, self._read_robots)
        else:
            await self._ask_file(origin, TDMREP, partial(self._read_tdmrep, Policy()))

    async def _ask_file(
        self, origin: URL, path: str, read: _Read, at: URL | None = None, hops: int = 0, tries: int = 0
    ) -> None:
        """Ask for a file of the origin, from the host `at` after a redirect; `read` takes what came.

        Redirects and tries again are new turns. 4xx and too many redirects mean that there is no such file
        (RFC 9309 section 2.3.1.3); 429 is the host's word on our pace and not on the file.
        """
        url, own = at or origin.with_path(path), at is None
        again = partial(self._ask_file, origin, path, read)
        try:
            self._refuse_put_off(url)
            answer = await self._get(url, self._rules.total_seconds, ROBOTS_BYTES)
            if answer.status in REDIRECTS and "Location" in answer.headers:
                own = False
                following = target(redirected(str(url), answer.headers["Location"]), self._network)
                if hops < ROBOTS_REDIRECTS:
                    self.hosts.put(_name(following), partial(again, following, hops + 1, tries))
                else:
                    read(origin, b"", None)
                return
            if answer.status >= 500 or answer.status == 429:
                raise http_error(answer.status, answer.headers.get("Retry-After"))
            found = answer.status == 200
            read(origin, decoded(answer.body, answer.encoding, ROBOTS_BYTES) if found else b"", None)
        except DownloadError as failure:
            wait = self._wait(url, failure, tries)
            if wait is not None:
                self.hosts.put(_name(url), partial(again, at, hops, tries + 1), wait)
                return
            # Where the picture's own host is out of reach, that is what the picture's row shall say.
            told = own and failure.status in _OUT_OF_REACH
            status = failure.status if told else DownloadStatus.ROBOTS_DISALLOWED
            read(origin, b"", DownloadError(status, f"robots.txt: {failure.error}"))

    def _read_robots(self, origin: URL, body: bytes, failure: DownloadError | None) -> None:
        robots = Robots(failure=failure) if failure is not None else parse_robots(body)
        policy = Policy(robots, size=len(body))
        if self._rules.ask_tdmrep and robots.allows(origin.with_path(TDMREP), self._network.product):
            read = partial(self._read_tdmrep, policy)
            self.hosts.put(_name(origin), partial(self._ask_file, origin, TDMREP, read))
        else:
            self._settle(origin, policy)

    def _read_tdmrep(self, policy: Policy, origin: URL, body: bytes, failure: DownloadError | None) -> None:
        """A tdmrep.json that cannot be had reserves nothing; headers are looked at in any case."""
        self._settle(origin, Policy(policy.robots, parse_tdmrep(body), policy.size + len(body)))

    def _settle(self, origin: URL, policy: Policy) -> None:
        """The origin's policy is known: what waited for it may go."""
        self._learn(origin, policy)
        if policy.robots.failure is None and not self._is_mapped(origin):
            Policies.keep(self._key(origin), policy)  # a host out of reach may be back for the next partition
        for attempt, url in self._parked.pop(origin):
            self._line_up(attempt, url, policy)


_Read = Callable[[URL, bytes, DownloadError | None], None]


def _name(url: URL) -> str:
    """The host whose turn a request to `url` needs."""
    return url.host or ""


def refuse_head(
    robots_tags: Sequence[str],
    tdm_reservation: str | None,
    outcome: Outcome,
    rules: DownloadRules,
    product: str,
    content_usage: Sequence[str] = (),
) -> None:
    """Note the opt-out signals of an answer's head in `outcome`. Raises DownloadError if one is honoured.

    Error pages often say "noindex" of themselves: they stay errors, and their signals are only noted.
    """
    signals = opt_outs(robots_tags, tdm_reservation, product, content_usage)
    outcome.note(signals)
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
