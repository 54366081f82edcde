"""Lists of what must not be stored: a hit is a row with its own status, and nothing of the picture."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from downloads_fixtures import PATIENT, counts, data_rows, encoded, frame, network, photo
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from webserver import answer, redirect, serving

from transforms.downloads import BadListError, HashLists, Refused, fetch_partition, load
from transforms.downloads.hamming import Near
from transforms.downloads.image import picture
from transforms.downloads.status import DownloadError
from transforms.tombstones import Tombstones, digest_key, text_key

GOOD, BAD = encoded(photo(seed=1)), encoded(photo(seed=2))
URL = "http://pictures.test/bad.jpg"


def digest(name: str, data: bytes) -> str:
    return hashlib.new(name, data).hexdigest()


def listed(tmp_path: Path, text: str, distance: int = 4) -> Refused:
    path = tmp_path / "bad.txt"
    path.write_text(text)
    return load(HashLists((str(path),), phash_distance=distance))


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        (digest("sha256", BAD), "sha256"),
        (digest("sha1", BAD), "sha1"),
        (digest("md5", BAD).upper(), "md5"),
        (f"md5: {digest('md5', BAD)}", "md5"),
        (f"phash:{picture(BAD, PATIENT).phash & (1 << 64) - 1:016x}", "phash"),
        (URL, "url"),
        (f"url_sha256:{digest('sha256', URL.encode())}", "url_sha256"),
        (f"url_sha1:{digest('sha1', URL.encode())}", "url_sha1"),
        (f"url_md5:{digest('md5', URL.encode())}", "url_md5"),
    ],
)
def test_each_kind_of_entry(entry: str, kind: str, tmp_path: Path) -> None:
    refused = listed(tmp_path, f"# known\n\n{'0' * 64}\n{entry}\n")
    with serving({"/bad.jpg": answer(BAD), "/good.jpg": answer(GOOD)}) as server:
        given = frame([URL, "http://pictures.test/good.jpg"])
        out = fetch_partition(given, PATIENT, network(server), refused)
    bad, good = data_rows(out)
    assert (bad["status"], bad["error"]) == ("listed", f"bad.txt: {kind}")
    told = {"width", "height", "bytes", "sha256", "md5", "phash", "image"}
    assert {name for name in told if bad[name] is not None} == set()
    assert good["status"] == "success"
    assert server.seen["pictures.test", "/bad.jpg"] == (0 if kind.startswith("url") else 1)
    assert counts(out)["u", "note:listed"] == 1


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("sha256", digest_key(digest("sha256", BAD))),
        ("md5", digest_key(digest("md5", BAD))),
        ("host", text_key("pictures.test")),
        ("url_id", text_key(URL)),
    ],
)
def test_what_was_withdrawn_from_the_lake_is_a_list_too(kind: str, key: int) -> None:
    """The picture of a request is refused wherever else it turns up, before a byte of it is stored."""
    refused = load(HashLists(), withdrawn=Tombstones.of({kind: [key], "sample_id": [1]}))
    with serving({"/bad.jpg": answer(BAD), "/good.jpg": answer(GOOD)}) as server:
        given = frame([URL, "http://other.test/good.jpg"])
        bad, good = data_rows(fetch_partition(given, PATIENT, network(server), refused))
    told = kind.replace("url_id", "url")
    assert (bad["status"], bad["error"], bad["image"]) == ("listed", f"withdrawn: {told}", None)
    assert good["status"] == "success"


def test_where_a_redirect_leads(tmp_path: Path) -> None:
    refused = listed(tmp_path, URL)
    with serving({"/moved": redirect(URL), "/bad.jpg": answer(BAD)}) as server:
        (row,) = data_rows(fetch_partition(frame(["http://a.test/moved"]), PATIENT, network(server), refused))
    assert row["status"] == "listed"
    assert server.seen["pictures.test", "/bad.jpg"] == 0


def test_a_list_of_small_files_counts_before_the_size_does(tmp_path: Path) -> None:
    small = BAD[:100]
    with serving({"/bad.jpg": answer(small)}) as server:
        out = fetch_partition(frame([URL]), PATIENT, network(server), listed(tmp_path, digest("sha1", small)))
    assert data_rows(out)[0]["status"] == "listed"


def test_parquet_with_several_kinds(tmp_path: Path) -> None:
    phash = picture(BAD, PATIENT).phash
    table = pa.table(
        {
            "md5": [digest("md5", b"one"), None],
            "sha1": [hashlib.sha1(b"two").digest(), b"\0" * 20],
            "phash": pa.array([phash, None], pa.int64()),
            "url": [None, URL],
            "note": ["not", "read"],
        }
    )
    pq.write_table(table, tmp_path / "more.parquet")
    refused = load(HashLists((str(tmp_path / "more.parquet"),)))
    for check in (
        lambda: refused.file(b"one", digest("sha256", b"one"), digest("md5", b"one")),
        lambda: refused.file(b"two", digest("sha256", b"two"), digest("md5", b"two")),
        lambda: refused.picture(phash),
        lambda: refused.url(URL),
    ):
        with pytest.raises(DownloadError, match=r"more\.parquet"):
            check()
    refused.url("http://pictures.test/other.jpg")
    refused.file(b"x", digest("sha256", b"x"), digest("md5", b"x"))


@pytest.mark.parametrize("quality", [50, 80])
def test_a_picture_saved_again_and_smaller_is_found_by_its_perceptual_hash(
    quality: int, tmp_path: Path
) -> None:
    original = Path(__file__).parent / "data" / "heads" / "416_264.jpg"
    wanted = picture(original.read_bytes(), PATIENT).phash & (1 << 64) - 1
    with Image.open(original) as image:
        again = encoded(image.resize((image.width * 3 // 4, image.height * 3 // 4)), quality=quality)
    refused = listed(tmp_path, f"phash:{wanted:016x}")
    with pytest.raises(DownloadError):
        refused.picture(picture(again, PATIENT).phash)
    refused.picture(picture(GOOD, PATIENT).phash)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("abc", "bad.txt, line 1: 'abc' is no hash"),
        (f"{'0' * 64}\n{'g' * 64}", "bad.txt, line 2: 'gggg"),
        ("sha256:abcd", "'abcd' is no sha256"),
        ("colour:red", "'red' is no colour"),
    ],
)
def test_what_is_no_list(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(BadListError) as caught:
        listed(tmp_path, text)
    assert told in str(caught.value)


def test_parquet_without_a_known_column(tmp_path: Path) -> None:
    pq.write_table(pa.table({"hash": ["a"]}), tmp_path / "odd.parquet")
    with pytest.raises(BadListError, match="none of its columns"):
        load(HashLists((str(tmp_path / "odd.parquet"),)))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=1, max_size=40),
    st.integers(0, 15),
    st.sets(st.integers(0, 63), max_size=18),
    st.data(),
)
def test_nearness_is_counted_in_bits(
    hashes: list[int], distance: int, flipped: set[int], data: st.DataObject
) -> None:
    """As a plain loop over all hashes would find it."""
    value = data.draw(st.sampled_from(hashes)) & (1 << 64) - 1
    for bit in flipped:
        value ^= 1 << bit
    expected = any(((value ^ other) & (1 << 64) - 1).bit_count() <= distance for other in hashes)
    assert Near(np.array(hashes, np.int64), distance).has(value) == expected


def test_an_entry_takes_eight_bytes(tmp_path: Path) -> None:
    digests = np.random.default_rng(0).bytes(20 * 200_000)
    rows = [digests[i : i + 20] for i in range(0, len(digests), 20)]
    file = io.BytesIO()
    pq.write_table(pa.table({"sha1": rows}), file)
    (tmp_path / "many.parquet").write_bytes(file.getvalue())
    refused = load(HashLists((str(tmp_path / "many.parquet"),)))
    assert sum(keys.nbytes for keys in refused.lists[0].keys.keys.values()) == 8 * 200_000


def expecting(tmp_path: Path, **columns: object) -> Refused:
    path = tmp_path / "expected.parquet"
    pq.write_table(pa.table(columns), path)
    return load(HashLists(expected=(str(path),)))


@pytest.mark.parametrize("kind", ["sha256", "sha1", "md5"])
def test_what_is_expected_of_a_url(kind: str, tmp_path: Path) -> None:
    """The file that its publisher saw is taken, another is not; who is not listed may bring anything."""
    names = ("as_it_was", "changed", "either", "null", "unlisted")
    urls = [f"http://pictures.test/{name}.jpg" for name in names]
    good, bad = digest(kind, GOOD), digest(kind, BAD)
    refused = expecting(
        tmp_path,
        url=[urls[0], urls[1], urls[2], urls[2], urls[3]],
        **{kind: [good.upper(), bad, bad, good, None]},
    )
    with serving({f"/{name}.jpg": answer(GOOD) for name in names}) as server:
        out = fetch_partition(frame(urls), PATIENT, network(server), refused)
    found = dict(zip(names, data_rows(out), strict=True))
    assert {name for name in names if found[name]["status"] != "success"} == {"changed"}
    changed = found["changed"]
    assert (changed["status"], changed["error"]) == ("unexpected", f"{kind} is another than expected")
    assert (changed["sha256"], changed["image"]) == (digest("sha256", GOOD), None)
    assert counts(out)["u", "note:unexpected"] == 1


@pytest.mark.parametrize(
    "columns",
    [{"url": ["http://a.test/"]}, {"md5": ["ab" * 16]}, {"url": ["http://a.test/"], "md5": ["ab"]}],
    ids=["no digest", "no url", "no md5"],
)
def test_a_list_of_what_is_expected_that_is_none(columns: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(BadListError, match=r"expected\.parquet"):
        expecting(tmp_path, **columns)
