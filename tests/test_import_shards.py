"""img2dataset's own output, in each of its layouts, as rows of candidates, downloads and images."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lakehouse.imports import files
from transforms import columns
from transforms.candidates.errors import UnreadableUnit
from transforms.downloads import NOTHING, DownloadRules
from transforms.downloads.outcome import FETCHED
from transforms.downloads.refused import load
from transforms.downloads.rules import HashLists
from transforms.files import READS
from transforms.imports import shards
from transforms.imports.taken import Take

IMPORTS = Path(__file__).parent / "data" / "imports"
PHOTOS = sorted((Path(__file__).parent / "data" / "heads").glob("*.jpg"))
LAYOUTS = {"webdataset": "00001.tar", "files": "00001", "parquet": "00001.parquet"}


def rows(path: str) -> list[shards.Fields]:
    return [row for batch in shards.rows(path) for row in batch]


def urls(path: str, unit: str = "u") -> pd.DataFrame:
    """What the downloads stage is given for every row of a shard."""
    given = rows(path)
    table = pa.table(
        {
            "url": [row["url"] for row in given],
            "url_id": pa.array(range(len(given)), pa.int64()),
            "unit": [unit] * len(given),
            "attempt": pa.array([1] * len(given), pa.int32()),
            "position": pa.array(range(len(given)), pa.int64()),
        }
    )
    return columns.to_pandas(table)


def taken(path: str, rules: DownloadRules | None = None, refused: Any = NOTHING) -> dict[str, dict[str, Any]]:
    take = Take({"u": path}, rules or DownloadRules())
    found = pa.concat_tables(
        [columns.to_arrow(f, columns.counted(FETCHED)) for f in take(urls(path), 0, refused)]
    )
    data = [row for row in found.to_pylist() if row[columns.COUNT] is None]
    counts: Counter[str] = Counter()
    for row in found.to_pylist():
        if row[columns.COUNT] is not None:
            counts[row[columns.COUNT]] += row[columns.N]
    statuses = Counter(row["status"] for row in data)
    assert counts["in"] == len(data) == len(rows(path))
    assert {f"note:{status}": n for status, n in statuses.items()}.items() <= counts.items()
    return {row["url"].removeprefix("http://pictures.test/"): row for row in data}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_has_the_same_rows_and_pictures(layout: str) -> None:
    path = str(IMPORTS / layout / LAYOUTS[layout])
    same = str(IMPORTS / "webdataset" / LAYOUTS["webdataset"])
    assert rows(path) == rows(same)
    assert dict(shards.pictures(path)) == dict(shards.pictures(same))
    pages = list(shards.pages(path))
    assert [pair for page in pages for pair in page.images] == [(r["url"], r["caption"]) for r in rows(path)]


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.float64)


def test_what_img2dataset_says_of_the_originals_is_kept() -> None:
    found = taken(str(IMPORTS / "webdataset" / "00000.tar"))
    photos = [path.read_bytes() for path in PHOTOS]
    small = np.stack(
        [
            np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize((96, 96)), np.float64)
            for data in photos
        ]
    )
    for number, data in enumerate(photos):
        row = found[f"{number}.jpg"]
        assert row["status"] == "success"
        assert row["sha256"] == hashlib.sha256(data).hexdigest()
        assert (row["width"], row["height"]) == Image.open(io.BytesIO(data)).size
        assert row["fetched_at"].year == 2026
        distances = np.abs(small - pixels(row["image"])).mean(axis=(1, 2, 3))
        assert distances.argmin() == number


def test_pictures_are_resized_where_the_rules_want_them_smaller_only() -> None:
    path = str(IMPORTS / "webdataset" / "00000.tar")
    as_written = dict(shards.pictures(path))
    stored = taken(path)["3.jpg"]["image"]
    assert np.array_equal(pixels(stored), pixels(as_written["000003"]))
    assert taken(path, DownloadRules(size=64))["3.jpg"]["image"] != stored
    assert pixels(taken(path, DownloadRules(size=64))["3.jpg"]["image"]).shape == (64, 64, 3)


def test_failures_keep_their_reasons() -> None:
    found = taken(str(IMPORTS / "webdataset" / "00001.tar"))
    told = {name: (row["status"], row["http_status"], row["image"]) for name, row in found.items()}
    assert told["gone.jpg"] == ("http_error", 404, None)
    assert told["page.jpg"] == ("bad_image", None, None)
    assert told["noai.jpg"] == ("opt_out", None, None)
    assert found["gone.jpg"]["error"] == "img2dataset: HTTP Error 404: Not Found"


def test_a_tar_that_was_cut_short_ends_where_it_breaks_off(tmp_path: Path) -> None:
    whole = (IMPORTS / "webdataset" / "00000.tar").read_bytes()
    (tmp_path / "00000.tar").write_bytes(whole[: len(whole) // 2])
    shutil.copy(IMPORTS / "webdataset" / "00000.parquet", tmp_path)
    found = taken(str(tmp_path / "00000.tar"))
    statuses = [row["status"] for row in found.values()]
    assert "success" in statuses
    assert [row["error"] for row in found.values() if row["status"] != "success"] == [
        "the shard has no picture of it"
    ] * statuses.count("not_archived")
    assert len(found) == 7  # URLs, one of them twice


def test_a_tar_alone_is_read_by_its_json(tmp_path: Path) -> None:
    shutil.copy(IMPORTS / "webdataset" / "00001.tar", tmp_path)
    alone = rows(str(tmp_path / "00001.tar"))
    beside = rows(str(IMPORTS / "webdataset" / "00001.tar"))
    have = {row["key"]: row for row in beside if row["status"] == "success"}
    assert {row["key"]: row for row in alone} == have
    assert {row["status"] for row in taken(str(tmp_path / "00001.tar")).values()} == {"success"}


def test_a_picture_that_does_not_decode_is_told(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "00000.tar", "w") as tar:
        for key, data in (("a", b"\xff\xd8\xff no picture"), ("b", b"text")):
            for extension, content in (("jpg", data), ("json", b'{"url": "http://x.test/%s", "key": "%s"}')):
                content = content % (key.encode(), key.encode()) if extension == "json" else content
                info = tarfile.TarInfo(f"{key}.{extension}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    found = taken(str(tmp_path / "00000.tar"))
    assert {row["status"] for row in found.values()} == {"bad_image", "not_image"}


def test_lists_of_what_must_not_be_stored_hold_for_imports_too(tmp_path: Path) -> None:
    path = str(IMPORTS / "webdataset" / "00000.tar")
    original = hashlib.sha256(PHOTOS[1].read_bytes()).hexdigest()  # img2dataset changed the bytes
    stored = hashlib.md5(dict(shards.pictures(path))["000002"], usedforsecurity=False).hexdigest()
    refused = tmp_path / "list.txt"
    refused.write_text(f"{original}\nhttp://pictures.test/3.jpg\nmd5:{stored}\n")
    found = taken(path, refused=load(HashLists((str(refused),))))
    listed = {name for name, row in found.items() if row["status"] == "listed"}
    assert listed == {"1.jpg", "2.jpg", "3.jpg"}
    assert [found[name]["sha256"] for name in sorted(listed)] == [None] * 3


def test_a_table_of_something_else_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "00000.parquet")
    with pytest.raises(UnreadableUnit, match="no column url: img2dataset did not write it"):
        rows(str(tmp_path / "00000.parquet"))
    (tmp_path / "00001.parquet").write_bytes(b"nothing")
    with pytest.raises(UnreadableUnit, match="no parquet file"):
        rows(str(tmp_path / "00001.parquet"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_shards_in_a_store_are_read_as_those_in_a_folder(layout: str) -> None:
    local, remote = IMPORTS / layout, f"memory://{layout}"
    memory = fsspec.filesystem("memory")
    for path in local.rglob("*"):
        if path.is_file():
            memory.pipe(f"/{layout}/{path.relative_to(local)}", path.read_bytes())
    assert list(files.listed(remote)) == [
        f"{remote.replace('//', '///')}/{p.name}" for p in sorted(local.iterdir())
    ]
    path = f"{remote}/{LAYOUTS[layout]}"
    assert rows(path) == rows(str(local / LAYOUTS[layout]))
    assert dict(shards.pictures(path)) == dict(shards.pictures(str(local / LAYOUTS[layout])))
    assert files.digest(path, READS) == files.digest(str(local / LAYOUTS[layout]), READS)
