"""A lake served on loopback for tests, by the very server that `lake serve` starts, in a thread."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from lakehouse.lake import Lake, open_lake
from lakehouse.server.limits import Limits
from transforms.downloads.rules import Network

TOKEN = "a-token-for-tests-only"
UNHURRIED = Limits(rate=0, query_seconds=60, wait_seconds=120)  # for a busy machine


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    """A running server."""

    url: str
    lake: Lake

    def ask(self, path: str, body: Any = None, token: str | None = None, raw: bytes | None = None) -> Answer:
        """GET, or POST where there is a body: `body` as JSON, `raw` as it is."""
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {token}"} if token else {}
        )
        request = urllib.request.Request(self.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return Answer(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read())

    def search(self, **asked: Any) -> list[dict[str, Any]]:
        """The rows of a search that is answered."""
        answer = self.ask("/api/search", asked)
        assert answer.status == 200, answer.body
        rows: list[dict[str, Any]] = answer.json["rows"]
        return rows


@contextmanager
def serving(
    lake: Lake, limits: Limits = UNHURRIED, token: str | None = TOKEN, network: Network | None = None
) -> Iterator[Served]:
    """A server for `lake` while the block lasts."""
    import uvicorn  # here, as what follows: other tests need none of it

    from lakehouse.server.app import application

    config = uvicorn.Config(application(lake, limits, token, network), log_level="warning", ws="none")
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
            assert thread.is_alive(), "the server did not start"
        try:
            yield Served(f"http://127.0.0.1:{listening.getsockname()[1]}", lake)
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def served(demo: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A copy of the demo's lake, served to who has TOKEN; tests may add subsets and requests to it."""
    root = tmp_path_factory.mktemp("served") / "lake"
    copytree(Path(demo.storage.root), root)
    with serving(open_lake(str(root))) as running:
        yield running
