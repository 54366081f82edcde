"""Two hundred clients at once for one minute, against `lake serve` over a lake.

The server runs as a process of its own with its own limits, but for the pace per address, which is off:
all clients are on one. Each client asks one thing after another, as a visitor does: a search by a caption of
the lake (three in six, one of them under a condition), the thumbnail of a result (two), a count (one). All
is over HTTP with connections kept open. What is told: answers that were no 200, requests a second, latencies
by kind, and the server's memory after ten seconds and at the end; before all that, how long a browser
(chromium with Playwright, where there is one) waits for the first result of a page that it opens.

- peer: clip-retrieval's service, by its README: about 20 searches a second (on 4 to 16 GB and an SSD). It
  is not run here: no GPU, and its index would be another;
- floor: the same searches asked of the index in this process, from two threads, without a server.

    uv run python benchmarks/serve.py --root demo-lake --json
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from output import show

from lakehouse import open_lake, views
from lakehouse.search import Query, Searcher

PEER_SEARCHES = 20.0  # a second: clip-retrieval's README
CONDITION = {"ranges": {"similarity": [0.3, None]}, "where": "width >= 100"}
KINDS = ("search", "search", "filtered", "thumbnail", "thumbnail", "count")
SETTLED = 10.0  # seconds after which the server's memory is looked at first
FLOOR_SECONDS = 10.0
VISITS = 10  # of a browser to a page, before the clients come


def texts(root: str) -> list[str]:
    """Captions of the lake."""
    rows = views.query(open_lake(root), "select distinct left(text, 200) as text from pairs limit 200")
    return [str(text) for text in rows["text"].to_pylist()]


def floor(root: str, captions: list[str]) -> float:
    """Searches a second of the index alone."""
    searcher = Searcher(open_lake(root))
    searcher.find(Query(text="warm"))
    end = time.monotonic() + FLOOR_SECONDS

    def searching(seed: int) -> int:
        chosen, n = random.Random(seed), 0
        while time.monotonic() < end:
            searcher.find(Query(text=chosen.choice(captions), k=60, collapse="same"))
            n += 1
        return n

    begin = time.monotonic()
    with ThreadPoolExecutor(2) as threads:
        done = sum(threads.map(searching, range(2)))
    return done / (time.monotonic() - begin)


class Load:
    """What the clients met."""

    def __init__(self, url: str, captions: list[str]) -> None:
        self._url, self._captions = url, captions
        self._pictures: list[str] = []
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)
        self.errors: list[str] = []

    async def run(self, clients: int, seconds: float) -> None:
        """All clients, until the time is over and their last answers are there."""
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=120)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            await self._ask(session, "search", random.Random(0))  # so that there are thumbnails to ask for
            end = time.monotonic() + seconds
            await asyncio.gather(*[self._client(session, end, number) for number in range(clients)])

    async def _client(self, session: aiohttp.ClientSession, end: float, seed: int) -> None:
        chosen = random.Random(seed)
        while time.monotonic() < end:
            kind = chosen.choice(KINDS)
            begin = time.monotonic()
            try:
                await self._ask(session, kind, chosen)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                self.errors.append(f"{kind}: {error!r}")
            self.seconds[kind].append(time.monotonic() - begin)

    async def _ask(self, session: aiohttp.ClientSession, kind: str, chosen: random.Random) -> None:
        if kind == "thumbnail":
            async with session.get(f"{self._url}/api/thumbnail/{chosen.choice(self._pictures)}") as answer:
                await self._read(answer, kind)
            return
        asked: dict[str, Any] = {"filters": {} if kind == "search" else CONDITION}
        if kind != "count":
            asked |= {"text": chosen.choice(self._captions), "k": 60}
        path = "count" if kind == "count" else "search"
        async with session.post(f"{self._url}/api/{path}", json=asked) as answer:
            body = await self._read(answer, kind)
        if kind == "search" and body:
            self._pictures = [row["url_id"] for row in json.loads(body)["rows"]] or self._pictures

    async def _read(self, answer: aiohttp.ClientResponse, kind: str) -> bytes:
        body = await answer.read()
        if answer.status != 200:
            self.errors.append(f"{kind}: {answer.status} {body[:200]!r}")
            return b""
        return body


def started(root: str, port: int) -> subprocess.Popen[bytes]:
    """The server, once its model is loaded."""
    script = Path(sys.executable).with_name("lake")
    environment = {**os.environ, "LAKE_SERVER_RATE": "0"}
    server = subprocess.Popen([script, "--root", root, "serve", "--port", str(port)], env=environment)

    async def ready() -> None:
        async with aiohttp.ClientSession() as session:
            for _ in range(600):
                try:
                    async with session.get(f"http://127.0.0.1:{port}/api/lake") as answer:
                        if (await answer.json()).get("ready"):
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.2)
        raise SystemExit("the server did not start")

    asyncio.run(ready())
    return server


def measured(told: argparse.Namespace, captions: list[str]) -> dict[str, Any]:
    """One run of all clients."""
    with started(told.root, told.port) as server:
        try:
            url = f"http://127.0.0.1:{told.port}"
            first, load = first_results(url), Load(url, captions)
            memory: list[int] = []

            async def both() -> None:
                async def watch() -> None:
                    while True:
                        await asyncio.sleep(1)
                        memory.append(psutil.Process(server.pid).memory_info().rss)

                watching = asyncio.create_task(watch())
                await load.run(told.clients, told.seconds)
                watching.cancel()

            begin = time.monotonic()
            asyncio.run(both())
            seconds = time.monotonic() - begin
        finally:
            server.terminate()
    everything = [each for kind in load.seconds.values() for each in kind]
    searches = len(load.seconds["search"]) + len(load.seconds["filtered"])
    at_first = memory[min(int(SETTLED), len(memory) - 1)]
    return {
        "first_results_ms": first,
        "errors": len(load.errors),
        "first_errors": load.errors[:3],
        "requests": len(everything),
        "requests_per_second": round(len(everything) / seconds, 1),
        "searches_per_second": round(searches / seconds, 1),
        "latency": {
            kind: {"n": len(found), "median": _ms(found, 50), "p99": _ms(found, 99)}
            for kind, found in sorted(load.seconds.items())
        },
        "rss_mb": {"settled": at_first >> 20, "end": memory[-1] >> 20, "most": max(memory) >> 20},
    }


def _ms(found: list[float], percentile: int) -> int:
    cuts = statistics.quantiles(found, n=100) if len(found) > 1 else found * 99
    return round(1000 * cuts[percentile - 1])


def first_results(url: str) -> dict[str, int] | None:
    """Milliseconds from a page's opening to its first result, in chromium; None where there is none."""
    chromium = shutil.which("chromium")
    if chromium is None or importlib.util.find_spec("playwright") is None:
        return None
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(VISITS):
            page = browser.new_context().new_page()  # with nothing kept from the visit before
            begin = time.monotonic()
            page.goto(f"{url}/?q=a+bicycle")
            page.locator(".card img").first.wait_for()
            found.append(1000 * (time.monotonic() - begin))
            page.context.close()
        browser.close()
    return {"median": round(statistics.median(found)), "most": round(max(found))}


def main() -> None:
    """Measures and prints; with --json, one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--root", default="demo-lake", help="a lake; `lake demo` makes one")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    captions = texts(told.root)
    found = measured(told, captions)
    alone = floor(told.root, captions)
    result = {
        "name": "searches a second of the server under 200 clients",
        "ours": found["searches_per_second"],
        "peer": PEER_SEARCHES,
        "unit": "searches/s",
        "ratio": round(found["searches_per_second"] / PEER_SEARCHES, 2),
        "floor_ratio": round(found["searches_per_second"] / alone, 2),
        "floor": round(alone, 1),
        "clients": told.clients,
        **found,
        "load": [round(load, 1) for load in os.getloadavg()],
    }
    show(result, told.json)


if __name__ == "__main__":
    main()
