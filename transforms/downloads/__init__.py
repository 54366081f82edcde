"""Downloads: URLs -> pictures, over HTTP (`downloads`) or from the answers in WARC files (`replay`).

One row comes out for each row that goes in, with a status from `DownloadStatus`; nothing is dropped.
"""

from __future__ import annotations

import dask.dataframe as dd
import pandas as pd
from dask.delayed import Delayed

from transforms import columns
from transforms.downloads.fetch import Tally, fetch_all
from transforms.downloads.outcome import FETCHED, rows
from transforms.downloads.refused import NOTHING, BadListError, Refused, load
from transforms.downloads.replay import replay
from transforms.downloads.rules import DownloadRules, HashLists, Network
from transforms.downloads.spooled import Spool, fetch_spooled
from transforms.downloads.status import UNNAMED_CRAWLER, DownloadStatus, UnnamedCrawlerError

__all__ = [
    "FETCHED",
    "NOTHING",
    "UNNAMED_CRAWLER",
    "BadListError",
    "DownloadRules",
    "DownloadStatus",
    "HashLists",
    "Network",
    "Refused",
    "Spool",
    "Tally",
    "UnnamedCrawlerError",
    "downloads",
    "fetch_partition",
    "fetch_spooled",
    "load",
    "replay",
]


def downloads(
    urls: dd.DataFrame, rules: DownloadRules, network: Network, refused: Delayed | Refused = NOTHING
) -> dd.DataFrame:
    """Fetch the pictures of `urls` (columns url, url_id, unit, attempt); `counted(FETCHED)` comes out.

    `refused` (`refused.load`, made by one worker for all) is held against every URL and file.

    Partitions stay as they are; each runs its own event loop, with its own limits, in its worker's thread.
    """
    meta = columns.meta(columns.counted(FETCHED))
    fetched: dd.DataFrame = urls.map_partitions(fetch_partition, rules, network, refused, meta=meta)
    return fetched


def fetch_partition(
    frame: pd.DataFrame, rules: DownloadRules, network: Network, refused: Refused = NOTHING
) -> pd.DataFrame:
    """`downloads` for one pandas partition: its rows in their order, then each unit's counts."""
    return rows(frame, fetch_all(frame["url"].tolist(), rules, network, refused))
