"""`lake gallery`: pictures and captions on both sides of a threshold, since LAION set its own by eye."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from lakehouse import pictures, views
from lakehouse.errors import UsageError
from lakehouse.lake import Lake
from lakehouse.papers.page import render
from lakehouse.sqlfiles import identifier
from transforms.downloads.container import picture_format

SCORES = ("similarity", "aesthetic", "punsafe", "pwatermark", "toxicity", "width", "height")
#: pictures above it are blurred until looked at: LAION's own cut for «unsafe» (recipe: punsafe > 0.5)
BLURRED = 0.5


@dataclass(frozen=True)
class Side:
    """One side of the threshold, nearest first."""

    title: str
    rows: list[dict[str, Any]]


def gallery(lake: Lake, view: str, score: str, value: float, each: int = 24) -> str:
    """The `each` pairs of `view` nearest to `score` = `value` on either side, as HTML that stands alone.

    Raises UsageError for a view or a score that does not exist.
    """
    views.definition(lake, view)
    if score not in SCORES:
        raise UsageError(f"no score {score!r} to look around; there are {', '.join(SCORES)}")
    sides = [
        Side(f"{score} ≥ {value:g}", _rows(lake, view, f"{score} >= {value!r}", f"{score}", each)),
        Side(f"{score} < {value:g}", _rows(lake, view, f"{score} < {value!r}", f"{score} desc", each)),
    ]
    images = pictures.stored(lake, [row["url_id"] for side in sides for row in side.rows])
    for side in sides:
        for row in side.rows:
            row["image"] = _inline(images.get(row["url_id"]))
    return render("gallery.html", lake=lake, view=view, score=score, sides=sides, blurred=BLURRED)


def _rows(lake: Lake, view: str, where: str, order: str, each: int) -> list[dict[str, Any]]:
    named = ", ".join(SCORES)
    found: list[dict[str, Any]] = views.query(
        lake,
        f"select sample_id, url_id, url, text, language, {named} from pairs "
        f"where status = 'success' and {where} and sample_id in (select sample_id from {identifier(view)}) "
        f"order by {order}, sample_id limit {int(each)}",
    ).to_pylist()
    return found


def _inline(image: bytes | None) -> str | None:
    """As a data: URL, so that looking at the page tells no other host."""
    if image is None:
        return None
    kind = (picture_format(image) or "jpeg").lower()
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
