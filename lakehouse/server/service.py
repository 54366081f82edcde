"""What all routes share."""

from __future__ import annotations

import hmac
import threading
from contextlib import suppress
from dataclasses import dataclass, field

from lakehouse.errors import LakeError
from lakehouse.server.limits import Limits
from lakehouse.server.pictures import Thumbnails
from lakehouse.server.versions import Versions
from transforms.downloads.rules import Network


class NotAllowedError(LakeError):
    """The request has no token, or a wrong one, or the server takes no writes at all."""


@dataclass
class Service:
    """One lake, as it is served."""

    versions: Versions
    limits: Limits
    network: Network  # how pictures are fetched for visitors
    token: str | None = None  # who has it may save subsets and ask for removal; None: nobody may
    thumbnails: Thumbnails = field(default_factory=Thumbnails)
    comparing: threading.Lock = field(default_factory=threading.Lock)  # of two versions: one at a time
    writing: threading.Lock = field(default_factory=threading.Lock)
    ready: threading.Event = field(default_factory=threading.Event)  # the model is loaded

    def check(self, authorization: str | None) -> None:
        """Raises NotAllowedError unless the header `authorization` has this server's token."""
        if not self.token:
            raise NotAllowedError("this server takes no writes: it was started without a token")
        scheme, _, given = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self.token.encode()):
            raise NotAllowedError("this needs the server's token: Authorization: Bearer TOKEN")

    def warm(self) -> None:
        """Loads the first model and opens the lake, so that the first visitor does not wait for it."""
        from lakehouse.search import Query

        with suppress(LakeError):  # nothing is embedded yet, or the model is not here: a search says so
            self.versions.get().searcher(None).find(Query(text="warm", k=1))
        self.ready.set()
