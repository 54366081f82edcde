"""Pictures that come in with a question, and pictures of the lake that go out."""

from __future__ import annotations

import asyncio
import base64
import binascii
import dataclasses
import io
import threading
from collections import OrderedDict

from PIL import Image

from lakehouse import pictures
from lakehouse.errors import UsageError
from lakehouse.lake import Lake
from lakehouse.server.limits import Limits
from transforms.downloads.client import Client
from transforms.downloads.encoding import decoded
from transforms.downloads.fetch import REDIRECTS, redirected
from transforms.downloads.image import picture
from transforms.downloads.resolve import is_own, target
from transforms.downloads.rules import KNOWN_FORMATS, DownloadRules, Network
from transforms.downloads.status import DownloadError

SIDE = 384  # pixels of the shorter side that a model may look at: none that the lake knows takes more
THUMBNAIL = 256  # pixels of the longer side of a thumbnail
KEPT = 1_000  # thumbnails kept in memory: some 20 kB each
REDIRECTS_FOLLOWED = 5


def rules(limits: Limits) -> DownloadRules:
    """What a picture in a question is held to: the rules of downloads, with this server's limits."""
    return DownloadRules(
        connect_seconds=limits.url_seconds,
        read_seconds=limits.url_seconds,
        total_seconds=limits.url_seconds,
        max_bytes=limits.image_bytes,
        min_bytes=1,
        max_pixels=limits.image_pixels,
        formats=KNOWN_FORMATS,
        size=SIDE,
        format="PNG",
    )


def given(text: str, limits: Limits) -> bytes:
    """A picture sent in base64, decoded within the limits and made small. Raises UsageError."""
    try:
        data = base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UsageError("the picture is not in base64") from error
    return _small(data, limits)


def found_at(url: str, network: Network, limits: Limits) -> bytes:
    """The picture at `url`, asked for at a public address only. Raises UsageError."""
    if not network.user_agent and not is_own_server(url, network):
        raise UsageError("searching by URL is off: this server's network.user_agent is not set")
    try:
        return _small(asyncio.run(_fetch(url, network, limits)), limits)
    except DownloadError as error:
        raise UsageError(f"no picture from that URL: {error.status}") from error  # and no word on why


def is_own_server(url: str, network: Network) -> bool:
    """Whether the operator's settings name the server of `url` as one of their own."""
    try:
        return is_own(target(url, network), network)
    except DownloadError:
        return False


async def _fetch(url: str, network: Network, limits: Limits) -> bytes:
    held = rules(limits)
    async with asyncio.timeout(limits.url_seconds), Client(held, network) as client:
        for _ in range(REDIRECTS_FOLLOWED + 1):
            answer = await client.get(target(url, network), limits.url_seconds, limits.image_bytes, _judge)
            if answer.status in REDIRECTS and "Location" in answer.headers:
                url = redirected(url, answer.headers["Location"])
                continue
            if answer.status != 200:
                raise UsageError("no picture from that URL: http_error")
            return decoded(answer.body, answer.encoding, limits.image_bytes)
    raise UsageError("no picture from that URL: too many redirects")


def _judge(status: int, headers: object) -> None:
    """Any head may pass; with a judge, a body over the limit is refused and not cut."""


def _small(data: bytes, limits: Limits) -> bytes:
    if len(data) > limits.image_bytes:
        raise UsageError(f"the picture has {len(data):,} bytes: {limits.image_bytes:,} are allowed")
    try:
        return picture(data, rules(limits)).data
    except DownloadError as error:
        raise UsageError(f"not a picture that can be searched by: {error.status}") from error


def outgoing(network: Network) -> Network:
    """How pictures for strangers are fetched: no address of ours, whatever the crawler may reach."""
    return dataclasses.replace(network, resolve={}, allow_loopback=False)


class Thumbnails:
    """Stored pictures made small, the last of them kept. For one state of the lake."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str | None, int], bytes | None] = OrderedDict()
        self._state: object = None
        self._lock = threading.Lock()

    def get(self, lake: Lake, release: str | None, url_id: int, state: object) -> bytes | None:
        """A JPEG no larger than THUMBNAIL; None where the lake holds no such picture."""
        key = (release, url_id)
        with self._lock:
            if state != self._state:  # what was removed is gone from here as well
                self._kept.clear()
                self._state = state
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        data = pictures.stored(lake, [url_id]).get(url_id)
        made = None if data is None else _thumbnail(data)
        with self._lock:
            if state == self._state:
                self._kept[key] = made
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
        return made


def _thumbnail(data: bytes) -> bytes:
    """Always encoded anew, so that what is served is a picture and nothing else."""
    with Image.open(io.BytesIO(data), formats=KNOWN_FORMATS) as image:
        image.draft("RGB", (THUMBNAIL, THUMBNAIL))
        small = image.convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=85)
    return file.getvalue()
