"""sample_id and url_id are the hash that LAION's score tables join by."""

import mmh3
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from transforms.candidates import keys

MASK = (1 << 64) - 1


def murmur3_x64_128(data: bytes, seed: int = 0) -> int:
    """The first 64 bits, signed, of MurmurHash3_x64_128, written down from Austin Appleby's description."""

    def rotate(x: int, r: int) -> int:
        return ((x << r) | (x >> (64 - r))) & MASK

    def mix(x: int) -> int:
        x = ((x ^ (x >> 33)) * 0xFF51AFD7ED558CCD) & MASK
        x = ((x ^ (x >> 33)) * 0xC4CEB9FE1A85EC53) & MASK
        return x ^ (x >> 33)

    c1, c2 = 0x87C37B91114253D5, 0x4CF5AD432745937F
    h1 = h2 = seed
    full = len(data) // 16 * 16
    for i in range(0, full, 16):
        k1, k2 = (int.from_bytes(data[j : j + 8], "little") for j in (i, i + 8))
        h1 ^= (rotate((k1 * c1) & MASK, 31) * c2) & MASK
        h1 = ((rotate(h1, 27) + h2) * 5 + 0x52DCE729) & MASK
        h2 ^= (rotate((k2 * c2) & MASK, 33) * c1) & MASK
        h2 = ((rotate(h2, 31) + h1) * 5 + 0x38495AB5) & MASK
    tail = data[full:]
    h2 ^= (rotate((int.from_bytes(tail[8:], "little") * c2) & MASK, 33) * c1) & MASK
    h1 ^= (rotate((int.from_bytes(tail[:8], "little") * c1) & MASK, 31) * c2) & MASK
    h1, h2 = h1 ^ len(data), h2 ^ len(data)
    h1 = (h1 + h2) & MASK
    h2 = (h2 + h1) & MASK
    h1, h2 = mix(h1), mix(h2)
    h1 = (h1 + h2) & MASK
    return h1 - (1 << 64) if h1 >> 63 else h1


def test_published_value() -> None:
    # README of the package mmh3: mmh3.hash64('foo') == (-2129773440516405919, 9128664383759220103)
    assert keys.url_id("foo") == -2129773440516405919
    assert keys.sample_id("f", "oo") == -2129773440516405919


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_the_same_hash_computed_otherwise(url: str, text: str) -> None:
    expected = murmur3_x64_128((url + text).encode())
    assert keys.sample_id(url, text) == expected
    assert keys.sample_id(url, text) == mmh3.hash64((url + text).encode(), 0, True, signed=True)[0]
    assert keys.url_id(url) == murmur3_x64_128(url.encode())


def test_arrays_have_the_keys_of_their_rows() -> None:
    urls = ["http://a.example/1.jpg", "http://a.example/ü.jpg", "", None]
    texts = ["a caption", "смотри", "", "text"]
    ids = keys.sample_ids(pa.array(urls, pa.string()), pa.array(texts))
    assert ids.type == pa.int64()
    assert ids.to_pylist() == [keys.sample_id(u or "", t) for u, t in zip(urls, texts, strict=True)]
    assert keys.url_ids(pa.array(urls, pa.string())).to_pylist() == [keys.url_id(u or "") for u in urls]
    assert len(keys.sample_ids(pa.array([], pa.string()), pa.array([], pa.string()))) == 0
