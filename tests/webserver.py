"""A web server on loopback that misbehaves on demand, and answers by host name and path.

Raw asyncio streams, because a well-made server would not send half a header, a false length or a reset.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

Handler = Callable[[asyncio.StreamWriter], Awaitable[None]]
Page = bytes | Handler


def answer(body: bytes = b"", code: str = "200 OK", length: int | None = None, **headers: str) -> bytes:
    """A whole HTTP answer; `headers` by their names with _ for -, `length` to lie about the body's."""
    fields = {"Content-Type": "image/jpeg", "Content-Length": str(len(body) if length is None else length)}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    return f"HTTP/1.1 {code}\r\n{lines}\r\n".encode("utf-8", "surrogateescape") + body


def redirect(to: str, code: int = 302) -> bytes:
    return answer(code=f"{code} Found", Location=to)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST: what is not yet read is lost to the peer."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


@dataclass
class WebServer:
    """`pages`: (host, path) or path -> answer. `seen` counts requests; `most` the most at once, per host."""

    pages: dict[str | tuple[str, str], Page]
    port: int = 0
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    agents: set[str] = field(default_factory=set)
    most: Counter[str] = field(default_factory=Counter)
    _now: Counter[str] = field(default_factory=Counter)

    @property
    def resolve(self) -> Mapping[str, tuple[str, int]]:
        """For `Network.resolve`: every name under .test is this server."""
        return {"*.test": ("127.0.0.1", self.port)}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                if not line.startswith(b"GET "):
                    writer.write(answer(code="400 Bad Request"))
                    break
                path = line.split()[1].decode()
                headers = {}
                while field_line := (await reader.readline()).strip():
                    name, _, value = field_line.decode().partition(": ")
                    headers[name.lower()] = value
                host = headers["host"].rsplit(":", 1)[0]
                self.agents.add(headers.get("user-agent", ""))
                await self._answer(host, path, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client gave up, which is what most tests are about, or the test is over
        finally:
            writer.close()

    async def _answer(self, host: str, path: str, writer: asyncio.StreamWriter) -> None:
        self.seen[host, path] += 1
        self._now[host] += 1
        self.most[host] = max(self.most[host], self._now[host])
        try:
            page = self.pages.get((host, path)) or self.pages.get(path) or answer(code="404 Not Found")
            if isinstance(page, bytes):
                writer.write(page)
                await writer.drain()
            else:
                await page(writer)
        finally:
            self._now[host] -= 1


@contextmanager
def serving(
    pages: dict[str | tuple[str, str], Page], tls: ssl.SSLContext | None = None
) -> Iterator[WebServer]:
    """A server for `pages` on a free port of 127.0.0.1, in a thread of its own."""
    server = WebServer(pages)
    ready, loop = threading.Event(), asyncio.new_event_loop()

    async def main() -> None:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
        server.port = listening.sockets[0].getsockname()[1]
        ready.set()
        async with listening:
            await stopped.wait()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    stopped = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    assert ready.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()
        loop.close()
