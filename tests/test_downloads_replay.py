"""Replay gives each URL the picture that a crawl kept, found here by reading the WARC file by hand."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin

import dask
import dask.dataframe as dd
import pytest
from distributed import Client, LocalCluster
from downloads_fixtures import JPEG, PATIENT, counts, data_rows, decoded, encoded, frame, photo
from PIL import Image

from transforms.candidates.errors import UnreadableUnit
from transforms.downloads import DownloadRules, replay

RULES = DownloadRules()
REAL = Path(__file__).parent / "data" / "wat" / "archive-org-2008.warc.gz"


class Kept(NamedTuple):
    code: int
    content_type: str
    location: str
    date: str
    body: bytes


def by_hand() -> dict[str, Kept]:
    """URL -> first answer in the real file, by nothing but gzip, blank lines and Content-Length."""
    data, kept = gzip.decompress(REAL.read_bytes()), {}
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        warc = fields(head)
        length = int(warc["content-length"])
        block, data = rest[:length], rest[length:].lstrip(b"\r\n")
        if warc["warc-type"] == "response" and warc["warc-target-uri"].startswith("http"):
            head, _, body = block.partition(b"\r\n\r\n")
            http = fields(head)
            line = Kept(
                int(head.split()[1]),
                http.get("content-type", ""),
                http.get("location", ""),
                warc["warc-date"],
                body,
            )
            kept.setdefault(warc["warc-target-uri"], line)
    return kept


def fields(head: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in head.decode("latin-1").splitlines()[1:])
    return {name.strip().lower(): value.strip() for name, _, value in lines}


def replayed(
    urls: list[str], *archives: Path, rules: DownloadRules = RULES, npartitions: int = 1
) -> list[dict[str, Any]]:
    # The way of joining is chosen when the graph is made, and a cluster of other tests may be about
    with dask.config.set({"scheduler": "sync", "dataframe.shuffle.method": "tasks"}):
        urls_frame = dd.from_pandas(frame(urls), npartitions=npartitions)
        lazy = replay(urls_frame, [str(archive) for archive in archives], rules)
        rows = {row["url"]: row for row in data_rows(lazy.compute())}
    assert len(rows) == len(urls)
    return [rows[url] for url in urls]


def test_every_picture_of_a_real_crawl() -> None:
    kept = by_hand()
    pictures = {url: each for url, each in kept.items() if each.content_type.startswith("image/")}
    assert len(pictures) == 55
    expected: Counter[str] = Counter()
    for url, row in zip(pictures, replayed(list(pictures), REAL, npartitions=3), strict=True):
        body = pictures[url].body
        gif = body.startswith(b"GIF")
        status = "too_small" if len(body) < 5_000 else "refused_format" if gif else "success"
        expected[status] += 1
        assert row["status"] == status
        assert (row["http_status"], row["content_type"]) == (200, pictures[url].content_type)
        assert (row["bytes"], row["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
        assert row["fetched_at"] == datetime.fromisoformat(pictures[url].date)
        if status == "success":
            assert (row["width"], row["height"]) == Image.open(io.BytesIO(body)).size
            assert decoded(row["image"]).mode == "RGB"
    assert expected == {"too_small": 35, "success": 18, "refused_format": 2}


def test_every_other_answer_of_a_real_crawl() -> None:
    kept = {url: each for url, each in by_hand().items() if not each.content_type.startswith("image/")}
    rules = DownloadRules(min_bytes=0)
    found = Counter()
    for url, row in zip(kept, replayed(list(kept), REAL, rules=rules), strict=True):
        code = kept[url].code
        found[row["status"]] += 1
        if code == 200:
            assert row["status"] == "not_image"
        elif code == 404:
            assert (row["status"], row["http_status"]) == ("http_error", 404)
        else:
            assert code in (301, 302)
            assert row["final_url"]
    assert found["http_error"] == 40
    assert found["not_archived"] == 5


def test_redirects_of_a_real_crawl_lead_to_what_was_kept() -> None:
    kept = by_hand()
    urls = [url for url, each in kept.items() if each.location]
    assert len(urls) == 7
    followed = 0
    for url, row in zip(urls, replayed(urls, REAL), strict=True):
        target = urljoin(url, kept[url].location)
        assert row["final_url"] == target
        if target in kept:
            assert (row["http_status"], row["sha256"]) == (200, hashlib.sha256(kept[target].body).hexdigest())
            followed += 1
        else:
            assert (row["status"], row["sha256"]) == ("not_archived", None)
    assert followed == 2


def record(url: str, body: bytes, code: str = "200 OK", length: int | None = None, **headers: str) -> bytes:
    http = {
        "Content-Type": "image/jpeg",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in http.items())
    block = f"HTTP/1.1 {code}\r\n{lines}\r\n".encode() + body
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2020-01-02T03:04:05Z\r\n"
        "Content-Type: application/http; msgtype=response\r\n"
        f"Content-Length: {len(block) if length is None else length}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def archive(path: Path, *records: bytes) -> Path:
    path.write_bytes(b"".join(gzip.compress(each, mtime=0) for each in records))
    return path


A = "http://a.test/"


def test_answers_as_they_come_in_archives(tmp_path: Path) -> None:
    chunked = (
        b"%x\r\n" % 7_000
        + JPEG[:7_000]
        + b"\r\n%x\r\n" % (len(JPEG) - 7_000)
        + JPEG[7_000:]
        + b"\r\n0\r\n\r\n"
    )
    path = archive(
        tmp_path / "a.warc.gz",
        record(A + "plain", JPEG),
        record(f"<{A}brackets>", JPEG),
        record(A + "chunked", chunked, Transfer_Encoding="chunked"),
        record(A + "gzip", gzip.compress(JPEG), Content_Encoding="gzip"),
        record(A + "short", JPEG[:9_000], Content_Length=str(len(JPEG))),
        record(A + "noai", JPEG, X_Robots_Tag="otherbot: noindex, pairlake: noai"),
        record(A + "other", JPEG, X_Robots_Tag="otherbot: noai"),
        record(A + "large", bytes(300_000)),
        record(A + "garbage", b"").replace(b"HTTP/1.1 200 OK", b"no http at all!"),
        record(A + "loop", b"", code="302 Found", Location="/loop"),
        record(A + "away", b"", code="301 Moved", Location="http://b.test/"),
        record(A + "nowhere", b"", code="301 Moved", Location="http://[::"),
        record(A + "two", b"", code="302 Found", Location="one#part"),
        record(A + "one", b"", code="302 Found", Location="/plain"),
        record(A + "unmodified", b"", code="304 Not Modified"),
        record(A + "swallows", JPEG, Content_Length=str(len(JPEG)), length=len(JPEG) + 2_000),
    )  # fmt: skip
    expected = {
        "plain": "success",
        "brackets": "success",
        "chunked": "success",
        "gzip": "success",
        "short": "truncated",
        "noai": "opt_out",
        "other": "success",
        "large": "too_large",
        "garbage": "bad_response",
        "loop": "too_many_redirects",
        "away": "not_archived",
        "nowhere": "bad_url",
        "two": "success",
        "unmodified": "http_error",
        "swallows": "success",
        "never": "not_archived",
    }
    rows = replayed([A + name for name in expected], path, rules=PATIENT)
    assert {row["url"].removeprefix(A): row["status"] for row in rows} == expected
    assert {row["sha256"] for row in rows if row["status"] == "success"} == {hashlib.sha256(JPEG).hexdigest()}
    told = {row["url"].removeprefix(A): row for row in rows}
    assert told["two"]["final_url"] == A + "plain"
    assert told["away"]["error"] == "no record of the URL that it redirects to"
    assert told["never"]["error"] == "no record of the URL"
    assert told["never"]["fetched_at"] is None
    assert told["plain"]["fetched_at"] == datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_cap_on_redirects(tmp_path: Path) -> None:
    hops = [record(f"{A}{i}", b"", code="302 Found", Location=f"/{i - 1}") for i in range(1, 5)]
    path = archive(tmp_path / "a.warc.gz", record(A + "0", JPEG), *hops)
    rows = replayed([f"{A}{i}" for i in (3, 4)], path, rules=replace(PATIENT, redirects=3))
    assert [row["status"] for row in rows] == ["success", "too_many_redirects"]


def test_of_several_records_the_first_picture_counts(tmp_path: Path) -> None:
    first, second = (encoded(photo(seed=seed)) for seed in (1, 2))
    failed = record(A + "x", b"gone", code="404 Not Found")
    one = archive(tmp_path / "1.warc.gz", failed, record(A + "y", b"", code="500 Oops"))
    two = archive(tmp_path / "2.warc.gz", failed, record(A + "x", first), record(A + "x", second))
    for archives in ((one, two), (two, one)):
        x, y = replayed([A + "x", A + "y"], *archives)
        assert x["sha256"] == hashlib.sha256(first).hexdigest()
        assert y["http_status"] == 500


def test_damaged_member_costs_its_own_record_only(tmp_path: Path) -> None:
    bodies = [encoded(photo(seed=seed)) for seed in range(3)]
    members = [gzip.compress(record(f"{A}{i}", body)) for i, body in enumerate(bodies)]
    broken = bytearray(members[1])
    broken[40:60] = bytes(20)
    path = tmp_path / "a.warc.gz"
    path.write_bytes(members[0] + bytes(broken) + b"no gzip" + members[2])
    rows = replayed([f"{A}{i}" for i in range(3)], path)
    assert [row["status"] for row in rows][::2] == ["success", "success"]
    assert rows[1]["status"] in ("not_archived", "truncated", "bad_response")


def test_cut_archive(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.warc.gz", record(A + "0", JPEG), record(A + "1", JPEG))
    path.write_bytes(path.read_bytes()[:-2_000])
    whole, cut = replayed([A + "0", A + "1"], path)
    assert whole["status"] == "success"
    assert cut["status"] != "success"
    assert cut["image"] is None


@pytest.mark.parametrize(
    "content", [b"", b"<html>Slow Down</html>" * 50, gzip.compress(b"no records in here", mtime=0)]
)
def test_no_archive_at_all(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    path.write_bytes(content)
    with pytest.raises(UnreadableUnit, match=r"a\.warc\.gz holds no WARC record"):
        replayed([A], path)


def test_missing_archive(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replayed([A], tmp_path / "none.warc.gz")


def test_uncompressed_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.warc"
    path.write_bytes(record(A + "0", JPEG) + record(A + "1", JPEG))
    assert [row["status"] for row in replayed([A + "0", A + "1"], path)] == ["success", "success"]


def test_units_stay_whole_over_many_archives_on_a_cluster(tmp_path: Path) -> None:
    pictures = [f"{A}{i}" for i in range(24)]
    archives = [
        archive(tmp_path / f"{n}.warc.gz", *(record(url, JPEG) for url in pictures[n::3])) for n in range(3)
    ]
    given = frame([*pictures, A + "never"], [f"unit {i // 5}" for i in range(25)])
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
        Client(cluster),
    ):
        lazy = replay(dd.from_pandas(given, npartitions=5), [str(path) for path in archives], PATIENT)
        parts = [part.compute() for part in lazy.partitions]
    homes: Counter[str] = Counter()
    for part in parts:
        homes.update({row["unit"] for row in data_rows(part)})
        for unit in {row["unit"] for row in data_rows(part)}:
            assert counts(part)[unit, "in"] == 5
    assert homes == {f"unit {i}": 1 for i in range(5)}
    statuses = Counter(row["status"] for part in parts for row in data_rows(part))
    assert statuses == {"success": 24, "not_archived": 1}
