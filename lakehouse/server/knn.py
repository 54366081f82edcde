"""clip-retrieval's wire format, so that its clients search a lake unchanged.

An index is a model's vectors: `demo` at the lake as it is, `demo@v1` at the release v1. What the format
has and a lake cannot honour is refused (`use_mclip`) or has no effect, as in clip-retrieval's own service
where it has no such model: `use_violence_detector`, and steering under a model without rating embeddings.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from lakehouse.errors import UsageError
from lakehouse.server.conditions import Filters
from lakehouse.server.searching import Element, Search, find
from lakehouse.server.service import Service
from lakehouse.server.versions import Opened

COLUMNS = ("url", "text", "width", "height", "language", "punsafe", "similarity")
DEFAULT_AESTHETIC_WEIGHT = 0.5  # clip-retrieval's ClipClient

Id = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]


class Knn(BaseModel):
    """A question as ClipClient and clip-front send it; other fields are passed over."""

    text: str | None = Field(default=None, max_length=100_000)
    image: str | None = None
    image_url: str | None = Field(default=None, max_length=4_000)
    embedding_input: list[Element] | None = Field(default=None, max_length=8_192)
    modality: Literal["image", "text"] = "image"
    num_images: int = Field(default=100, ge=1, le=1_000_000)
    num_result_ids: int | None = Field(default=None, ge=1, le=1_000_000)
    indice_name: str | None = Field(default=None, max_length=200)
    use_mclip: bool = False
    deduplicate: bool = False
    use_safety_model: bool = False
    use_violence_detector: bool = False
    aesthetic_score: Annotated[int, Field(ge=0, le=9)] | Literal[""] | None = None
    aesthetic_weight: Annotated[float, Field(ge=0, le=1)] | Literal[""] | None = None


class Metadata(BaseModel):
    """Whose metadata is asked for."""

    ids: list[Id] = Field(max_length=10_000)
    indice_name: str | None = Field(default=None, max_length=200)


def routes(service: Service) -> APIRouter:
    """The three routes that clip-retrieval's clients use."""
    router = APIRouter(tags=["clip-retrieval"])

    @router.get("/indices-list")
    def indices_list() -> list[str]:
        """The names of the indices."""
        models = [model.name for model in service.versions.lake.settings.models]
        return models + [f"{model}@{release}" for release in service.versions.names() for model in models]

    @router.post("/knn-service")
    def knn_service(knn: Knn) -> list[dict[str, Any]]:
        """The pairs nearest to a text, a picture (base64), a picture's URL or a vector, nearest first."""
        if knn.use_mclip:
            raise UsageError("use_mclip: this lake has no multilingual text model")
        opened, model = _index(service, knn.indice_name)
        most = max(knn.num_result_ids or knn.num_images, 1)
        found = find(opened, _search(opened, knn, model, most), service.limits, service.network, COLUMNS)
        results = []
        for place, row in enumerate(found.rows.to_pylist()):
            result = _metadata(row) if place < knn.num_images else {}
            results.append({**result, "id": row["sample_id"], "similarity": row["cosine"]})
        return results

    @router.post("/metadata")
    def metadata(asked: Metadata) -> list[dict[str, Any]]:
        """What is known of these ids; an id that is not there is left out."""
        if len(asked.ids) > service.limits.k:
            raise UsageError(f"{len(asked.ids):,} ids: {service.limits.k:,} are allowed")
        opened, _ = _index(service, asked.indice_name)
        columns = ", ".join(COLUMNS)
        ids = ", ".join(map(str, asked.ids)) or "null"
        rows = opened.sessions.rows(f"select sample_id, {columns} from pairs where sample_id in ({ids})")
        found = {row["sample_id"]: _metadata(row) for row in rows.to_pylist()}
        return [{"id": one, "metadata": found[one]} for one in asked.ids if one in found]

    return router


def _index(service: Service, name: str | None) -> tuple[Opened, str | None]:
    if name is None:
        return service.versions.get(), None
    model, _, release = name.partition("@")
    return service.versions.get(release or None), model


def _search(opened: Opened, knn: Knn, model: str | None, most: int) -> Search:
    score = knn.aesthetic_score if knn.aesthetic_score != "" else None
    given = knn.aesthetic_weight
    weight = given if isinstance(given, float) else DEFAULT_AESTHETIC_WEIGHT
    steerable = score is not None and opened.searcher(model).steerable
    # The first of these that is there counts, as in clip-retrieval
    what: dict[str, Any] = {}
    for ours, theirs in (
        ("text", knn.text or None),
        ("image", knn.image),
        ("image_url", knn.image_url),
        ("embedding", knn.embedding_input),
    ):
        if theirs is not None:
            what = {ours: theirs}
            break
    return Search(
        **what,
        modality=knn.modality,
        model=model,
        filters=Filters(safe=knn.use_safety_model),
        k=most,
        collapse="near" if knn.deduplicate else "none",
        aesthetic_score=score if steerable else None,
        aesthetic_weight=weight,
    )


def _metadata(row: dict[str, Any]) -> dict[str, Any]:
    """The names that clip-retrieval's metadata have."""
    return {
        "url": row["url"],
        "caption": row["text"],
        "width": row["width"],
        "height": row["height"],
        "language": row["language"],
        "punsafe": row["punsafe"],
    }
