"""webdataset shards in img2dataset's layout, so that what reads its output reads this.

Per shard: 00000.tar with KEY.jpg, KEY.txt and KEY.json per sample, 00000.parquet with the rows of the .json
files, and 00000_stats.json (img2dataset 1.47, writer.py and logger.py). No time is in them: the same release
gives the same bytes. EXIF data was not kept when the picture was fetched.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import pyarrow as pa

from lakehouse.export.base import Shard, Stream, Written, opened, store, store_parquet
from lakehouse.export.datacomp import uid
from lakehouse.export.pictures import described
from lakehouse.storage import Storage

BLOCK = 512  # bytes, of a tar file (POSIX.1-1988)
_SAMPLE = pa.schema(
    [
        ("url", pa.string()),
        ("caption", pa.string()),
        ("key", pa.string()),
        ("status", pa.string()),
        ("error_message", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("original_width", pa.int32()),
        ("original_height", pa.int32()),
        ("exif", pa.string()),
        ("sha256", pa.string()),
        ("uid", pa.string()),
        ("sample_id", pa.int64()),
        ("language", pa.string()),
        ("license", pa.string()),
        ("similarity", pa.float32()),
        ("punsafe", pa.float32()),
        ("pwatermark", pa.float32()),
        ("aesthetic", pa.float32()),
    ]
)
_HEADER = tarfile.TarInfo("name").tobuf(tarfile.USTAR_FORMAT)
_NAME, _SIZE, _CHECKSUM = slice(0, 100), slice(124, 136), slice(148, 156)  # fields of a header
_SAME = ("url", "sha256", "sample_id", "language", "license")
_SCORES = ("similarity", "punsafe", "pwatermark", "aesthetic")


class WebDataset:
    """00000.tar, 00000.parquet, 00000_stats.json …"""

    pictures = True
    order = "md5(sample_id || ':' || $seed), sample_id"
    rows = 10_000

    def write(
        self, target: Storage, shard: Shard, rows: pa.Table, pictures: Iterator[bytes]
    ) -> list[Written]:
        """The three files of a shard; `_stats.json`, which says that the others are whole, comes last."""
        width = len(str(max(shard.of - 1, 0)))
        name = f"{shard.number:0{max(width, 5)}d}"
        samples = []
        with opened(target, f"{name}.tar") as tar:
            for sample, extension, image in _samples(rows, pictures, name):
                for suffix, data in (
                    (extension, image),
                    ("txt", sample["caption"].encode()),
                    ("json", orjson.dumps(sample)),
                ):
                    _member(tar, f"{sample['key']}.{suffix}", data)
                samples.append(sample)
            tar.write(bytes(2 * BLOCK))
        files = [
            tar.written(f"{name}.tar"),
            store_parquet(target, f"{name}.parquet", pa.Table.from_pylist(samples, _SAMPLE)),
        ]
        return [*files, store(target, f"{name}_stats.json", orjson.dumps(_stats(len(samples))))]

    def finish(self, target: Storage, manifest: Mapping[str, Any]) -> list[Written]:
        """Nothing more."""
        return []


def _samples(
    rows: pa.Table, pictures: Iterator[bytes], shard: str
) -> Iterator[tuple[dict[str, Any], str, bytes]]:
    """Each row as its .json, with the extension and bytes of its picture."""
    digits = max(len(str(len(rows) - 1)), 4)
    columns = {name: rows[name].to_pylist() for name in (*_SAME, *_SCORES, "text", "width", "height")}
    for i, image in enumerate(pictures):
        extension, width, height = described(image)
        sample = {name: columns[name][i] for name in _SAME}
        sample |= {
            "caption": columns["text"][i],
            "key": f"{shard}{i:0{digits}d}",
            "status": "success",
            "error_message": None,
            "width": width,
            "height": height,
            "original_width": columns["width"][i],
            "original_height": columns["height"][i],
            "exif": "{}",
            "uid": uid(sample["sample_id"]),
        }
        yield sample | {name: columns[name][i] for name in _SCORES}, extension, image


def _member(tar: Stream, name: str, data: bytes) -> None:
    """A file of the archive. Its header is the standard library's but for name, size and checksum.

    tarfile would make each header from nothing, which took as long as all else that is done for a sample.
    """
    header = bytearray(_HEADER)
    header[_NAME] = name.encode("ascii").ljust(100, b"\0")
    header[_SIZE] = b"%011o\0" % len(data)
    header[_CHECKSUM] = b" " * 8  # as the sum is defined
    header[_CHECKSUM] = b"%06o\0 " % sum(header)
    tar.write(bytes(header))
    tar.write(data)
    tar.write(bytes(-len(data) % BLOCK))


def _stats(rows: int) -> dict[str, Any]:
    return {
        "count": rows,
        "successes": rows,
        "failed_to_download": 0,
        "failed_to_resize": 0,
        "status_dict": {"success": rows},
    }
