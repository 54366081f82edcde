"""Tombstones: what was taken out of a lake and must not come in again.

A tombstone is a *kind* and 64 bits of a hash; of a request nothing else is kept. Kinds, and what stands
for them:

- ``sample_id``, ``url_id``: the keys themselves;
- ``host``: the first half of MurmurHash3 x64 128 of the host name, as in `url_id`;
- ``sha256``, ``md5``: the first 8 bytes of the digest of a picture's file;
- ``url_sha256``, ``url_sha1``, ``url_md5``: the first 8 bytes of the digest of a URL in UTF-8.

With n tombstones and m rows about n * m / 2^64 rows are refused by accident: 0.004 of a row for the 14
million hashes that Re-LAION-5B was held against and 5 billion rows. Each kind is a sorted int64 array, 8
bytes a tombstone, so that millions fit into every worker.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import mmh3
import numpy as np
import numpy.typing as npt
import pyarrow as pa

Keys = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

DIGESTS = {"sha256": 64, "md5": 32, "url_sha256": 64, "url_sha1": 40, "url_md5": 32}
"""The kinds that are digests, and their length in hex digits."""

KINDS = ("sample_id", "url_id", "host", *DIGESTS)
_PREFIX = 16  # hex digits that are kept


@dataclass(frozen=True)
class Tombstones:
    """Per kind a sorted int64 array; kinds without tombstones are left out."""

    keys: Mapping[str, Keys] = field(default_factory=dict)

    @classmethod
    def of(cls, found: Mapping[str, Sequence[int] | Keys]) -> Tombstones:
        """Sorts what is given per kind, once each."""
        arrays = {kind: np.unique(np.asarray(some, np.int64)) for kind, some in found.items() if len(some)}
        return cls(arrays)

    def __len__(self) -> int:
        return sum(len(some) for some in self.keys.values())

    def has(self, kind: str, keys: Keys) -> Mask:
        """Which of `keys` (int64[n]) are tombstones of `kind`."""
        some = self.keys.get(kind)
        if some is None or len(keys) == 0:
            return np.zeros(len(keys), bool)
        places = np.minimum(np.searchsorted(some, keys), len(some) - 1)
        mask: Mask = some[places] == keys
        return mask

    def candidates(self, rows: pa.Table) -> Mask:
        """Which candidates (columns sample_id, url_id, url, host) are refused."""
        mask = self.has("sample_id", rows["sample_id"].to_numpy())
        mask |= self.has("url_id", rows["url_id"].to_numpy())
        mask |= self._texts(rows["host"], {"host": text_key})
        return mask | self._texts(rows["url"], _URL_HASHES)

    def urls(self, urls: pa.Array | pa.ChunkedArray) -> Mask:
        """Which URLs (string[n]) are refused, by their own hashes or by their host; NULL is not."""
        return self._texts(urls, {"url_id": text_key, "host": host_key, **_URL_HASHES})

    def _texts(
        self, texts: pa.Array | pa.ChunkedArray, kinds: Mapping[str, Callable[[str], int | None]]
    ) -> Mask:
        mask = np.zeros(len(texts), bool)
        for kind, key in kinds.items():
            if kind in self.keys:
                mask |= self._has_some(kind, [None if t is None else key(t) for t in texts.to_pylist()])
        return mask

    def pictures(self, rows: pa.Table) -> Mask:
        """Which rows (columns sha256, md5: hex digests or NULL) are of refused pictures."""
        mask = np.zeros(len(rows), bool)
        for kind in ("sha256", "md5"):
            if kind in self.keys:
                mask |= self._has_some(kind, [k and digest_key(k) for k in rows[kind].to_pylist()])
        return mask

    def _has_some(self, kind: str, keys: Sequence[int | None]) -> Mask:
        known = np.array([key is not None for key in keys], bool)
        values = np.array([0 if key is None else key for key in keys], np.int64)
        return known & self.has(kind, values)


def text_key(text: str) -> int:
    """What stands for a URL or a host name."""
    return int(mmh3.hash64(text.encode())[0])


def digest_key(digest: str) -> int:
    """What stands for a digest in hex: its first 8 bytes as a signed integer."""
    return int.from_bytes(bytes.fromhex(digest[:_PREFIX]), "big", signed=True)


def host_key(url: str) -> int | None:
    """What stands for the host of a URL; None where it has none."""
    try:
        host = urlsplit(url).hostname
    except ValueError:  # such as an unclosed bracket
        return None
    return text_key(host) if host else None


def _digest_of(name: str) -> Callable[[str], int]:
    return lambda url: digest_key(hashlib.new(name, url.encode(), usedforsecurity=False).hexdigest())


_URL_HASHES = {f"url_{name}": _digest_of(name) for name in ("sha256", "sha1", "md5")}
