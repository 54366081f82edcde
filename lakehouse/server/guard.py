"""Around every request: its size, its sender's pace, headers that protect the reader, and the counting."""

from __future__ import annotations

import ipaddress
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Collection

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lakehouse.server import metrics
from lakehouse.server.limits import Limits

HEADERS = {
    # Everything comes from here: no script in the page itself, no picture or font from elsewhere
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "X-Robots-Tag": "noindex, noimageindex, noai, noimageai",
}
ADDRESSES = 10_000  # whose pace is remembered


class Guard:
    """ASGI middleware, the outermost one."""

    def __init__(self, app: ASGIApp, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._limits = limits
        self._pace = Pace(limits.rate, limits.burst, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers 421, 429 or 413 itself; hands on all else."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if not _is_own(dict(scope["headers"]).get(b"host", b"").decode("latin-1"), self._limits.hosts):
            metrics.REFUSED.labels("host").inc()
            await _refuse(send, 421, "not known by this name: `hosts` in [server] of lake.toml lists them")
            return
        if not self._pace.allows(scope["client"][0] if scope.get("client") else ""):
            metrics.REFUSED.labels("rate").inc()
            await _refuse(send, 429, "too many requests: slow down")
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or int(announced) > self._limits.body_bytes:
            metrics.REFUSED.labels("body").inc()
            await _refuse(send, 413, f"more than {self._limits.body_bytes:,} bytes")
            return
        await self._pass(scope, _Body(receive, self._limits.body_bytes), send)

    async def _pass(self, scope: Scope, body: _Body, send: Send) -> None:
        begin, status = time.monotonic(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        with metrics.OPEN.track_inprogress():
            await self._app(scope, body.receive, sending)
        route = getattr(scope.get("route"), "path", "other")
        metrics.REQUESTS.labels(route, str(status)).inc()
        metrics.SECONDS.labels(route).observe(time.monotonic() - begin)


def _is_own(host: str, names: Collection[str]) -> bool:
    """Whether a Host header names this server: an address, localhost, or one of `names`."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if name.lower() in {"localhost", *map(str.lower, names)}:
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


class _Body:
    """A request's body, counted as it comes, whatever its header announced."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._most = self._left = most

    async def receive(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            metrics.REFUSED.labels("body").inc()
            raise HTTPException(413, f"more than {self._most:,} bytes")
        return message


class Pace:
    """A bucket of `burst` requests per address that refills at `rate` a second; at 0 there is no limit."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address -> left, at

    def allows(self, address: str) -> bool:
        """Whether one more request of `address` may come in now; if so, it is counted."""
        if not self._rate:
            return True
        now = self._clock()
        left, at = self._left.pop(address, (float(self._burst), now))
        left = min(self._burst, left + (now - at) * self._rate)
        self._left[address] = (left - 1 if left >= 1 else left, now)
        while len(self._left) > ADDRESSES:
            self._left.popitem(last=False)
        return left >= 1


async def _refuse(send: Send, status: int, why: str) -> None:
    body = json.dumps({"error": why}).encode()
    headers = {**HEADERS, "Content-Type": "application/json", "Content-Length": str(len(body))}
    if status == 429:
        headers["Retry-After"] = "5"
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
