"""One search: what somebody asked for, as the index's `Query`, answered within a session's limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lakehouse.errors import UsageError
from lakehouse.search import Found, Query, Steering
from lakehouse.server import metrics
from lakehouse.server.conditions import Filters, condition
from lakehouse.server.limits import Limits
from lakehouse.server.pictures import found_at, given
from lakehouse.server.versions import Opened
from transforms.downloads.rules import Network

Element = Annotated[float, Field(ge=-1e30, le=1e30)]  # of a vector: finite as float32, too


class Search(BaseModel):
    """What is searched for: one of text, image, image_url, embedding and sample_id; or nothing, to browse."""

    model_config = ConfigDict(extra="forbid")

    text: str | None = Field(default=None, max_length=100_000)
    image: str | None = Field(default=None, description="an encoded picture in base64, or as a data: URL")
    image_url: str | None = Field(default=None, max_length=4_000)
    embedding: list[Element] | None = Field(default=None, max_length=8_192)
    sample_id: str | None = Field(default=None, pattern=r"^-?[0-9]{1,19}$", description="a pair of the lake")
    like: Literal["image", "text"] = Field(
        default="image", description="with sample_id: which of its vectors"
    )
    modality: Literal["image", "text"] = Field(default="image", description="which vectors are searched")
    model: str | None = Field(default=None, max_length=100)
    release: str | None = Field(default=None, max_length=100)
    filters: Filters = Filters()
    k: int = Field(default=60, ge=1, le=1_000_000)
    offset: int = Field(default=0, ge=0, le=1_000_000)
    collapse: Literal["none", "same", "near"] = "same"
    aesthetic_score: int | None = Field(default=None, ge=0, le=9)
    aesthetic_weight: float = Field(0.5, ge=0, le=1)

    @property
    def is_browsing(self) -> bool:
        """Whether nothing is searched for."""
        return all(
            getattr(self, name) is None for name in ("text", "image", "image_url", "embedding", "sample_id")
        )


def query(
    search: Search, limits: Limits, network: Network, where: str | None, columns: tuple[str, ...]
) -> Query:
    """`search` for the index, its picture read. Raises UsageError for what cannot be meant."""
    asked = [
        name for name in ("text", "image", "image_url", "embedding", "sample_id") if _asked(search, name)
    ]
    if len(asked) != 1:
        raise UsageError("search for one thing: text, image, image_url, embedding or sample_id")
    if search.k + search.offset > limits.k:
        raise UsageError(f"results end at {limits.k:,}")
    what: dict[str, Any] = {}
    if search.text is not None:
        if len(search.text) > limits.text_chars:
            raise UsageError(
                f"the text has {len(search.text):,} characters: {limits.text_chars:,} are allowed"
            )
        what["text"] = search.text
    elif search.image is not None:
        what["picture"] = given(search.image, limits)
    elif search.image_url is not None:
        what["picture"] = found_at(search.image_url, network, limits)
    elif search.embedding is not None:
        what["vector"] = search.embedding
    elif search.sample_id is not None:
        what["sample_id"] = identifier_of(search.sample_id)
        what["like"] = search.like
    return Query(
        **what,
        modality=search.modality,
        where=where,
        k=search.k + search.offset,
        collapse=search.collapse,
        steering=None
        if search.aesthetic_score is None
        else Steering(search.aesthetic_score, search.aesthetic_weight),
        columns=columns,
    )


def identifier_of(text: str) -> int:
    """A sample_id as a number of 64 bits. Raises UsageError."""
    number = int(text)
    if not -(1 << 63) <= number < 1 << 63:
        raise UsageError(f"{text} is no sample_id: it has more than 64 bits")
    return number


def find(opened: Opened, search: Search, limits: Limits, network: Network, columns: tuple[str, ...]) -> Found:
    """The answer to `search`. Raises UsageError, and what `Session.asking` raises."""
    searcher = opened.searcher(search.model)
    where = condition(opened, search.filters, limits)
    asked = query(search, limits, network, where, columns)
    with opened.sessions.lent() as session, session.asking() as connection:
        found = searcher.find(asked, connection=connection)
    for step, seconds in found.seconds.items():
        metrics.STEPS.labels(step).observe(seconds)
    return found


def _asked(search: Search, name: str) -> bool:
    return getattr(search, name) is not None
