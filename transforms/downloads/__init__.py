"""Downloads: URLs -> pictures, over HTTP (`downloads`) or from the answers in WARC files (`replay`).

One row comes out for each row that goes in, with a status from `DownloadStatus`; nothing is dropped.
"""

from __future__ import annotations

import dask.dataframe as dd
import pandas as pd

from transforms import columns
from transforms.downloads.fetch import fetch_all
from transforms.downloads.outcome import FETCHED, rows
from transforms.downloads.replay import replay
from transforms.downloads.rules import DownloadRules, Network
from transforms.downloads.status import UNNAMED_CRAWLER, DownloadStatus, UnnamedCrawlerError

__all__ = [
    "FETCHED",
    "UNNAMED_CRAWLER",
    "DownloadRules",
    "DownloadStatus",
    "Network",
    "UnnamedCrawlerError",
    "downloads",
    "fetch_partition",
    "replay",
]


def downloads(urls: dd.DataFrame, rules: DownloadRules, network: Network) -> dd.DataFrame:
    """Fetch the pictures of `urls` (columns url, url_id, unit, attempt); `counted(FETCHED)` comes out.

    Partitions stay as they are; each runs its own event loop, with its own limits, in its worker's thread.
    """
    meta = columns.meta(columns.counted(FETCHED))
    fetched: dd.DataFrame = urls.map_partitions(fetch_partition, rules, network, meta=meta)
    return fetched


def fetch_partition(frame: pd.DataFrame, rules: DownloadRules, network: Network) -> pd.DataFrame:
    """`downloads` for one pandas partition: its rows in their order, then each unit's counts."""
    return rows(frame, fetch_all(frame["url"].tolist(), rules, network))
