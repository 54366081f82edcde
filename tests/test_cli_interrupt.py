"""Ctrl-C during a run: one line, exit code 1, and the next run goes on at once."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import commands
import pytest

WAT = Path(__file__).parent / "data" / "wat" / "cc-main-2016-50.repaired.warc.wat.gz"


class StallingServer(ThreadingHTTPServer):
    """Serves one crawl file, but only once it is released; `asked` is set by the first who wants it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _File)
        self.asked = threading.Event()
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/crawl-data/a.warc.wat.gz"


class _File(BaseHTTPRequestHandler):
    server: StallingServer

    def do_HEAD(self) -> None:
        self._head()

    def do_GET(self) -> None:
        self.server.asked.set()
        self.server.released.wait(commands.SECONDS)
        self._head()
        self.wfile.write(WAT.read_bytes())

    def _head(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(WAT.stat().st_size))
        self.end_headers()

    def log_message(self, *message: object) -> None:
        pass


@contextmanager
def stalling() -> Iterator[StallingServer]:
    with StallingServer() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()


@pytest.mark.skipif(
    signal.getsignal(signal.SIGINT) == signal.SIG_IGN, reason="Ctrl-C is ignored here, as behind nohup"
)
def test_a_run_is_stopped_and_the_next_goes_on(tmp_path: Path) -> None:
    with stalling() as server:
        assert commands.lake("init", tmp_path / "lake").code == 0
        assert commands.lake("--root", tmp_path / "lake", "add", "--wat", server.url).code == 0
        with commands.start("run", "candidates", "--workers", "1", cwd=tmp_path) as running:
            assert server.asked.wait(commands.SECONDS), "a worker reads the crawl file"
            os.killpg(running.pid, signal.SIGINT)  # a terminal sends it to the workers too
            out, err = running.communicate(timeout=commands.SECONDS)
        assert running.returncode == 1, err
        assert out == ""
        told = [line for line in err.splitlines() if not line.startswith("Dask dashboard: ")]
        assert told == ["Stopped: what was committed stays, and `lake run` goes on from there"]
        server.released.set()
        answer = commands.process("run", "candidates", "--workers", "1", cwd=tmp_path)
        assert answer.code == 0, answer  # it would be 1 if the claim were still held
    status = json.loads(commands.lake("--root", tmp_path / "lake", "status", "--json").out)
    assert (status[0]["stage"], status[0]["state"], status[0]["done"]) == ("candidates", "fresh", 1)
