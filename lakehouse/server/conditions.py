"""What a visitor chose, as one condition in SQL over `pairs`."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from lakehouse.errors import UsageError
from lakehouse.server.limits import Limits
from lakehouse.server.predicates import checked
from lakehouse.server.versions import Opened
from lakehouse.sqlfiles import identifier, literal

FACETS = {
    "similarity": "similarity",
    "aesthetic": "aesthetic",
    "punsafe": "punsafe",
    "pwatermark": "pwatermark",
    "toxicity": "toxicity",
    "width": "width",
    "height": "height",
    "side": "least(width, height)",
    "aspect": "width::double / nullif(height, 0)",
    "words": "len(string_split(text, ' '))",
}
"""Numbers that a pair is filtered by: name -> SQL. `side` is the shorter one in pixels."""

UNKNOWN = "unknown"  # stands for "no language was found"

Range = Annotated[list[float | None], Field(min_length=2, max_length=2)]


class Filters(BaseModel):
    """Which pairs: all that are given must hold. Empty, it is every pair."""

    model_config = ConfigDict(extra="forbid")

    ranges: dict[str, Range] = Field(
        default_factory=dict,
        max_length=len(FACETS),
        description=f"name -> [least, most], both included, null for no bound; of {', '.join(FACETS)}",
    )
    languages: list[Annotated[str, Field(max_length=20)]] = Field(
        default_factory=list, max_length=100, description=f"CLD3's codes; {UNKNOWN!r} where there is none"
    )
    where: str = Field(
        default="", max_length=100_000, description="a condition in SQL over the columns of pairs"
    )
    view: str | None = Field(default=None, max_length=200, description="only pairs of this view")
    safe: bool = Field(
        default=True, description="leave out what the lake's rule calls unsafe, or has no score"
    )

    @field_validator("ranges")
    @classmethod
    def _known(cls, ranges: dict[str, list[float | None]]) -> dict[str, list[float | None]]:
        for name, bounds in ranges.items():
            if name not in FACETS:
                raise ValueError(f"no range {name!r}")
            if any(bound is not None and not math.isfinite(bound) for bound in bounds):
                raise ValueError(f"{name}: bounds are finite numbers")
        return ranges


def condition(opened: Opened, filters: Filters, limits: Limits, but: str | None = None) -> str | None:
    """The SQL of `filters`, or None where they let everything pass; without the range of the facet `but`.

    Raises UsageError for a view that there is not, or a condition that is not allowed.
    """
    parts = [
        part
        for name, (least, most) in sorted(filters.ranges.items())
        if name != but
        for part in _bounds(FACETS[name], least, most)
    ]
    if filters.languages and but != "language":
        named = ", ".join(literal(code) for code in filters.languages if code != UNKNOWN)
        either = [f"language in ({named})"] if named else []
        either += ["language is null"] if UNKNOWN in filters.languages else []
        parts.append(f"({' or '.join(either)})")
    if filters.safe and opened.unsafe is not None:
        parts.append(f"punsafe <= {opened.unsafe!r}::real")
    if filters.view is not None:
        if filters.view not in {view["name"] for view in opened.views}:
            raise UsageError(f"no view {filters.view!r} of pairs")
        parts.append(f"sample_id in (select sample_id from {identifier(filters.view)})")
    if filters.where.strip():
        parts.append(f"({checked(filters.where.strip(), opened.columns, limits.where_chars)}\n)")
    return " and ".join(parts) or None


def _bounds(sql: str, least: float | None, most: float | None) -> list[str]:
    # REAL columns against DOUBLE numbers: 0.3 as a float32 is more than 0.3, so both are brought to REAL
    found = [] if least is None else [f"({sql})::real >= {least!r}::real"]
    return [*found, *([] if most is None else [f"({sql})::real <= {most!r}::real"])]
