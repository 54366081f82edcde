"""Content-Encoding of bodies that came encoded although we asked for none, inflated within a limit."""

from __future__ import annotations

import zlib

from transforms.downloads.status import DownloadError, DownloadStatus

_GZIP, _ZLIB, _RAW = 31, 15, -15  # zlib's window bits for each container


def decoded(body: bytes, encoding: str, limit: int) -> bytes:
    """`body` without its Content-Encoding (the header's value; "" for none): gzip or deflate.

    Raises DownloadError: too_large beyond `limit` bytes, of which no more are ever held; truncated if the
    stream ends early; bad_response if it is damaged or in another encoding.
    """
    names = [name.strip().lower() for name in encoding.split(",")]
    for name in reversed([name for name in names if name not in ("", "identity", "none")]):
        if name in ("gzip", "x-gzip"):
            body = _inflated(body, _GZIP, limit)
        elif name == "deflate":  # RFC 9110 means zlib, some servers send raw deflate
            body = _inflated(body, _ZLIB if _is_zlib(body) else _RAW, limit)
        else:
            raise DownloadError(DownloadStatus.BAD_RESPONSE, "content encoding is neither gzip nor deflate")
    return body


def _is_zlib(body: bytes) -> bool:
    return body[:1] == b"\x78" and int.from_bytes(body[:2], "big") % 31 == 0


def _inflated(body: bytes, window: int, limit: int) -> bytes:
    pieces: list[bytes] = []
    room = limit
    while body:
        stream = zlib.decompressobj(window)
        try:
            piece = stream.decompress(body, room + 1)
        except zlib.error as error:
            raise DownloadError(DownloadStatus.BAD_RESPONSE, "content encoding is damaged") from error
        room -= len(piece)
        if room < 0:
            raise DownloadError(DownloadStatus.TOO_LARGE, f"more than {limit} bytes once decoded")
        if not stream.eof:
            raise DownloadError(DownloadStatus.TRUNCATED, "content encoding ends early")
        pieces.append(piece)
        body = stream.unused_data if window == _GZIP else b""  # gzip may have several members
    return b"".join(pieces)
