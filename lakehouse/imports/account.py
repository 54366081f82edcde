"""What became of the rows of an import, told by the ledger alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from lakehouse import lineage
from lakehouse.lake import Lake

_DROP, _NOTE = "drop:", "note:"
_SUCCESS = "note:success"  # a download's row is there in any case: that it has a picture is not worth telling


def account(lake: Lake, units: Collection[str]) -> dict[str, dict[str, int]]:
    """Per ledger key: rows that came `in` from `units`, rows that came `out`, and counts by reason."""
    wanted = set(units)
    pins = lake.pins(building=True)
    told: dict[str, dict[str, int]] = {}
    for event in lake.ledger.done():
        key = event["key"]
        low, high = pins.get(key, (1, 0))
        if key == lineage.TABLE or not low <= event["batch"] <= high:
            continue
        found: Counter[str] = Counter()
        for count in event["counts"]:
            if count["unit"] in wanted:
                found[count["name"]] += count["n"]
        if found["in"]:
            each = told.setdefault(key, {"in": 0, "out": 0})
            dropped = sum(n for name, n in found.items() if name.startswith(_DROP))
            each["in"] += found["in"]
            each["out"] += found["in"] - dropped
            for name, n in found.items():
                if name not in ("in", _SUCCESS, "note:bytes"):
                    short = name.removeprefix(_DROP).removeprefix(_NOTE)
                    each[short] = each.get(short, 0) + n
    return told
