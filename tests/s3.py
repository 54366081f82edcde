"""An S3 server on loopback (moto), and a proxy before it that loses a reply when it is told to.

Both run in processes of their own: delta-rs holds the GIL while it waits for a store.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3

from lakehouse.storage import Storage

KEYS = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "aws_region": "us-east-1"}


@contextmanager
def served(*arguments: str) -> Iterator[str]:
    """The address of a program that is started with `arguments` and a free port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, *arguments, str(port)], **quiet)  # type: ignore[call-overload]
    try:
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@contextmanager
def s3() -> Iterator[str]:
    """The address of an S3 server."""
    with served("-m", "moto.server", "-H", "127.0.0.1", "-p") as address:
        yield address


@contextmanager
def lossy(upstream: str, wish: Path) -> Iterator[str]:
    """The address of the proxy; see `Lossy`."""
    with served(__file__, upstream, str(wish)) as address:
        yield address


def new_folder(address: str, name: str) -> Storage:
    """A folder of a new bucket."""
    bucket = hashlib.sha256(name.encode()).hexdigest()[:20]
    secret = {name: KEYS[name] for name in ("aws_access_key_id", "aws_secret_access_key")}
    client = boto3.client("s3", endpoint_url=f"http://{address}", region_name=KEYS["aws_region"], **secret)
    client.create_bucket(Bucket=bucket)
    return at(address, f"s3://{bucket}/some/lake")


def at(address: str, root: str) -> Storage:
    """`root` by way of the server or proxy at `address`."""
    return Storage(root, {**KEYS, "aws_endpoint_url": f"http://{address}", "allow_http": "true"})


class Lossy(BaseHTTPRequestHandler):
    """Passes requests on. While the file `wish` exists, the reply to the first PUT whose path matches the
    regular expression in it is lost: the store has done what it was asked, and the client never hears it.
    """

    protocol_version = "HTTP/1.1"
    upstream, wish = "", Path()

    def pass_on(self) -> None:
        """One request there and its reply back, or not."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        there = http.client.HTTPConnection(self.upstream, timeout=60)
        there.request(self.command, self.path, body, dict(self.headers))
        reply = there.getresponse()
        data = reply.read()
        there.close()
        if self.command == "PUT" and self.wish.exists() and re.search(self.wish.read_text(), self.path):
            self.wish.unlink()
            self.close_connection = True
            return
        self.send_response_only(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = pass_on  # noqa: N815


if __name__ == "__main__":
    Lossy.upstream, Lossy.wish = sys.argv[1], Path(sys.argv[2])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[3])), Lossy).serve_forever()
