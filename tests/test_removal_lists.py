"""Requests: arguments and lists of hashes, in text and parquet, and what is refused by them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.errors import UsageError
from lakehouse.requests import request
from transforms.candidates.keys import sample_id, url_id
from transforms.candidates.rules import CandidateRules
from transforms.tombstones import DIGESTS, Tombstones, digest_key

RULES = CandidateRules()
URL = "https://pictures.test/cat.jpg"
# sha256 and md5 of b"abc": FIPS 180-4 and RFC 1321
SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
MD5 = "900150983cd24fb0d6963f7d28e17f72"
SHA1 = "a9993e364706816aba3e25717850c26c9cd0d89d"


def keys(found: Tombstones) -> dict[str, list[int]]:
    return {kind: some.tolist() for kind, some in found.keys.items()}


def test_a_text_list(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"# pictures\n{SHA256}\n\n{MD5.upper()}\nurl_sha1:{SHA1}\n{URL}\n  sample_id: -5\n")
    assert keys(request(RULES, {}, [path])) == {
        "sha256": [int.from_bytes(bytes.fromhex(SHA256[:16]), "big", signed=True)],
        "md5": [int.from_bytes(bytes.fromhex(MD5[:16]), "big", signed=True)],
        "url_sha1": [int.from_bytes(bytes.fromhex(SHA1[:16]), "big", signed=True)],
        "url_id": [url_id(URL)],
        "sample_id": [-5],
    }


def test_a_parquet_list(tmp_path: Path) -> None:
    path = tmp_path / "list.parquet"
    digest = bytes.fromhex(SHA256)
    table = pa.table(
        {
            "sample_id": pa.array([sample_id(URL, "a cat"), None], pa.int64()),
            "sha256": pa.array([None, digest], pa.binary()),
            "md5": [MD5, None],
            "url": [URL, None],
            "note": ["not read", "nor this"],
        }
    )
    pq.write_table(table, path)
    found = keys(request(RULES, {}, [path]))
    assert found == {
        "sample_id": [sample_id(URL, "a cat")],
        "sha256": [digest_key(SHA256)],
        "md5": [digest_key(MD5)],
        "url_id": [url_id(URL)],
    }


def test_a_million_hashes_take_eight_bytes_each(tmp_path: Path) -> None:
    path = tmp_path / "list.parquet"
    numbers = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, 1_000_000)
    pq.write_table(pa.table({"url_id": numbers}), path)
    found = request(RULES, {}, [path])
    assert found.keys["url_id"].nbytes == 8_000_000
    assert found.has("url_id", numbers[:1000]).all()
    assert not found.has("url_id", numbers[:1000] + 1).any()


def test_a_url_counts_as_written_and_as_candidates_have_it() -> None:
    found = request(RULES, {"url": [" https://pictures.test/c\tat.jpg"]})
    assert set(keys(found)["url_id"]) == {url_id("https://pictures.test/c\tat.jpg"), url_id(URL)}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("abc", "'abc' is no picture's sha256 or md5"),
        (SHA1, "is no picture's sha256 or md5"),
        (f"sha256:{MD5}", "is no sha256: expected 64 hex digits"),
        ("md5:" + "x" * 32, "is no md5: expected 32 hex digits"),
        ("phash:12", "no kind 'phash'"),
        ("sample_id:99999999999999999999", "is no sample_id"),
        ("host:", "is no host name"),
    ],
)
def test_what_is_no_hash_is_named_with_its_line(line: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"{SHA256}\n{line}\n")
    with pytest.raises(UsageError, match=r"list\.txt, line 2: .*" + problem):
        request(RULES, {}, [path])


def test_a_list_that_is_missing_or_has_no_column_of_ours(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        request(RULES, {}, [tmp_path / "none"])
    pq.write_table(pa.table({"x": [1]}), tmp_path / "x.parquet")
    with pytest.raises(UsageError, match="none of its columns is named url, sample_id"):
        request(RULES, {}, [tmp_path / "x.parquet"])


@settings(deadline=None)
@given(st.lists(st.text(min_size=1).map(lambda path: f"https://pictures.test/{path}"), min_size=1), st.data())
def test_each_kind_of_url_hash_refuses_its_url_and_no_other(urls: list[str], data: st.DataObject) -> None:
    chosen = data.draw(st.sampled_from(urls))
    for kind in [kind for kind in DIGESTS if kind.startswith("url_")]:
        digest = hashlib.new(kind.removeprefix("url_"), chosen.encode()).hexdigest()
        stones = Tombstones.of({kind: [digest_key(digest)]})
        assert stones.urls(pa.array([*urls, None])).tolist() == [*[url == chosen for url in urls], False]


def test_pictures_are_refused_by_either_digest() -> None:
    stones = request(RULES, {"sha256": [SHA256], "md5": [MD5]})
    rows = pa.table({"sha256": [SHA256, "0" * 64, None], "md5": ["0" * 32, MD5, None]})
    assert stones.pictures(rows).tolist() == [True, True, False]


def test_hosts_are_refused_alone() -> None:
    stones = request(RULES, {"host": ["Example.COM", "bücher.test"]})
    urls = [
        "http://example.com/1",
        "http://www.example.com/2",
        "https://EXAMPLE.com:8080/3",
        "http://x.test/",
    ]
    assert stones.urls(pa.array(urls)).tolist() == [True, False, True, False]
    rows = {
        "sample_id": [1],
        "url_id": [2],
        "url": ["http://xn--bcher-kva.test/4"],
        "host": ["xn--bcher-kva.test"],
    }
    assert stones.candidates(pa.table(rows)).tolist() == [True]
