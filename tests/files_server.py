"""An HTTP server on loopback that serves bytes by path and fails when told to, as stores do.

Ranges are served as Common Crawl's store serves them. A failure is spent by one request: a status to answer
with, "reset" for a connection that is broken off, or a number: so many bytes of the body arrive, though its
whole length is promised.
"""

from __future__ import annotations

import re
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Failure = int | str
STATUSES = range(400, 600)


@dataclass
class Site:
    """`files` by path; `failures` by path, first to last; `asked` are the requests, with their ranges."""

    files: dict[str, bytes]
    failures: dict[str, list[Failure]] = field(default_factory=dict)
    ranges: bool = True
    lengths: bool = True
    url: str = ""
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@contextmanager
def serving(site: Site, tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    """`site` with its URL, while it is served."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            site.asked.append((self.path, wanted))
            failures = site.failures.get(self.path, [])
            failure = failures.pop(0) if failures else None
            body = site.files.get(self.path)
            if failure == "reset":
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.close_connection = True
                self.connection.close()
            elif failure in STATUSES:
                self.send_error(int(failure))
            elif body is None:
                self.send_error(404)
            else:
                self.answer(body, wanted if site.ranges else None, failure)

        def answer(self, body: bytes, wanted: str | None, cut: Failure | None) -> None:
            first = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted else 0  # type: ignore[index]
            self.send_response(206 if wanted else 200)
            if wanted:
                self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
            if site.lengths:
                self.send_header("Content-Length", str(len(body) - first))
            self.end_headers()
            part = memoryview(body)[first:]
            self.wfile.write(part if cut is None else part[: int(cut)])

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that breaks off, which seeking does, and the failure "reset" are no news."""

    with Server(("127.0.0.1", 0), Handler) as server:
        site.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()
