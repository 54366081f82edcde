"""Whose turn it is: work queued by host, each host within its limit and its pace, and all hosts in turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

Work = Callable[[], Awaitable[None]]

HANG_UP_SECONDS = 0.1
"""How long a connection that we broke off still counts against its host's limit: the host learns of it a
while after us (ours: a round trip around the world is 0.3 s, most are under 0.1 s)."""


@dataclass(slots=True)
class _Host:
    delay: float
    waiting: deque[Work] = field(default_factory=deque)
    running: int = 0
    ready: float = 0.0  # loop time before which nothing starts
    in_line: bool = False  # among the ready, or with a timer that will put it there


class Hosts:
    """Queues of work, one per host.

    At most `places` pieces run at once, at most `per_host` of one host, and pieces of one host start at
    least its delay apart. Hosts take turns, and work that waits for its host holds no place: so a flood of
    one host, or its silence, starves no other.
    """

    def __init__(self, places: int, per_host: int, delay: float) -> None:
        self._free = places
        self._per_host = per_host
        self._delay = delay
        self._hosts: dict[str, _Host] = {}
        self._line: deque[_Host] = deque()  # hosts with work that may start now
        self._open = 0  # pieces put and not yet done
        self._wake = asyncio.Event()

    def put(self, name: str, work: Work, wait: float = 0.0) -> None:
        """Queue `work` behind the other work of host `name`, in `wait` seconds."""
        self._open += 1
        if wait > 0:
            asyncio.get_running_loop().call_later(wait, self._arrive, name, work)
        else:
            self._arrive(name, work)

    def pause(self, name: str, seconds: float) -> None:
        """Start nothing more of the host for that long."""
        host = self._host(name)
        host.ready = max(host.ready, asyncio.get_running_loop().time() + seconds)

    def slow_down(self, name: str, delay: float) -> None:
        """Starts of the host's work are at least `delay` seconds apart from here on."""
        host = self._host(name)
        host.delay = max(host.delay, delay)
        self.pause(name, host.delay)

    def rush(self, name: str) -> None:
        """The host is asked no more: what is queued for it only ends, and need not keep its pace."""
        host = self._host(name)
        host.delay = host.ready = 0.0

    def hang_up(self, name: str) -> None:
        """A connection to the host was broken off: it counts a while longer."""
        host = self._host(name)
        host.running += 1
        asyncio.get_running_loop().call_later(HANG_UP_SECONDS, self._hung_up, host)

    async def drain(self) -> None:
        """Run all that was put, and what is put meanwhile. Raises what a piece of work raises."""
        try:
            async with asyncio.TaskGroup() as group:
                while self._open:
                    self._wake.clear()
                    while self._free and (host := self._turn()) is not None:
                        group.create_task(self._run(host, host.waiting.popleft()))
                    await self._wake.wait()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    def _host(self, name: str) -> _Host:
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = _Host(self._delay)
        return host

    def _arrive(self, name: str, work: Work) -> None:
        host = self._host(name)
        host.waiting.append(work)
        self._line_up(host)

    def _line_up(self, host: _Host) -> None:
        """Put the host in line if it may start something, or as soon as its pace lets it."""
        if host.in_line or not host.waiting or host.running >= self._per_host:
            return
        host.in_line = True
        self._in_time(host)

    def _in_time(self, host: _Host) -> None:
        loop = asyncio.get_running_loop()
        wait = host.ready - loop.time()
        if wait > 0:
            loop.call_later(wait, self._in_time, host)
        else:
            self._line.append(host)
            self._wake.set()

    def _turn(self) -> _Host | None:
        """The next host in line, with a place taken for its first piece of work."""
        while self._line:
            host = self._line.popleft()
            host.in_line = False
            now = asyncio.get_running_loop().time()
            if host.ready > now or host.running >= self._per_host:  # paused, or hung up, while in line
                self._line_up(host)
                continue
            host.running += 1
            host.ready = now + host.delay
            self._free -= 1
            return host
        return None

    async def _run(self, host: _Host, work: Work) -> None:
        self._line_up(host)
        try:
            await work()
        finally:
            host.running -= 1
            self._free += 1
            self._open -= 1
            self._line_up(host)
            self._wake.set()

    def _hung_up(self, host: _Host) -> None:
        host.running -= 1
        self._line_up(host)
