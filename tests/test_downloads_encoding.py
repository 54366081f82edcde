"""Content-Encoding is undone within the limit, whatever was sent."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.downloads.encoding import decoded
from transforms.downloads.status import DownloadError


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@given(st.binary(max_size=5_000), st.binary(max_size=5_000))
def test_round_trips(data: bytes, more: bytes) -> None:
    size = len(data) + len(more)
    assert decoded(data, "", size) == decoded(data, "Identity", size) == data
    assert decoded(gzip.compress(data) + gzip.compress(more), "gzip", size) == data + more
    assert decoded(zlib.compress(data), "deflate", size) == data
    assert decoded(gzip.compress(zlib.compress(data)), "deflate, GZIP", size + 100) == data


@given(st.binary(min_size=1, max_size=5_000))
def test_raw_deflate(data: bytes) -> None:
    assert decoded(raw_deflate(data), "deflate", len(data)) == data


@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate", "br", "gzip, gzip", "zstd"]))
def test_any_body(body: bytes, encoding: str) -> None:
    try:
        assert len(decoded(body, encoding, 1_000)) <= 1_000
    except DownloadError as error:
        status = error.status
    else:
        status = "success"
    assert status in ("success", "bad_response", "truncated", "too_large")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, gzip"])
def test_bomb_is_not_inflated_beyond_the_limit(encoding: str) -> None:
    bomb = bytes(100_000_000)
    bomb = zlib.compress(bomb) if encoding == "deflate" else gzip.compress(bomb)
    bomb = gzip.compress(bomb) if "," in encoding else bomb
    tracemalloc.start()
    try:
        with pytest.raises(DownloadError) as caught:
            decoded(bomb, encoding, 1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
    assert caught.value.status == "too_large"


def test_many_members_share_one_limit() -> None:
    with pytest.raises(DownloadError) as caught:
        decoded(gzip.compress(bytes(100_000)) * 20, "gzip", 1_000_000)
    assert caught.value.status == "too_large"


def test_cut_short() -> None:
    with pytest.raises(DownloadError) as caught:
        decoded(gzip.compress(bytes(range(256)) * 10)[:-9], "gzip", 10_000)
    assert (caught.value.status, caught.value.error) == ("truncated", "content encoding ends early")
