"""The stages as data: what drives each, what it makes, and its fingerprint.

    sources ─> candidates ─> downloads + images ─> embeddings_MODEL ─> scores/SCORER ─> stored_pairs
                        └──────────────────────────────────────────────^ (texts; pictures; published)
                                     └───────────┴─> duplicates/METHOD

A stage's *works* are the pieces of its driving input: units of the sources, or batches of a table
(`candidates:7`). What the ledger does not have as done for (stage, fingerprint, selection) is new.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
from dask import delayed
from dask.delayed import Delayed

from lakehouse import duplicates, lineage, materialise, pairs, views
from lakehouse.batch import Streamed
from lakehouse.errors import LakeError, UsageError
from lakehouse.fetching import Fetch, spool_of
from lakehouse.lake import Lake, batches_of, ranges
from lakehouse.ledger import Source
from lakehouse.tombstones import tombstones
from transforms import candidates as extraction
from transforms import columns, downloads, embeddings, joins, scores
from transforms.candidates.withdrawn import not_withdrawn
from transforms.downloads.rules import HashLists
from transforms.embeddings.model import ModelSpec
from transforms.files import open_file
from transforms.imports.taken import Take
from transforms.scores import Scorer

ALL = "all"  # the selection that leaves nothing out
UNREADABLE = ("unreadable",)  # what `Options.retry` is for units of candidates, not URLs
RETRY = "retry-unreadable:"  # begins the name of a work that reads a unit once more
KINDS = ("candidates", "downloads", "embeddings", "scores", "duplicates", "pairs")
FEW_TASKS = 16  # of a batch that is fetched: below it, each has `batches.rows` URLs
PIECES = 4  # as many times that, in a larger batch
PAIRS_AT_ONCE = 64  # works in a batch of stored pairs: cheap ones, and there may be many
IMG2DATASET = "img2dataset"  # the kind of sources that bring their pictures


@dataclass(frozen=True)
class Options:
    """What a run asks for beyond the settings; none of it decides about a row's content."""

    replay: bool = False
    retry: tuple[str, ...] = ()
    view: str | None = None
    wait: bool = False
    skip_unreadable: bool = False
    units: frozenset[str] = frozenset()  # these alone, and what is made of nothing else; empty means all


@dataclass(frozen=True)
class Stage:
    """One node of the DAG."""

    name: str
    kind: str
    keys: tuple[str, ...]  # ledger keys that a batch writes; the first names the stage in the ledger
    source: str  # ledger key whose batches are its works, or "sources"
    needs: str  # cpu, io or gpu
    rules: Callable[[], Mapping[str, Any]]  # what decides about its rows; may hash a model's weights
    build: Callable[[Lake, Sequence[str], Options], Sequence[dd.DataFrame | Streamed]]
    #: units that it is for; of its source's batches, only those that have one of them are its works
    units: frozenset[str] | None = None
    #: what a batch's lineage says beside its works
    origin: Callable[[Lake, Sequence[str]], Mapping[str, Any]] = lambda lake, works: {}
    follows: tuple[str, ...] = ()  # keys whose new batches change earlier rows too: a new generation of them
    works: Callable[[Lake], Sequence[str]] | None = None  # its works, where they are not its source's batches
    at_once: int = 1  # works in a batch

    def fingerprint(self) -> str:
        """16 hex digits over the rules: parameters, models by their weights, not the code's commit."""
        return lineage.fingerprint(self.rules())


def stages(lake: Lake) -> list[Stage]:
    """The DAG of this lake, upstream first."""
    models = lake.settings.models
    made = [_candidates(lake), _downloads(lake), *[_embeddings(model) for model in models]]
    scorers = lake.scorers()
    published = {s.unit: s for s in lake.ledger.sources() if s.scores}
    made += [_published(s, published) if s.column else _scores(s) for s in scorers]
    duplicates.check(lake.settings)
    made += [_duplicates(lake, method) for method in lake.settings.duplicates.methods]
    return [*made, _pairs(lake, made)]


def chosen(lake: Lake, names: Sequence[str], model: str | None = None) -> list[Stage]:
    """The stages that `names` (kinds or full names; none means all) and `model` ask for."""
    found = stages(lake)
    for name in names:
        if name == "duplicates" and not lake.settings.duplicates.methods:
            raise UsageError(
                "lake.toml does not say how to find duplicates: put [duplicates] methods there, "
                f"one or more of {', '.join(duplicates.methods(lake.settings))}"
            )
        if not any(name in (stage.kind, stage.name) for stage in found):
            raise UsageError(
                f"no stage {name!r}; there are {', '.join(KINDS)}, "
                f"or by name {', '.join(s.name for s in found)}"
            )
    if model is not None and model not in [m.name for m in lake.settings.models]:
        have = ", ".join(m.name for m in lake.settings.models)
        raise UsageError(f"no model {model!r} in lake.toml; there are {have}")
    kept = [s for s in found if not names or s.kind in names or s.name in names]
    return [s for s in kept if model is None or s.kind != "embeddings" or s.name == f"embeddings_{model}"]


def downstream(lake: Lake, stage: Stage) -> list[Stage]:
    """`stage` and all that is made from what it makes."""
    found = [stage]
    for other in stages(lake):
        if any({other.source, *other.follows} & set(upper.keys) for upper in found):
            found.append(other)
    return found


# ---------------------------------------------------------------------- candidates


def _candidates(lake: Lake) -> Stage:
    return Stage(
        "candidates",
        "candidates",
        ("candidates",),
        "sources",
        "cpu",
        lambda: dataclasses.asdict(lake.settings.candidates),
        _build_candidates,
        origin=lambda lake, works: _imported(lake, map(unit_of, works)),
    )


def retried(unit: str, batch: int) -> str:
    """The work of reading a unit once more, which earlier batches have as done."""
    return f"{RETRY}{batch}:{unit}"


def unit_of(work: str) -> str:
    """The unit that a work of the stage candidates reads."""
    return work.split(":", 2)[2] if work.startswith(RETRY) else work


def _build_candidates(lake: Lake, works: Sequence[str], options: Options) -> list[dd.DataFrame]:
    by_unit = {source.unit: source for source in lake.ledger.sources()}
    units = _unit_frame([by_unit[unit_of(work)] for work in works])
    rules, reads = lake.settings.candidates, lake.settings.reads
    rows = extraction.candidates(units, rules, reads, options.skip_unreadable)
    if (refused := tombstones(lake)) is not None:
        rows = not_withdrawn(rows, refused)
    pin = lake.pins(building=True).get("candidates")
    known = lake.read("candidates", [pin], ["sample_id"], pairs.KEYS) if pin else None
    return [extraction.first_seen(rows, known)]


UNITS = pa.schema(
    [
        ("unit", pa.string()),
        ("path", pa.string()),
        ("kind", pa.string()),
        ("order", pa.int64()),
        ("start", pa.int64()),
        ("stop", pa.int64()),
    ]
)


def _unit_frame(sources: Sequence[Source]) -> dd.DataFrame:
    """One row and one partition per unit."""
    tables = [pa.Table.from_pylist([vars(source)], schema=UNITS) for source in sources]
    return dd.from_map(columns.to_pandas, tables, meta=columns.meta(UNITS))


# ---------------------------------------------------------------------- downloads


def _downloads(lake: Lake) -> Stage:
    return Stage(
        "downloads",
        "downloads",
        ("downloads", "images"),
        "candidates",
        "io",
        lambda: dataclasses.asdict(lake.settings.downloads),
        _build_downloads,
        origin=lambda lake, works: {**_lists(lake, works), **_imported(lake, units_behind(lake, works))},
    )


def units_behind(lake: Lake, works: Sequence[str]) -> set[str]:
    """The units of the batches of candidates that `works` name."""
    numbers = batches_of(works).get("candidates", ())
    done = [e for e in lake.ledger.done("candidates") if e["batch"] in numbers]
    return {unit_of(work) for event in done for work in event["units"]}


def _shards(lake: Lake, units: Iterable[str]) -> list[Source]:
    """Those of `units` that bring their pictures."""
    wanted = set(units)
    return [s for s in lake.ledger.sources() if s.kind == IMG2DATASET and s.unit in wanted]


def _imported(lake: Lake, units: Iterable[str]) -> Mapping[str, Any]:
    """The shards among `units`, for the lineage."""
    found = [
        {"tool": s.kind, "file": s.path, "bytes": s.bytes, "sha256": s.sha256} for s in _shards(lake, units)
    ]
    return {"imported": found} if found else {}


def _lists(lake: Lake, works: Sequence[str]) -> Mapping[str, Any]:
    """The lists of what must not be stored, or must come, that a batch is held against, by their hashes."""
    found = []
    for path in (*lake.settings.refused.files, *lake.settings.refused.expected):
        try:
            with open_file(path, lake.settings.reads) as file:
                digest = hashlib.sha256()
                while piece := file.read(1 << 20):
                    digest.update(piece)
                found.append({"file": path, "sha256": digest.hexdigest()})
        except OSError as error:
            raise LakeError(
                f"the list {path} cannot be read, and nothing is fetched without it: {error}"
            ) from error
    return {"refused": found} if found else {}


def _build_downloads(lake: Lake, works: Sequence[str], options: Options) -> Sequence[dd.DataFrame | Streamed]:
    counts: list[dd.DataFrame | Streamed] = []
    if options.retry:
        urls = _failed(lake, options.retry)
    else:
        urls, told = _unfetched(lake, batches_of(works)["candidates"])
        counts = [told]
    refused, withdrawn = downloads.NOTHING, tombstones(lake)
    if lake.settings.refused != HashLists() or withdrawn is not None:
        refused = delayed(downloads.load)(lake.settings.refused, lake.settings.reads, withdrawn)
    units = set() if options.retry else units_behind(lake, works)
    if shards := {s.unit: s.path for s in _shards(lake, units)}:
        ours = urls["unit"].isin([*shards])
        here = urls[ours].shuffle("unit", npartitions=len(shards))
        counts.append(Streamed(here, Take(shards, lake.settings.downloads, lake.settings.reads), refused))
        if shards.keys() == units:
            return counts
        urls = urls[~ours]
    if not options.replay:
        _refuse_unnamed(lake)
        kept = spool_of(lake, _downloads(lake).fingerprint(), works, urls.npartitions, _lists(lake, works))
        fetch = Fetch(lake.settings.downloads, lake.settings.network, kept)
        return [Streamed(urls, fetch, refused), *counts]
    archives = [s.path for s in lake.ledger.sources() if s.kind == "warc"]
    if not archives:
        raise UsageError(
            "--replay takes pictures from WARC files, but none is registered: `lake add --warc FILE`"
        )
    fetched = downloads.replay(urls, archives, lake.settings.downloads, lake.settings.reads, refused)
    return [fetched, *counts]


def _refuse_unnamed(lake: Lake) -> None:
    if lake.settings.network.user_agent is None and lake.settings.network.is_open:
        raise UsageError(downloads.UNNAMED_CRAWLER)


URLS = pa.schema(
    [
        columns.URL_ID,
        columns.CANDIDATES.field("url"),
        columns.UNIT,
        columns.DOWNLOADS.field("attempt"),
        columns.CANDIDATES.field("position"),
    ]
)


def _unfetched(lake: Lake, batches: Sequence[int]) -> tuple[dd.DataFrame, dd.DataFrame]:
    """One row per URL of these candidates that has never been asked for, and the counts of the rest."""
    order = {source.unit: source.order for source in lake.ledger.sources()}
    names = ["url_id", "url", "host", "unit", "position"]
    rows = _by_host(lake, "candidates", ranges(batches), names)
    meta = columns.meta(columns.counted(URLS))
    distinct = rows.map_partitions(first_of_url, order, meta=meta, enforce_metadata=False)
    pin = lake.pins(building=True).get("downloads")
    if pin:
        known = lake.read("downloads", [pin], ["url_id"], pairs.KEYS)
        distinct = joins.without(distinct, known, "url_id", lineage.FETCHED_BEFORE)
    counts = distinct[distinct[columns.COUNT].notnull()].map_partitions(
        _with_in, meta=meta, enforce_metadata=False
    )
    return distinct[distinct[columns.COUNT].isnull()][URLS.names], counts


def _by_host(lake: Lake, key: str, batches: Sequence[tuple[int, int]], names: Sequence[str]) -> dd.DataFrame:
    """Rows of these batches, all of a host in one partition: so one worker keeps to a host's limits.

    Into how many they are cut follows from the ledger, so that a repeat finds what was spooled: one per
    `batches.rows` of a small batch; of a large one fewer, as every task ends with a wait for its slowest URL.
    """
    most = lake.settings.batches.rows
    done = [e["rows"] for e in lake.ledger.done(key) if any(a <= e["batch"] <= b for a, b in batches)]
    pieces = -(-sum(done) // most)
    tasks = max(1, pieces) if pieces <= FEW_TASKS else max(FEW_TASKS, -(-pieces // PIECES))
    rows = lake.read(key, batches, names, most)
    return rows.shuffle("host", npartitions=tasks) if tasks > 1 or rows.npartitions > 1 else rows


def first_of_url(part: pd.DataFrame, order: Mapping[str, int]) -> pd.DataFrame:
    """One row per URL, the first seen in crawl order, with attempt 1; the others counted per unit."""
    place = part["unit"].map(order)
    part = part.assign(_order=place).sort_values(["_order", "position"], kind="stable")
    again = part.duplicated("url_id").to_numpy(bool)
    kept = pa.Table.from_pandas(part[~again].assign(attempt=1)[URLS.names], schema=URLS, preserve_index=False)
    counts = part[again].groupby("unit", sort=False).size()
    tables = [columns.with_counts(kept, "", {})]
    tables += [columns.count_rows(URLS, str(unit), {"drop:same_url": int(n)}) for unit, n in counts.items()]
    return columns.to_pandas(pa.concat_tables(tables))


def _with_in(part: pd.DataFrame) -> pd.DataFrame:
    """Each dropped row came in as well: the download itself counts only what it was given."""
    return pd.concat([part, part.assign(**{columns.COUNT: "in"})], ignore_index=True).astype(part.dtypes)


def _failed(lake: Lake, statuses: Sequence[str]) -> dd.DataFrame:
    """The URLs whose newest attempt ended in one of `statuses`, with the number of the next attempt."""
    pin = lake.pins(building=True).get("downloads")
    if not pin:
        raise UsageError(
            "nothing has been downloaded yet, so there is nothing to retry: `lake run downloads`"
        )
    names = ["url_id", "url", "host", "unit", "attempt", "status"]
    rows = _by_host(lake, "downloads", [pin], names)
    schema = pa.schema([f for f in URLS if f.name != "position"])
    return rows.map_partitions(
        _next_attempt, set(statuses), meta=columns.meta(schema), enforce_metadata=False
    )


def _next_attempt(part: pd.DataFrame, statuses: set[str]) -> pd.DataFrame:
    newest = part.sort_values("attempt", kind="stable").drop_duplicates("url_id", keep="last")
    chosen = newest[newest["status"].isin(statuses)]
    return chosen.assign(attempt=chosen["attempt"] + 1)[["url_id", "url", "unit", "attempt"]].astype(
        {"attempt": part["attempt"].dtype}
    )


# ---------------------------------------------------------------------- embeddings and scores


def _embeddings(model: ModelSpec) -> Stage:
    key = f"embeddings_{model.name}"

    def build(lake: Lake, works: Sequence[str], options: Options) -> list[dd.DataFrame]:
        wanted = delayed(views.sample_ids)(lake.settings, options.view) if options.view else None
        rows = pairs.pairs(lake, works, wanted, _embedded(lake, key, works))
        rules = embeddings.GPU if lake.settings.cluster.gpus else embeddings.EmbeddingRules()
        return [embeddings.embeddings(rows, model.pinned(), rules)]  # a worker's file may be another one

    return Stage(key, "embeddings", (key,), "downloads", "gpu", model.fingerprint, build)


def _embedded(lake: Lake, key: str, works: Sequence[str]) -> Delayed | None:
    """The sample_ids that `key` has already, where some of `works` were done for another selection.

    Or where some were imported: these are not embedded again.
    """
    pin = lake.pins(building=True).get(key)
    done = [
        e
        for e in lake.ledger.done(key)
        if pin and pin[0] <= e["batch"] and (set(works) & set(e["units"]) or lineage.is_import(e))
    ]
    if pin is None or not done:
        return None
    parts = lake.read(key, [pin], ["sample_id"], pairs.KEYS).to_delayed()
    return delayed(_ids)(parts)


def _ids(parts: Sequence[pd.DataFrame]) -> np.ndarray:
    return np.concatenate([part["sample_id"].to_numpy(np.int64) for part in parts])


def _scores(scorer: Scorer) -> Stage:
    key = f"scores/{scorer.name}"
    source = {"vectors": f"embeddings_{scorer.model}", "pictures": "downloads", "texts": "candidates"}
    needs = "gpu" if scorer.needs == "vectors" else "cpu"

    def build(lake: Lake, works: Sequence[str], options: Options) -> list[dd.DataFrame]:
        if scorer.needs == "pictures":
            inputs = pairs.pairs(lake, works)
        else:
            batches = ranges(batches_of(works)[source[scorer.needs]])
            names = scores.NEEDS[scorer.needs]
            inputs = lake.read(source[scorer.needs], batches, names, lake.settings.batches.rows)
        return [scores.scores(inputs, scorer)]

    return Stage(key, "scores", (key,), source[scorer.needs], needs, scorer.fingerprint, build)


def _published(scorer: Scorer, sources: Mapping[str, Source]) -> Stage:
    """What the lists among the lake's sources say themselves; `sources`: those with scores, by unit."""
    key = f"scores/{scorer.name}"
    ours = {unit: source for unit, source in sources.items() if scorer.column in source.scores}

    def build(lake: Lake, works: Sequence[str], options: Options) -> list[dd.DataFrame]:
        batches = ranges(batches_of(works)["candidates"])
        rows = lake.read("candidates", batches, scores.NEEDS["lists"], lake.settings.batches.list_rows)
        places = {unit: (source.path, source.start, source.stop) for unit, source in ours.items()}
        return [scores.published(rows, scorer, places, lake.settings.reads)]

    def origin(lake: Lake, works: Sequence[str]) -> Mapping[str, Any]:
        numbers = batches_of(works)["candidates"]
        done = [e for e in lake.ledger.done("candidates") if e["batch"] in numbers]
        units = [unit_of(work) for e in done for work in e["units"]]
        paths = {ours[unit].path for unit in units if unit in ours}
        return {"column": scorer.column, "files": sorted(paths)}

    return Stage(
        key, "scores", (key,), "candidates", "cpu", scorer.fingerprint, build, frozenset(ours), origin
    )


# ---------------------------------------------------------------------- duplicates and pairs


def _duplicates(lake: Lake, method: str) -> Stage:
    """Groups of pairs by one method, over all that there is."""

    def build(lake: Lake, works: Sequence[str], options: Options) -> Sequence[dd.DataFrame]:
        return duplicates.frames(lake, method)

    return Stage(
        f"duplicates/{method}",
        "duplicates",
        (f"duplicates/{method}",),
        duplicates.source(method),
        "cpu" if method in (duplicates.SHA256, duplicates.PHASH) else "gpu",
        lambda: duplicates.rules(lake, method),
        build,
        follows=duplicates.reads(method),
        works=lambda lake: duplicates.works(lake, method),
        at_once=sys.maxsize,
    )


def _pairs(lake: Lake, before: Sequence[Stage]) -> Stage:
    """The join of all that SQL asks for, stored: rows of the relation `pairs`."""
    tables = [key for stage in before for key in stage.keys if key == "downloads" or stage.kind == "scores"]

    def build(lake: Lake, works: Sequence[str], options: Options) -> list[dd.DataFrame]:
        return [materialise.pairs(lake, batches_of(works)["candidates"])]

    return Stage(
        lineage.TABLE,
        "pairs",
        (lineage.TABLE,),
        "candidates",
        "cpu",
        lambda: views.pairs_rules(views.definitions(lake)),
        build,
        follows=tuple(tables),
        works=_pair_works,
        at_once=PAIRS_AT_ONCE,
    )


def _pair_works(lake: Lake) -> list[str]:
    scorers = views.active_scorers(views.definitions(lake))
    return list(lineage.works(lake.ledger.state(), lake.pins(building=True), scorers))
