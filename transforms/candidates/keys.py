"""The keys of pairs and of pictures: LAION's own join key, so that its score files join to this lake.

LAION-5B's released columns hold ``hash = mmh3.hash64((URL + TEXT).encode("utf-8"))[0]`` with a NULL
taken as the empty string (laion-prepro, ``compute_hash``); seed 0, the x64 variant, signed.
"""

from __future__ import annotations

import mmh3
import numpy as np
import pyarrow as pa


def sample_id(url: str, text: str) -> int:
    """The int64 key of a pair, from its resolved URL and its cleaned, cut text."""
    return int(mmh3.hash64((url + text).encode())[0])


def url_id(url: str) -> int:
    """The int64 key of a picture: the same hash of the URL alone."""
    return int(mmh3.hash64(url.encode())[0])


def sample_ids(urls: pa.Array, texts: pa.Array) -> pa.Array:
    """`sample_id` of each row of two string arrays of equal length, as int64[n]; NULL counts as ""."""
    hash64 = mmh3.hash64
    rows = zip(urls.to_pylist(), texts.to_pylist(), strict=True)
    keys = (hash64((url or "") + (text or ""))[0] for url, text in rows)
    return pa.array(np.fromiter(keys, np.int64, len(urls)))


def url_ids(urls: pa.Array) -> pa.Array:
    """`url_id` of each row of a string array, as int64[n]; NULL counts as ""."""
    hash64 = mmh3.hash64
    return pa.array(np.fromiter((hash64(url or "")[0] for url in urls.to_pylist()), np.int64, len(urls)))
