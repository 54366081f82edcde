"""Lakes whose pairs have real photographs, fetched already, for tests of what is done with pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lakes
from checkpoint_folder import PHOTOS

from lakehouse.lake import Lake, init

TOML = """
[lake]
schema = 1
[batches]
rows = {rows}
[models.tiny]
architecture = "{architecture}"
{more}
[scores]
scorers = ["similarity_tiny"]
"""


def photo_lake(
    root: Path, architecture: str, languages: Sequence[str | None], more: str = "", rows: int = 4
) -> Lake:
    """A pair per language, each with one of the photographs, nothing embedded yet with `tiny`."""
    text = TOML.format(rows=rows, architecture=architecture, more=more)
    lake = init(str(root), text)
    pairs = [lakes.candidate(f"picture {n}", language) for n, language in enumerate(languages)]
    lakes.append(lake, {"candidates": pairs}, [lakes.UNIT])
    images = [
        {"url_id": pair["url_id"], "image": PHOTOS[n % len(PHOTOS)], "unit": pair["unit"]}
        for n, pair in enumerate(pairs)
    ]
    fetched = [lakes.download(pair) for pair in pairs]
    lakes.append(lake, {"downloads": fetched, "images": images}, ["candidates:1"])
    return lake
