"""Which pictures stay once all that look at pictures have seen them: [retention] in lake.toml.

LAION-5B kept none; its downloads, embeddings and scores stand without them.
"""

from __future__ import annotations

import numpy as np

from lakehouse import views
from lakehouse.lake import Lake
from lakehouse.relations import ranges_of
from lakehouse.stages import stages
from lakehouse.tombstones import EVER
from transforms.tombstones import Keys

ALL, NONE = "all", "none"


def unseen(lake: Lake) -> list[str]:
    """The stages that have yet to look at pictures, for all or for a view, and how many batches of them."""
    pin = lake.pins().get("downloads")
    works = {f"downloads:{number}" for number in range(pin[0], pin[1] + 1)} if pin else set()
    found = []
    for stage in stages(lake):
        if stage.source == "downloads":
            generation = lake.ledger.generations().get(stage.name, (0, 0))[1]  # the one being built, if any
            history = [e for e in lake.ledger.done(stage.name) if e["generation"] == generation]
            missing = works.difference(*(e["units"] for e in history))
            if missing:
                found.append(f"{stage.name} ({len(missing)} batches)")
    return found


def unkept(lake: Lake) -> Keys:
    """The url_ids of the stored pictures that the settings do not keep, ascending, of every generation.

    Raises UsageError where the settings name a view that there is not, or that has no url_id.
    """
    kept = lake.settings.retention.pictures
    if kept == ALL or not ranges_of("images", lake.pins()):
        return np.zeros(0, np.int64)
    stored = np.unique(lake.table("images").arrow([EVER], ["url_id"])["url_id"].to_numpy())
    return stored if kept == NONE else np.setdiff1d(stored, views.url_ids(lake, kept))
