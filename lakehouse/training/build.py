"""Makes the study's lake: `python -m lakehouse.training.build --pairs FOLDER --to FOLDER`.

Two crawls go through every stage, over real HTTP on loopback: a clean one of Noto's pictures, on whose export
the filter's model is trained, and a noisy one of Twemoji and Tux Paint, whose pairs that model scores. In the
folder then lie `noto` and `lake` (lakes), `filter` (the model), `truth.parquet`, `held_out.parquet`. Run
again, it does what is not done.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from distributed import Client

from lakehouse import releases, run, search, sources, views
from lakehouse.cluster import connect
from lakehouse.demo import server, wat
from lakehouse.demo.sites import Web
from lakehouse.errors import NoLakeError
from lakehouse.export.plan import Request
from lakehouse.export.run import export
from lakehouse.lake import Lake, init, open_lake
from lakehouse.stages import stages
from lakehouse.training import arms, clip, noise, pictures

RELEASE = "study"
FILES = 8  # WAT files of a crawl
SHARD = 1_000  # pairs of a shard
FILTER = clip.Schedule(samples=40_000, rate=1e-3, warmup=40, seed=1000)  # longer than the study's models
PASSED = 0.05  # of captions given to pictures by lot, the share that the threshold lets pass

LAKE_TOML = """\
[lake]
schema = 1

[network]
user_agent = "PairlakeStudy/0.1 (+https://pictures.test/contact)"
host_delay_seconds = 0
per_host = 16

[downloads]
min_bytes = 200  # its pictures have 64 pixels
read_seconds = 30.0

[models.filter]
architecture = "{model}"

[scores]
scorers = ["similarity_filter"]
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=Path, required=True, help="folder with the pictures")
    parser.add_argument("--to", type=Path, required=True, help="folder to write")
    asked = parser.parse_args()
    build(asked.pairs.resolve(), asked.to.resolve())


def build(pairs: Path, to: Path, filtering: clip.Schedule = FILTER) -> None:
    """Makes what is missing in the folder `to`. Raises UsageError where the pictures are not there."""
    clip.entry()
    to.mkdir(parents=True, exist_ok=True)
    if not (to / "held_out.parquet").exists():
        pq.write_table(pictures.held_out(pairs), to / "held_out.parquet")
    if not (to / "filter").exists():
        _say("Noto's crawl, and the filter's model trained on it")
        web = noise.build(pictures.noto(pairs), noise.CLEAN).web
        shards = _exported(to, web, to / "noto-shards")
        clip.train(shards, to / "filter", filtering)
    noisy = noise.build(pictures.crawled(pairs), noise.Rates())
    pq.write_table(noisy.truth, to / "truth.parquet")
    _say(f"the noisy crawl: {len(noisy.truth):,} links")
    lake = _lake(to / "lake", noisy.web, to / "crawl", to / "filter")
    with server.serve(noisy.web) as address:
        _run(lake, address, [stage.name for stage in stages(lake)])
    if not releases.list_releases(lake):
        threshold = chance_threshold(lake)
        _say(f"{PASSED:.0%} of captions given by lot reach a similarity of {threshold:.3f}: the threshold")
        lake = arms.write(lake, to / "truth.parquet", threshold)
        releases.create(lake, RELEASE, "the filter study's crawl")
    _say(f"done: just study {RELEASE} --root {to / 'lake'}")


def chance_threshold(lake: Lake, passed: float = PASSED, count: int = 2_000) -> float:
    """The similarity that a share `passed` of captions reaches when each is given to another pair's picture.

    LAION found its 0.28 by looking; this needs neither eyes nor the truth, and goes by the lake's own model.
    """
    rows = views.query(
        lake,
        "select sample_id from pairs where similarity is not null "
        f"order by md5(sample_id::varchar) limit {count}",
    )
    ids = rows["sample_id"].to_numpy()
    found = search.Searcher(lake)
    image, text = (found.vectors(ids, side) for side in ("image", "text"))
    cosines = [float(image[a] @ text[b]) for a, b in zip(ids, np.roll(ids, 1), strict=True)]
    return round(float(np.quantile(cosines, 1 - passed)), 3)


def _exported(to: Path, web: Web, shards: Path) -> list[Path]:
    """The shards of all pairs of a clean crawl, whose lake needs no model."""
    lake = _lake(to / "noto", web, to / "noto-crawl", None)
    with server.serve(web) as address:
        _run(lake, address, ["candidates", "downloads"])
    if not releases.list_releases(lake):
        releases.create(lake, RELEASE)
    lake = open_lake(lake.storage.root, release=RELEASE)
    with connect(lake.settings.cluster) as client:
        export_view(lake, client, "pairs", shards)
    return sorted(shards.glob("*.tar"))


def export_view(lake: Lake, client: Client, view: str, to: Path) -> int:
    """Writes a view of a lake that is opened at a release as webdataset shards; returns its pairs."""
    assert lake.moment is not None
    manifest = export(lake, client, Request("webdataset", view, lake.moment.what, SHARD, 0), str(to))
    return int(manifest["rows"])


def _lake(root: Path, web: Web, crawl: Path, model: Path | None) -> Lake:
    try:
        return open_lake(str(root))
    except NoLakeError:
        toml = LAKE_TOML.format(model=model)
        lake = init(str(root), toml if model else toml.partition("[models")[0])
    shutil.rmtree(crawl, ignore_errors=True)
    sources.add(lake, "wat", [str(path) for path in wat.write_wats(web, crawl, FILES)])
    return lake


def _run(lake: Lake, address: tuple[str, int], names: list[str]) -> None:
    network = dataclasses.replace(lake.settings.network, resolve={"*.test": address})
    lake = Lake(dataclasses.replace(lake.settings, network=network))
    with connect(lake.settings.cluster) as client:
        run.run(lake, client, [stage for stage in stages(lake) if stage.name in names])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
