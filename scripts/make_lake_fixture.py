"""Makes the small lake of this version that later versions must be able to read.

    PYTHONPATH=. python scripts/make_lake_fixture.py

Writes tests/data/lakes/schema-N.tar.gz, N being the schema's version, and schema-N.json: what a reader of
head and of the release must find in it. Run it once when the schema's version changes, and never again:
its worth is that an older Pairlake made it.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import tarfile
import tempfile
from pathlib import Path

from lakehouse import care, releases
from lakehouse.schema import SCHEMA_VERSION
from tests import lakes

FOLDER = Path(__file__).parents[1] / "tests" / "data" / "lakes"
SCORES = f"scores/{lakes.SIMILARITY}"


def main() -> None:
    """Builds, records and packs."""
    target = FOLDER / f"schema-{SCHEMA_VERSION}.tar.gz"
    if target.exists():
        sys.exit(f"{target} is there already")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        lake = lakes.small(Path(folder) / "lake")
        releases.create(lake, "v1", "before a rebuild, a compaction and more rows")
        lake.ledger.rebuild([SCORES])
        some = [lakes.candidate("apple"), lakes.candidate("pear", "de"), lakes.candidate("plum", None)]
        lakes.append(lake, {SCORES: [lakes.score(row, 0.4) for row in some]})
        lake.ledger.switch()
        for name in ("candidates", "downloads", "images"):
            care.compact(lake, name)
        fig = lakes.candidate("fig")
        number = lakes.append(lake, {"candidates": [fig]}, ["crawl-3"])
        rows = {"downloads": [lakes.download(fig)], "images": [lakes.image(fig)]}
        lakes.append(lake, rows, [f"candidates:{number}"])
        lakes.append(lake, {SCORES: [lakes.score(fig, 0.2)]})
        (release,) = releases.list_releases(lake)
        told = {
            "package": importlib.metadata.version("pairlake"),
            "head": {key: lakes.stored(lake, key) for key in lake.pins()},
            "v1": {key: (release.counts[key], release.fingerprints[key].whole) for key in release.pins},
        }
        with tarfile.open(target, "w:gz") as tar:
            tar.add(lake.storage.root, "lake")
    target.with_suffix("").with_suffix(".json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
