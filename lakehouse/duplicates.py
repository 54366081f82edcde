"""What the stages duplicates/METHOD read and make: groups over the whole lake, made anew when it grows.

A group can join what any two batches brought, so no batch's groups stand by themselves. The stage's works
name each batch of its source and, by a few digits, all that the groups follow from (`candidates:7@3f0c…`):
when anything of that changes, so do all works, and the run makes a new generation of the method's groups.
Readers see the one from before until it is complete.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import dask.dataframe as dd

from lakehouse.errors import UsageError
from lakehouse.lake import Lake
from lakehouse.pairs import KEYS
from lakehouse.settings import Settings
from transforms.duplicates import by_file, by_phash, by_vectors, by_vectors_in_clusters
from transforms.duplicates.hashes import PAIR_KEYS, URL_KEYS
from transforms.duplicates.vectors import COLUMNS

SHA256, PHASH = "sha256", "phash"
EMBEDDING, CLUSTERS = "embedding", "clusters"  # with the model's name behind: embedding_b32

VECTORS = 1 << 14  # per task: 16 MB of float16, at 512 elements


def methods(settings: Settings) -> list[str]:
    """All methods that there are for the lake's models, the quickest first."""
    of_models = [f"{kind}_{model.name}" for kind in (CLUSTERS, EMBEDDING) for model in settings.models]
    return [SHA256, PHASH, *of_models]


def check(settings: Settings) -> None:
    """Raises UsageError for a method in the settings that there is not."""
    known = methods(settings)
    for method in settings.duplicates.methods:
        if method not in known:
            raise UsageError(
                f"lake.toml: [duplicates] methods: there is no {method!r}; there are {', '.join(known)}"
            )


def source(method: str) -> str:
    """The ledger key whose batches are the stage's works."""
    model = method.partition("_")[2]
    return f"embeddings_{model}" if model else "candidates"


def reads(method: str) -> tuple[str, ...]:
    """The ledger keys that the groups follow from."""
    return ("candidates", "downloads") if method in (SHA256, PHASH) else ("candidates", source(method))


def rules(lake: Lake, method: str) -> dict[str, Any]:
    """What decides about the groups besides the tables."""
    told: dict[str, Any] = {"method": method}
    if method == PHASH:
        told["phash_distance"] = lake.settings.duplicates.phash_distance
    elif method != SHA256:
        told["cosine"] = lake.settings.duplicates.cosine
    return told


def works(lake: Lake, method: str) -> list[str]:
    """A work for each batch of the source, all with the same digits: see above.

    Removals that took members out of groups count, as who stays in a group may have left.
    """
    pins, state = lake.pins(building=True), lake.ledger.state()
    key = f"duplicates/{method}"
    shrunk = sum(1 for event in state.withdrawn() if event["key"] == key and event["rows"])
    told = json.dumps([{name: pins.get(name) for name in reads(method)}, shrunk])
    digits = hashlib.sha256(told.encode()).hexdigest()[:12]
    if not all(name in pins for name in reads(method)):
        return []
    low, high = pins[source(method)]
    return [f"{source(method)}:{batch}@{digits}" for batch in range(low, high + 1)]


def frames(lake: Lake, method: str) -> Sequence[dd.DataFrame]:
    """The rows of the table, of all that a run sees."""
    pins = lake.pins(building=True)
    settings = lake.settings
    order = {source.unit: source.order for source in lake.ledger.sources()}

    def read(key: str, names: Sequence[str], rows: int) -> dd.DataFrame:
        return lake.read(key, [pins[key]], names, rows)

    def tasks(key: str, rows: int) -> int:
        return max(1, -(-_rows(lake, key) // rows))

    if method in (SHA256, PHASH):
        pairs = read("candidates", PAIR_KEYS, KEYS)
        downloads = read("downloads", [*URL_KEYS, method], KEYS)
        cut = tasks("candidates", KEYS)
        if method == SHA256:
            return by_file(pairs, downloads, order, cut)
        most = _rows(lake, "downloads")
        return by_phash(pairs, downloads, order, settings.duplicates.phash_distance, most, cut)
    key = source(method)
    told = {
        "embeddings": read(key, COLUMNS, VECTORS),
        "candidates": read("candidates", ["sample_id", "position"], KEYS),
        "method": method,
        "order": order,
        "cosine": settings.duplicates.cosine,
        "device": "cuda" if settings.cluster.gpus else "cpu",
    }
    if method.startswith(EMBEDDING):
        return by_vectors(**told, tasks=tasks(key, KEYS))
    return by_vectors_in_clusters(**told, tasks=tasks(key, VECTORS), count=_rows(lake, key))


def _rows(lake: Lake, key: str) -> int:
    """Rows that a run sees of a ledger key."""
    low, high = lake.pins(building=True).get(key, (1, 0))
    return sum(e["rows"] for e in lake.ledger.done(key) if low <= e["batch"] <= high)
