"""A load of URLs on many hosts, some of which misbehave: the server that counts, and one worker's fetching.

The server and the fetching each run in a process of their own, so that the memory of one is not the other's.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pyarrow as pa
from downloads_fixtures import AGENT, encoded, frame, photo

from lakehouse.spool import Spool
from lakehouse.storage import Storage
from transforms import columns
from transforms.downloads import FETCHED, DownloadRules, Network, Tally, fetch_spooled

# Kinds of pages, how many of a hundred are of it, and the status and code that become of it
KINDS = {
    "loris": (5, ("timeout", None)),
    "stall": (5, ("timeout", 200)),
    "endless": (5, ("too_large", 200)),
    "reset": (5, ("reset", None)),
    "busy": (5, ("http_error", 429)),
    "gone": (10, ("http_error", 404)),
    "ok": (65, ("success", 200)),
}
TWICE = ("reset", "busy")  # kinds that are tried again
PICTURES = [encoded(photo(200, 150, seed), quality=90) for seed in range(8)]


def rules(seconds: float) -> DownloadRules:
    """Rules by which what stalls is waited for so long; what answers has that long on a busy machine too."""
    return DownloadRules(
        connect_seconds=seconds,
        read_seconds=seconds * 2 / 3,
        total_seconds=seconds,
        grace_seconds=seconds / 2,
        max_bytes=200_000,
        retry_seconds=0.1,
    )


def urls(count: int, hosts: int) -> list[str]:
    """As many URLs, every host with some of each kind."""
    kinds = [kind for kind, (share, _) in KINDS.items() for _ in range(share)]
    return [f"http://h{n % hosts}.test/{kinds[(n // hosts * 7 + n) % 100]}/{n}" for n in range(count)]


class Page(asyncio.Protocol):
    """One connection: answers by the kind that the path begins with, and counts what its host has open."""

    now: ClassVar[Counter[str]] = Counter()
    most: ClassVar[Counter[str]] = Counter()
    asked: ClassVar[Counter[str]] = Counter()  # by kind

    def __init__(self) -> None:
        self.host: str | None = None
        self.buffer = b""
        self.writing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self.writing is not None:
            self.writing.cancel()
        self._over()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
            lines = head.decode().split("\r\n")
            fields = dict(line.lower().split(": ", 1) for line in lines[1:])
            if lines[0] == "GET /counts HTTP/1.1":
                self._counts()
            else:
                self._answer(fields["host"].split(":")[0], lines[0].split()[1])

    def _answer(self, host: str, path: str) -> None:
        kind, _, number = path[1:].partition("/")
        self.host = host
        Page.now[host] += 1
        Page.most[host] = max(Page.most[host], Page.now[host])
        Page.asked[kind] += 1
        loop = asyncio.get_running_loop()
        if kind == "ok":
            self._whole("200 OK", PICTURES[int(number) % len(PICTURES)])
        elif kind == "loris":
            self.transport.write(b"HTTP/1.1 200 OK\r\n")
            self.writing = loop.call_later(1, self._drip, b"X-A: b\r\n", 1)
        elif kind == "stall":
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + PICTURES[0][:2000])
        elif kind == "endless":
            self.transport.write(b"HTTP/1.1 200 OK\r\n\r\n")
            self._drip(bytes(16_384), 0.01)
        elif kind == "reset":
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        elif kind == "busy":
            self._whole("429 Too Many Requests\r\nRetry-After: 1", b"slow down")
        else:  # gone, and no robots.txt or tdmrep.json
            self._whole("404 Not Found", b"gone")

    def _whole(self, code: str, body: bytes) -> None:
        self.transport.write(f"HTTP/1.1 {code}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        self._over()

    def _drip(self, data: bytes, seconds: float) -> None:
        if self.transport.get_write_buffer_size() < 1_000_000:
            self.transport.write(data)
        self.writing = asyncio.get_running_loop().call_later(seconds, self._drip, data, seconds)

    def _over(self) -> None:
        if self.host is not None:
            Page.now[self.host] -= 1
            self.host = None

    def _counts(self) -> None:
        told = {"most": max(Page.most.values()), "asked": Page.asked, "hosts": len(Page.most)}
        self._whole("200 OK", json.dumps(told).encode())


async def serve() -> None:
    """Serves until its standard input ends; prints its port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Page, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def counts(port: int) -> dict[str, Any]:
    """What the server has counted."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"GET /counts HTTP/1.1\r\nHost: x\r\n\r\n")
        data = b""
        while b"}}" not in data and b'"hosts"' not in data:
            data += sock.recv(65_536)
    found: dict[str, Any] = json.loads(data.split(b"\r\n\r\n", 1)[1])
    return found


@contextmanager
def serving() -> Iterator[int]:
    """The server in a process of its own; gives its port."""
    with _process("serve") as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


@contextmanager
def _process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    here = Path(__file__).parent
    process = subprocess.Popen(
        [sys.executable, str(here / "load.py"), *arguments],
        env={**os.environ, "PYTHONPATH": f"{here.parent}{os.pathsep}{here}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def fetch(port: int, count: int, hosts: int, in_flight: int, seconds: int, folder: str) -> dict[str, Any]:
    """Fetches all in a process of its own; says what became of it."""
    numbers = map(str, (port, count, hosts, in_flight, seconds))
    with _process("fetch", *numbers, folder) as process:
        assert process.stdout is not None
        lines = process.stdout.read().splitlines()
        found: dict[str, Any] = json.loads(lines[-1])
        return found


def fetching(port: int, asked: Sequence[str], in_flight: int, seconds: float, folder: str) -> dict[str, Any]:
    """Fetches `asked` as a worker does, and watches its own memory."""
    network = Network(AGENT, {"*.test": ("127.0.0.1", port)}, in_flight=in_flight, host_delay_seconds=0.01)
    spool, tally = Spool(Storage(folder), "spool"), _Watched()
    begin, cpu = time.monotonic(), time.process_time()
    wrong: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for part in fetch_spooled(frame(list(asked)), rules(seconds), network, spool, tally):
        rows = columns.to_arrow(part, columns.counted(FETCHED))
        for row in rows.filter(pa.compute.is_null(rows[columns.COUNT])).to_pylist():
            seen[row["url"]] += 1
            kind = row["url"].split("/")[3]
            got = (row["status"], row["http_status"])
            if got != KINDS[kind][1]:
                wrong[f"{kind}: {got} {row['error']}"] += 1
    return {
        "seconds": time.monotonic() - begin,
        "cpu": time.process_time() - cpu,
        "rows": len(seen),
        "twice": sum(n > 1 for n in seen.values()),
        "wrong": wrong,
        "memory": tally.memory,
    }


class _Watched(Tally):
    """A tally that notes the process's resident memory, in MB, a hundred times on its way."""

    def __init__(self) -> None:
        super().__init__()
        self.memory: list[float] = []

    def count(self, outcome: Any) -> None:
        super().count(outcome)
        if self.done * 100 // self.urls > len(self.memory):
            self.memory.append(psutil.Process().memory_info().rss / 1e6)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serve())
    else:
        port, count, hosts, places, limit = (int(text) for text in sys.argv[2:7])
        print(json.dumps(fetching(port, urls(count, hosts), places, limit, sys.argv[7])))
