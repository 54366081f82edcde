"""Nearest neighbours among a lake's vectors, with conditions in SQL.

A condition is answered first, by SQL over `pairs`, and neighbours are looked for among what it leaves: so
there are as many results as were asked for, unless fewer pairs satisfy it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakehouse import sqlfiles, views
from lakehouse.collapse import Collapse, keep
from lakehouse.errors import UsageError
from lakehouse.index import tuning
from lakehouse.lake import Lake, model_errors
from lakehouse.sqlfiles import identifier
from lakehouse.tables.indexing import Modality
from lakehouse.tables.lance import LanceFormat
from lakehouse.vectors import Ids, LanceVectors, Nearest, PublishedVectors, Vector, Vectors
from transforms.candidates import language
from transforms.embeddings import ENGLISH, UnreadablePictureError, embed_images, embed_texts
from transforms.scores import heads

MOST = 10_000  # results of one search
LOOK_SECONDS = 1.0  # between two looks at whether head has moved on
SPARE = 4  # times as many neighbours are looked for, where too few are left after collapsing

Connection = duckdb.DuckDBPyConnection
Run = Callable[[str], pa.Table]


@dataclass(frozen=True)
class Steering:
    """Towards pictures that people rate so, as clip-retrieval does: query + weight x rating, at length 1."""

    score: int  # a human rating, 0 to 9
    weight: float  # 0 to 1

    def __post_init__(self) -> None:
        if self.score not in range(10) or not 0 <= self.weight <= 1:
            raise UsageError(
                f"aesthetic score {self.score}, weight {self.weight}: expected 0 to 9 and 0 to 1"
            )


@dataclass(frozen=True, eq=False)
class Query:
    """What is looked for: exactly one of text, picture, vector and sample_id, and how.

    Raises UsageError for what cannot be meant.
    """

    text: str | None = None
    picture: bytes | None = None  # an encoded picture
    vector: Sequence[float] | npt.NDArray[np.floating] | None = None  # [D]; it is brought to length 1
    sample_id: int | None = None  # a pair of the lake
    like: Modality = "image"  # which of that pair's vectors
    modality: Modality = "image"  # which vectors are searched
    where: str | None = None  # SQL over the columns of `pairs`
    k: int = 10
    collapse: Collapse = "none"
    steering: Steering | None = None
    columns: Sequence[str] = ("language", "text", "url")  # of `pairs`

    def __post_init__(self) -> None:
        given = [self.text, self.picture, self.vector, self.sample_id]
        if sum(one is not None for one in given) != 1:
            raise UsageError("search by one of a text, a picture, a vector and a sample_id")
        if not 1 <= self.k <= MOST:
            raise UsageError(f"k = {self.k}: expected 1 to {MOST:,}")


@dataclass(frozen=True)
class Found:
    """The result of a search."""

    rows: pa.Table  # sample_id, cosine (float64), then the columns asked for; nearest first
    how: Literal["index", "exact"]  # the way to the nearest
    matching: int | None  # pairs with vectors that satisfy `where`; None without one
    seconds: Mapping[str, float] = field(default_factory=dict)  # per step


class Searcher:
    """Searches of one lake by one model's vectors; keeps between them what they share.

    It may be used from several threads. Opened at head it follows head: batches that are finished are seen
    within LOOK_SECONDS, and rows that are removed are gone from the next search on.
    """

    def __init__(self, lake: Lake, model: str | None = None) -> None:
        """`model`: a name in lake.toml (default: the first).

        Raises UsageError where the lake has no such model, or nothing embedded with it.
        """
        specs = {spec.name: spec for spec in lake.settings.models}
        if model is not None and model not in specs:
            raise UsageError(f"no model {model!r} in lake.toml; there are {', '.join(specs)}")
        self._spec = specs[model or lake.settings.models[0].name]
        self._lake = lake
        self._key = f"embeddings_{self._spec.name}"
        self._lock = threading.RLock()
        self._connection: Connection | None = None
        self._made = frozenset[str]()  # views that it has
        self._looked = -LOOK_SECONDS
        self._pins = lake.pins()
        self._vectors = self._opened()

    @property
    def model(self) -> str:
        """Whose vectors are searched."""
        return self._spec.name

    @property
    def dimension(self) -> int:
        """Elements of a vector."""
        return int(self._lake.spec(self._key).schema.field("image_embedding").type.list_size)

    @property
    def steerable(self) -> bool:
        """Whether there are embeddings of ratings for the model."""
        return heads.ratings(self.model) is not None

    def vectors(self, ids: Ids, modality: Modality = "image") -> Mapping[int, Vector]:
        """The vectors (float32 [D]) of those of the sample_ids `ids` (int64) that have some."""
        return self._current().of(ids, modality)

    def find(self, query: Query, connection: Connection | None = None) -> Found:
        """The pairs nearest to what `query` says.

        SQL runs on `connection`, which has the lake's views, or on one that the searcher keeps. Raises
        UsageError for a query that the lake cannot answer, LakeError where the model is not to be had.
        """
        steps = _Steps()
        vectors = self._current()
        with steps("embed"):
            vector = self._vector(query, vectors)
        run = self._runner(connection, query.where)
        chosen = None
        if query.where is not None:
            with steps("filter"):
                chosen = _matching(run, query.where)
        found, rows = _search(query, vector, vectors, chosen, run, steps)
        return Found(rows, found.how, None if chosen is None else vectors.count(chosen), steps.seconds)

    # ---------------------------------------------------------------- what is searched

    def _opened(self) -> Vectors:
        pin = self._pins.get(self._key)
        if pin is None:
            raise UsageError(f"nothing is embedded with {self.model} yet: `lake run`")
        table = self._lake.table(self._key)
        if isinstance(table, LanceFormat):
            return LanceVectors(table, pin, tuning(self._lake, self.model))
        return PublishedVectors(self._lake, self._key, pin)

    def _current(self) -> Vectors:
        """The vectors of now."""
        with self._lock:
            moved = isinstance(self._vectors, LanceVectors) and not self._vectors.is_newest
            if self._lake.moment is None and (moved or time.monotonic() - self._looked > LOOK_SECONDS):
                self._looked = time.monotonic()
                pins = self._lake.pins()
                if pins != self._pins:
                    self._pins, self._connection, moved = pins, None, True
            if moved:
                self._vectors = self._opened()
            return self._vectors

    def _runner(self, connection: Connection | None, where: str | None) -> Run:
        """Runs SQL on `connection`, or on the searcher's own, which one thread at a time can use."""
        reads = frozenset({"pairs"})
        if connection is None and where is not None:
            reads |= sqlfiles.references(_condition(where))

        def run(sql: str) -> pa.Table:
            with views.sql_errors():
                if connection is not None:
                    return connection.sql(sql).to_arrow_table()
                with self._lock:
                    return self._own(reads).sql(sql).to_arrow_table()

        return run

    def _own(self, reads: frozenset[str]) -> Connection:
        """The searcher's connection, with the views that have been asked for: making all takes a second."""
        if self._connection is None or not reads <= self._made:
            self._made |= reads
            self._connection = views.connect(self._lake, only=self._made)
        return self._connection

    # ---------------------------------------------------------------- what is looked for

    def _vector(self, query: Query, vectors: Vectors) -> Vector:
        vector = self._raw(query, vectors)
        if vector.shape != (self.dimension,):
            raise UsageError(f"a vector of shape {vector.shape}: {self.model} has {self.dimension} elements")
        vector = _unit(vector)
        if query.steering is not None and query.steering.weight:
            ratings = heads.ratings(self.model)
            if ratings is None:
                raise UsageError(f"there are no embeddings of aesthetic ratings for the model {self.model}")
            vector = _unit(vector + query.steering.weight * ratings[query.steering.score])
        return vector

    def _is_english(self, text: str) -> bool:
        """Whether `text` is for the model's own text tower: told as the language of a caption is."""
        if self._spec.multilingual is None:
            return True
        return language.identifier(self._lake.settings.candidates)(text)[0] == ENGLISH

    @model_errors()
    def _raw(self, query: Query, vectors: Vectors) -> Vector:
        if query.text is not None:
            return _float32(embed_texts([query.text], self._spec, english=self._is_english(query.text))[0])
        if query.picture is not None:
            try:
                return _float32(embed_images([query.picture], self._spec)[0])
            except UnreadablePictureError as error:
                raise UsageError("the picture cannot be decoded: give a JPEG, PNG, WEBP or GIF") from error
        if query.vector is not None:
            return _float32(query.vector)
        assert query.sample_id is not None
        found = vectors.of(np.array([query.sample_id], np.int64), query.like)
        if query.sample_id not in found:
            raise UsageError(f"no pair {query.sample_id} with vectors of {self.model}")
        return found[query.sample_id]


def find(lake: Lake, query: Query, model: str | None = None, connection: Connection | None = None) -> Found:
    """One search; see `Searcher`, which is the one to keep for many."""
    return Searcher(lake, model).find(query, connection)


class _Steps:
    """How long each step took, over all its turns."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - started


def _float32(vector: npt.ArrayLike) -> Vector:
    return np.asarray(vector, np.float32)


def _unit(vector: Vector) -> Vector:
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if not np.isfinite(length) or length == 0:
        raise UsageError("a vector that is zero, or not finite, is near to nothing")
    return (vector / length).astype(np.float32)


def _condition(where: str) -> str:
    return f"select sample_id from pairs where (\n{where}\n)"


def _matching(run: Run, where: str) -> Ids:
    """Sorted sample_ids of the pairs that satisfy `where`."""
    rows = run(_condition(where))
    ids: Ids = rows["sample_id"].to_numpy()
    return np.unique(ids)


def _search(
    query: Query, vector: Vector, vectors: Vectors, chosen: Ids | None, run: Run, steps: _Steps
) -> tuple[Nearest, pa.Table]:
    """The nearest and their rows; looked for again, more of them, while too few are left."""
    n = query.k if query.collapse == "none" else query.k * SPARE
    while True:
        with steps("nearest"):
            found = vectors.nearest(query.modality, vector, n, chosen)
        with steps("rows"):
            rows = _rows(run, found, [*query.columns, "url_id"])
        with steps("collapse"):
            rows = rows.filter(pa.array(keep(rows, query.collapse, vectors)))
        if len(rows) >= query.k or len(found.ids) < n:
            break
        n *= SPARE
    return found, rows.slice(0, query.k).select(["sample_id", "cosine", *query.columns])


def _rows(run: Run, found: Nearest, names: Sequence[str]) -> pa.Table:
    """The rows of `pairs` of what was found, nearest first; pairs that are gone by now are left out."""
    wanted = ", ".join(f"pairs.{identifier(name)}" for name in dict.fromkeys(names) if name != "sample_id")
    ids = ", ".join(map(str, found.ids.tolist())) or "null"
    rows = run(f"select sample_id, {wanted} from pairs where sample_id in ({ids})")
    cosines = dict(zip(found.ids.tolist(), found.cosines.tolist(), strict=True))
    cosine = pa.array([cosines[key] for key in rows["sample_id"].to_pylist()], pa.float64())
    ranked = rows.add_column(1, "cosine", cosine)
    return ranked.sort_by([("cosine", "descending"), ("sample_id", "ascending")])
