"""Crawl files and URL lists, wherever they are; over a network, read on where a failure broke off.

http and https are read with one request per run of bytes, other protocols through fsspec, with what it and
its stores take from the environment (AWS_*, FSSPEC_*). Nothing is held but the bytes asked for.
"""

from __future__ import annotations

import http.client
import io
import re
import socket
import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import fsspec

USER_AGENT = "Pairlake"  # for crawl files alone: the pictures' servers are told more (`Network.user_agent`)
BUFFER = 64 * 1024  # bytes per read of a connection

_TOTAL = re.compile(r"bytes (\d+)-\d*/(\d+)")


@dataclass(frozen=True)
class Reads:
    """How patiently files are read over a network. Decides nothing about the data.

    What may pass is tried again: connections that fail, break or fall silent, answers that end too early, and
    the statuses 408, 429 and 5xx (Common Crawl asks those who get 503 to slow down and try later). A file
    that is not there, or not for us, is not asked for twice.
    """

    attempts: int = 7
    """failures in a row, without a byte between them, until a file is given up: after about a minute"""
    wait_seconds: float = 1.0
    """before the second try, doubled for each further one"""
    max_wait_seconds: float = 60.0
    """longest wait before a try"""
    silent_seconds: float = 60.0
    """without a byte, until a connection counts as broken (http and https)"""


def open_file(path: str, reads: Reads) -> BinaryIO:
    """The file at `path`, a path or URL, for reading; it can be sought in.

    Opening and reading raise FileNotFoundError, PermissionError or another OSError that names the path, once
    what `reads` allows is spent.
    """
    if "://" not in path and "::" not in path:
        return open(path, "rb")
    return io.BufferedReader(_Resumed(path, reads), BUFFER)


READS = Reads()


class _Resumed(io.RawIOBase):
    """A file over a network that connects again, where it was, after a failure that may pass."""

    def __init__(self, path: str, reads: Reads) -> None:
        self._path, self._reads = path, reads
        self._connect = _http if path.startswith(("http://", "https://")) else _store
        self._stream: Any = None
        self._at = 0
        self._size: int | None = None
        self._tried(self._connected)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            if self._size is None:
                raise io.UnsupportedOperation(f"{self._path}: the server does not say how long it is")
            offset += self._size
        elif whence == io.SEEK_CUR:
            offset += self._at
        if offset != self._at and self._stream is not None:
            if self._stream.seekable():
                self._stream.seek(offset)
            else:
                self._disconnect()
        self._at = offset
        return offset

    def readinto(self, buffer: Any) -> int:
        data: bytes = self._tried(lambda: self._read(len(buffer)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._disconnect()
        super().close()

    def _read(self, n: int) -> bytes:
        if self._size is not None and self._at >= self._size:
            return b""
        data = bytes(self._connected().read(n))
        if not data and self._size is not None:
            raise ConnectionError(f"ended after {self._at} of {self._size} bytes")
        return data

    def _connected(self) -> Any:
        if self._stream is None:
            self._stream, size = self._connect(self._path, self._at, self._reads)
            if self._size is not None and size != self._size:
                raise _ChangedError(f"had {self._size} bytes, now {size}")
            self._size = size
        return self._stream

    def _disconnect(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _tried(self, action: Callable[[], Any]) -> Any:
        """What `action` returns, in as many tries as the limits allow."""
        for failures in range(1, self._reads.attempts + 1):
            try:
                return action()
            except _failures() as error:
                self._disconnect()
                if isinstance(error, HTTPError):
                    error.close()
                if failures == self._reads.attempts or not _may_pass(error):
                    raise _told(self._path, error, failures) from error
            time.sleep(min(self._reads.wait_seconds * 2 ** (failures - 1), self._reads.max_wait_seconds))
        raise ValueError("attempts must be at least 1")


class _ChangedError(OSError):
    """The file is not the one whose beginning was read."""


def _http(url: str, position: int, reads: Reads) -> tuple[Any, int | None]:
    """The answer's body from `position` on, and how long the file is, if the server says so."""
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    if position:
        headers["Range"] = f"bytes={position}-"
    answer = urlopen(Request(url, headers=headers), timeout=reads.silent_seconds)
    if answer.status == 206:
        part = _TOTAL.match(answer.headers.get("Content-Range", ""))
        if not part or int(part[1]) != position:
            raise ConnectionError(f"another range than asked for: {answer.headers.get('Content-Range')}")
        return answer, int(part[2])
    size = answer.length
    while position and (skipped := answer.read(min(position, BUFFER))):  # the server knows no ranges
        position -= len(skipped)
    return answer, size


def _store(url: str, position: int, reads: Reads) -> tuple[Any, int | None]:
    """The file of another store, at `position`, and its length."""
    stream = fsspec.open(url, "rb").open()
    stream.seek(position)
    return stream, getattr(stream, "size", None)


def _failures() -> tuple[type[Exception], ...]:
    """What reading raises; the classes of botocore and aiohttp exist where a store has imported them."""
    stores = (("botocore.exceptions", "BotoCoreError"), ("aiohttp", "ClientError"))
    loaded = [getattr(sys.modules[module], name) for module, name in stores if module in sys.modules]
    return OSError, http.client.HTTPException, *loaded


def _may_pass(error: Exception) -> bool:
    if isinstance(error, HTTPError):
        return error.code in (408, 429) or error.code >= 500
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, socket.gaierror):
        return cause.errno == socket.EAI_AGAIN
    lasting = (
        _ChangedError,
        FileNotFoundError,
        PermissionError,
        IsADirectoryError,
        NotADirectoryError,
        ssl.SSLCertVerificationError,
        http.client.InvalidURL,
    )
    return not isinstance(cause, lasting)


def _told(path: str, error: Exception, tries: int) -> OSError:
    """The error that says what failed, where, and after how many tries."""
    code = error.code if isinstance(error, HTTPError) else None
    if code in (404, 410) or isinstance(error, FileNotFoundError):
        return FileNotFoundError(f"{path}: there is no such file" + (f" (status {code})" if code else ""))
    reason = error.reason if isinstance(error, URLError) else error
    what = f"status {code} {reason}" if code else " ".join(str(reason).split()) or type(reason).__name__
    kind = PermissionError if code in (401, 403) or isinstance(error, PermissionError) else OSError
    return kind(f"{path}: {what}" + (f", after {tries} tries" if tries > 1 else ""))
