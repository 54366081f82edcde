"""What the download tests share: quick rules, a network that is this machine, pictures, one fetch."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image
from webserver import WebServer

from transforms import columns
from transforms.candidates.keys import url_id
from transforms.downloads import FETCHED, DownloadRules, Network, fetch_partition

AGENT = "Pairlake-test/1.0 (+https://pairlake.example/bot)"
# For what shall succeed: deadlines that a busy machine keeps.
PATIENT = DownloadRules(
    connect_seconds=10, read_seconds=10, total_seconds=30, max_bytes=200_000, retry_seconds=0.01
)
# For what shall meet a deadline.
QUICK = replace(
    PATIENT,
    connect_seconds=0.5,
    read_seconds=0.3,
    total_seconds=1.0,
    grace_seconds=0.2,
    min_bytes_per_second=1_000,
)


def photo(width: int = 400, height: int = 300, seed: int = 0) -> Image.Image:
    """A picture with large shapes and fine grain, so that it has a perceptual hash and some kilobytes."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
    grain = random.integers(-8, 9, pixels.shape)
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decoded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


JPEG = encoded(photo())


def frame(urls: list[str], units: list[str] | None = None, attempt: int = 1) -> pd.DataFrame:
    n = len(urls)
    table = pa.table(
        {
            "url": urls,
            "url_id": [url_id(url) for url in urls],
            "unit": units or ["u"] * n,
            "attempt": pa.array([attempt] * n, pa.int32()),
        }
    )
    return columns.to_pandas(table)


def network(server: WebServer, **changes: Any) -> Network:
    plain = Network(user_agent=AGENT, resolve=server.resolve, host_delay_seconds=0)
    return replace(plain, **changes)


def fetched(
    urls: list[str], server: WebServer, rules: DownloadRules = PATIENT, **changes: Any
) -> list[dict[str, Any]]:
    """The data rows of one partition, as dictionaries."""
    out = fetch_partition(frame(urls), rules, network(server, **changes))
    return data_rows(out)


def data_rows(out: pd.DataFrame) -> list[dict[str, Any]]:
    table = columns.to_arrow(out, columns.counted(FETCHED))
    return [row for row in table.to_pylist() if row[columns.COUNT] is None]


def counts(out: pd.DataFrame) -> dict[tuple[str, str], int]:
    table = columns.to_arrow(out, columns.counted(FETCHED))
    return {(r["unit"], r[columns.COUNT]): r[columns.N] for r in table.to_pylist() if r[columns.COUNT]}
