"""The API of the page, and of whoever likes it better than clip-retrieval's.

Ids of 64 bits are text in JSON: a browser's numbers have 53. Wrong requests get 422 with one line in
`error`; what needs the token and has it not, 403; what is not there, 404.
"""

from __future__ import annotations

import importlib.metadata
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Header, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from lakehouse.errors import UsageError
from lakehouse.server import removals, subsets
from lakehouse.server.conditions import FACETS, UNKNOWN, Filters, condition
from lakehouse.server.provenance import NotThereError, provenance, told
from lakehouse.server.searching import Search, find, identifier_of
from lakehouse.server.service import Service
from lakehouse.server.versions import Opened

COLUMNS = (
    "url_id", "url", "text", "page_url", "license", "language", "width", "height", "status",
    "similarity", "aesthetic", "punsafe", "pwatermark", "toxicity",
)  # fmt: skip
BINS = 32  # of a histogram, if nobody says
LANGUAGES = 40  # that are counted by name, the most frequent first

Token = Annotated[str | None, Header(description="Bearer TOKEN")]
Release = Annotated[str | None, Query(max_length=100)]
Id = Annotated[str, Path(pattern=r"^-?[0-9]{1,19}$")]


class Asked(BaseModel):
    """Pairs of one version of the lake."""

    model_config = ConfigDict(extra="forbid")

    filters: Filters = Filters()
    release: str | None = Field(default=None, max_length=100)


class Histograms(Asked):
    """Which distributions are asked for."""

    facets: list[Annotated[str, Field(max_length=40)]] = Field(max_length=len(FACETS) + 1)
    bins: int = Field(BINS, ge=1, le=200)


class Subset(BaseModel):
    """A subset to be saved: the pairs of `search.filters`; with `results`, those that the search finds."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=100)
    about: str = Field(default="", max_length=1_000)
    search: Search
    results: int | None = Field(default=None, ge=1, le=1_000_000)


class Removal(BaseModel):
    """A pair that somebody asks to be taken out, or (`picture`) its picture with all captions."""

    model_config = ConfigDict(extra="forbid")

    sample_id: str = Field(pattern=r"^-?[0-9]{1,19}$")
    what: Literal["pair", "picture"] = "pair"
    reason: str = Field(default="", max_length=2_000)


def routes(service: Service) -> APIRouter:
    """All routes below /api."""
    router = APIRouter(prefix="/api")
    _reading(router, service)
    _comparing(router, service)
    _writing(router, service)
    return router


def _reading(router: APIRouter, service: Service) -> None:
    @router.get("/lake")
    def lake(release: Release = None) -> dict[str, Any]:
        """What this lake offers: models, releases, views, columns, filters, and whether it takes writes."""
        opened = service.versions.get(release)
        models = [model.name for model in opened.lake.settings.models]
        return {
            "version": importlib.metadata.version("pairlake"),
            "ready": service.ready.is_set(),
            "models": [{"name": name, **_about(opened, name)} for name in models],
            "release": release,
            "releases": service.versions.names(),
            "views": opened.views,
            "columns": list(opened.columns),
            "facets": list(FACETS),
            "unsafe_above": opened.unsafe,
            "writes": service.token is not None and service.versions.lake.storage.read_only is None,
            "most": service.limits.k,
        }

    @router.post("/search")
    def search(asked: Search) -> Response:
        """The nearest pairs; or, where nothing is searched for, pairs with pictures in an arbitrary order."""
        opened = service.versions.get(asked.release)
        if asked.is_browsing:
            return _json(_browsed(service, opened, asked))
        found = find(opened, asked, service.limits, service.network, COLUMNS)
        rows = [told(row) for row in found.rows.slice(asked.offset).to_pylist()]
        return _json(
            {"rows": rows, "matching": found.matching, "how": found.how, "seconds": dict(found.seconds)}
        )

    @router.post("/count")
    def count(asked: Asked) -> dict[str, Any]:
        """How many pairs there are, how many the filters leave, and the filters as SQL."""
        opened = service.versions.get(asked.release)
        where = condition(opened, asked.filters, service.limits)
        sql = f"select count(*) as all, count(*) filter (where {where or 'true'}) as matching from pairs"
        return {**opened.sessions.rows(sql.replace(" as all", ' as "all"')).to_pylist()[0], "where": where}

    @router.post("/histogram")
    def histogram(asked: Histograms) -> dict[str, Any]:
        """Per facet, how many pairs lie in each of `bins` equal parts of its range, by the other filters."""
        opened = service.versions.get(asked.release)
        unknown = [name for name in asked.facets if name not in (*FACETS, "language")]
        if unknown:
            raise UsageError(f"no facet {unknown[0]!r}; there are {', '.join((*FACETS, 'language'))}")
        return {name: _histogram(service, opened, asked, name) for name in dict.fromkeys(asked.facets)}

    @router.get("/row/{sample_id}")
    def row(sample_id: Id, release: Release = None) -> dict[str, Any]:
        """A pair and where it comes from: crawl file, page, attempts, batches, scores, models."""
        return provenance(service.versions.get(release), identifier_of(sample_id))

    @router.get(
        "/thumbnail/{url_id}", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}}
    )
    def thumbnail(url_id: Id, release: Release = None) -> Response:
        """The stored picture, made small; never fetched from elsewhere."""
        opened = service.versions.get(release)
        data = service.thumbnails.get(opened.lake, release, identifier_of(url_id), service.versions.state())
        if data is None:
            return Response('{"error": "the lake holds no such picture"}', 404, media_type="application/json")
        return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=300"})


def _comparing(router: APIRouter, service: Service) -> None:
    @router.get("/diff")
    def diff(
        since: Annotated[str, Query(max_length=100)],
        release: Release = None,
        view: Annotated[str, Query(max_length=200)] = "pairs",
    ) -> dict[str, Any]:
        """What changed in a view since a release, by reason."""
        from lakehouse.diff import diff
        from lakehouse.server.sessions import BusyError

        before, after = service.versions.get(since), service.versions.get(release)
        rows = after.sessions.rows("select count(*) as n from pairs")["n"].to_pylist()[0]
        if rows > service.limits.diff_rows:
            raise UsageError(
                f"too many pairs to compare here: `lake release diff {since} {release or 'head'}`"
            )
        if not service.comparing.acquire(timeout=service.limits.wait_seconds):
            raise BusyError("two versions are being compared: ask again in a moment")
        try:
            found = diff(before.lake, after.lake, view)
        finally:
            service.comparing.release()
        return {
            "view": found.view,
            "before": found.before,
            "after": found.after,
            "counts": [vars(count) for count in found.counts],
        }


def _writing(router: APIRouter, service: Service) -> None:
    @router.get("/subset")
    def saved() -> list[dict[str, Any]]:
        """The saved subsets, with the commands that take them out of the lake."""
        return [_subset(each) for each in subsets.saved(service.versions.lake)]

    @router.post("/subset", status_code=201)
    def save(asked: Subset, authorization: Token = None) -> dict[str, Any]:
        """Saves a subset as a view of the lake, the next version of its name. Needs the token."""
        service.check(authorization)
        if asked.search.release is not None:
            raise UsageError("subsets are saved from the lake as it is: a release does not change any more")
        opened = service.versions.get()
        where = condition(opened, asked.search.filters, service.limits)
        ids = None
        if asked.results is not None:
            asked.search.k, asked.search.offset = asked.results, 0
            found = find(opened, asked.search, service.limits, service.network, ())
            ids = found.rows["sample_id"].to_pylist()
        with service.writing:
            made = subsets.save(
                service.versions.lake, asked.name, where, ids, asked.about, service.limits.subsets
            )
        service.versions.changed()
        return _subset(made)

    @router.post("/removal", status_code=201)
    def ask(asked: Removal, authorization: Token = None) -> dict[str, Any]:
        """Keeps a request for removal, for whoever runs the lake to look at. Needs the token."""
        service.check(authorization)
        sample_id = identifier_of(asked.sample_id)
        rows = service.versions.get().sessions.rows(
            "select url_id from pairs where sample_id = ?", [sample_id]
        )
        if not len(rows):
            raise NotThereError(f"no pair has sample_id {sample_id}")
        url_id = rows["url_id"].to_pylist()[0]
        with service.writing:
            made = removals.ask(
                service.versions.lake,
                "sample_id" if asked.what == "pair" else "url_id",
                sample_id if asked.what == "pair" else url_id,
                asked.reason,
                service.limits.requests,
            )
        return _request(made)

    @router.get("/removal")
    def waiting(authorization: Token = None) -> list[dict[str, Any]]:
        """The requests for removal that wait. Needs the token."""
        service.check(authorization)
        return [_request(made) for made in removals.waiting(service.versions.lake)]


def _json(body: dict[str, Any]) -> Response:
    """`body` as it is: of a thousand rows FastAPI's own way looks at each value twice."""
    return Response(orjson.dumps(body), media_type="application/json")


def _about(opened: Opened, model: str) -> dict[str, Any]:
    try:
        searcher = opened.searcher(model)
    except UsageError:  # nothing is embedded yet
        return {"embedded": False, "dimension": None, "steerable": False}
    return {"embedded": True, "dimension": searcher.dimension, "steerable": searcher.steerable}


def _browsed(service: Service, opened: Opened, asked: Search) -> dict[str, Any]:
    if asked.k + asked.offset > service.limits.k:
        raise UsageError(f"results end at {service.limits.k:,}")
    where = condition(opened, asked.filters, service.limits) or "true"
    columns = ", ".join(f"pairs.{name}" for name in COLUMNS)
    # Each picture once, in an order that says nothing but stays: neighbours on a page are on a page's shelf
    sql = (
        f"select sample_id, null::double as cosine, {columns} from pairs "
        f"where status = 'success' and ({where}) "
        + (
            ""
            if asked.collapse == "none"
            else "qualify row_number() over (partition by url_id order by sample_id) = 1 "
        )
        + f"order by hash(sample_id), sample_id limit {asked.k} offset {asked.offset}"
    )
    rows = opened.sessions.rows(sql)
    return {"rows": [told(row) for row in rows.to_pylist()], "matching": None, "how": "browse", "seconds": {}}


def _histogram(service: Service, opened: Opened, asked: Histograms, name: str) -> dict[str, Any]:
    where = condition(opened, asked.filters, service.limits, but=name) or "true"
    if name == "language":
        rows = opened.sessions.rows(
            f"select coalesce(language, '{UNKNOWN}') as value, count(*) filter (where {where}) as n "
            f"from pairs group by 1 order by count(*) desc, 1 limit {LANGUAGES}"
        )
        return {"values": rows["value"].to_pylist(), "counts": rows["n"].to_pylist()}
    rows = opened.sessions.rows(
        f"with given as (select ({FACETS[name]})::double as x, ({where}) as kept from pairs), "
        "span as (select min(x) as low, max(x) as high, count(x) as n from given where isfinite(x)), "
        f"placed as (select least({asked.bins - 1}, "
        f"  floor((x - low) / nullif(high - low, 0) * {asked.bins})::bigint) as bin"
        "  from given, span where isfinite(x) and kept) "
        "select low, high, n, (select list([bin, c]) from "
        "  (select coalesce(bin, 0) as bin, count(*) as c from placed group by 1)) as counts from span"
    ).to_pylist()[0]
    counts = [0] * asked.bins
    for place, n in rows["counts"] or []:
        counts[place] = n
    return {"low": rows["low"], "high": rows["high"], "known": rows["n"], "counts": counts}


def _subset(saved: subsets.Saved) -> dict[str, Any]:
    return {**vars(saved), "commands": saved.commands()}


def _request(made: removals.Request) -> dict[str, Any]:
    return {**vars(made), "value": str(made.value), "command": made.command}
