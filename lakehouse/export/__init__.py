"""A subset leaves the lake, in the formats that training code and other tools read.

An export is planned once (which rows, in which order, in which shard) and then written shard by shard on
the workers. Each shard is a function of the plan alone, so an interrupted export goes on where it stopped,
and the same release gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping

from lakehouse.export.base import Format
from lakehouse.export.datacomp import DataComp
from lakehouse.export.huggingface import HuggingFace
from lakehouse.export.parquet import LaionParquet
from lakehouse.export.urls import Urls
from lakehouse.export.webdataset import WebDataset

#: by the names that `lake export` takes
FORMATS: Mapping[str, Format] = {
    "webdataset": WebDataset(),
    "parquet": LaionParquet(),
    "datacomp": DataComp(),
    "huggingface": HuggingFace(),
    "urls": Urls(),
}
