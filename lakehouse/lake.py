"""A lake: a root URI and what is in it."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.dataframe as dd

from lakehouse import schema, settings
from lakehouse.errors import LakeError, UsageError
from lakehouse.ledger import Ledger, Pins
from lakehouse.tables import Range, Table, open_table
from lakehouse.tables.delta import DeltaFormat
from transforms.embeddings.errors import ModelUnavailable
from transforms.embeddings.model import dimension
from transforms.scores import PUBLISHED, Scorer, ScorerError, default_scorers, further_scorers

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection
    from PIL.Image import Image

    from lakehouse.moments import At, Moment
    from lakehouse.releases import Release
    from lakehouse.subset import Pictures, Subset

_TEMPLATE = """\
# A Pairlake lake. Every key is explained in docs/operations.md; what is not set has its default.
[lake]
schema = {schema}

[network]
# Before you crawl the open web, say who you are and where complaints reach you:
# user_agent = "Yourname/1.0 (+https://your.example/contact)"

[models.{model}]

[batches]
# units = 4
"""


@contextmanager
def model_errors() -> Iterator[None]:
    """Makes a LakeError of a model or function that is not to be had; its message says what to do."""
    try:
        yield
    except (ModelUnavailable, ScorerError) as error:
        raise LakeError(" ".join(str(error).split())) from error


class Lake:
    """The tables, ledger and settings of one lake. Opening is cheap and reads no data.

    With a `moment` it is the lake as a release or a time of the past saw it, and takes no writes.
    """

    published: Release | None = None  # the one release that a pushed copy holds

    def __init__(self, told: settings.Settings, moment: Moment | None = None) -> None:
        self.moment = moment
        if moment is not None:
            why = f"{moment.what} is read-only: to write, open the lake without a release or time"
            told = dataclasses.replace(told, storage=dataclasses.replace(told.storage, read_only=why))
        self.settings = told
        self.storage = told.storage
        self.ledger = Ledger(told.storage)

    def __repr__(self) -> str:
        seen = f", {self.moment.what}" if self.moment else ""
        return f"Lake({self.storage.root!r}{seen})"

    def names(self) -> list[str]:
        """The lake's tables: the fixed ones and one of embeddings per model."""
        return [*schema.FIXED, *[f"embeddings_{model.name}" for model in self.settings.models]]

    @model_errors()
    def spec(self, name: str) -> schema.TableSpec:
        """The table of that name. Raises UsageError where the lake has none."""
        if name in schema.FIXED:
            return schema.FIXED[name]
        for model in self.settings.models:
            if name == f"embeddings_{model.name}":
                return schema.embeddings(model.name, dimension(model))
        raise UsageError(f"no table {name!r}; there are {', '.join(self.names())}")

    def table(self, key: str) -> Table:
        """The table behind a ledger key: `scores/similarity_b32` is in `scores`."""
        return open_table(self.storage, self.spec(key.partition("/")[0]))

    def sql_table(self, spec: schema.TableSpec) -> DeltaFormat:
        """The table of `spec`, the ledger's included, as SQL reads it."""
        return DeltaFormat(self.storage, spec)

    def holds(self, key: str) -> bool:
        """Whether the rows of a ledger key are here: a pushed copy may be without pictures."""
        return True

    def scorers(self) -> list[Scorer]:
        """The scorers that the settings choose.

        Where they choose none: all that fit the models, then somebody's own, then those whose values the
        lake's sources have, or that were imported.
        """
        by_models = [*default_scorers(self.settings.models), *self.settings.own_scorers]
        further = further_scorers(self.settings.models)
        fitting = {scorer.name: scorer for scorer in (*by_models, *further, *PUBLISHED)}
        unknown = [name for name in self.settings.scorers if name not in fitting]
        if unknown:
            raise UsageError(
                f"no scorer {unknown[0]!r} fits this lake's models; there are {', '.join(fitting)}"
            )
        if self.settings.scorers:
            return [fitting[name] for name in self.settings.scorers]
        state = self.ledger.state()
        there = {column for source in state.sources() for column in source.scores}
        made = {event["key"] for event in state.done()}
        own = [s for s in PUBLISHED if s.column in there or f"scores/{s.name}" in made]
        return [*by_models, *own]

    def pins(self, building: bool = False) -> Pins:
        """The batches that a reader sees: those of head, unless the lake is opened at another moment."""
        return self.ledger.pins(building) if self.moment is None else dict(self.moment.pins)

    # The lake in Python. What they call knows lakes, so it is imported where it is needed.

    def duckdb(self) -> DuckDBPyConnection:
        """A DuckDB in memory with the lake's views; close it when done."""
        from lakehouse.views import connect

        return connect(self)

    def arrow(self, view: str) -> pa.Table:
        """The rows of a view in memory. Raises UsageError where there is no such view."""
        from lakehouse.sqlfiles import identifier
        from lakehouse.views import query

        return query(self, f"select * from {identifier(view)}")

    def view(self, name: str) -> Subset:
        """A view to look at, or to hand to whatever reads an Arrow stream."""
        from lakehouse.subset import Subset
        from lakehouse.views import definition

        definition(self, name)
        return Subset(self, name)

    def dask(self, view: str) -> dd.DataFrame:
        """The rows of a view as a Dask DataFrame with Arrow dtypes, read on the workers."""
        from lakehouse.subset import to_dask

        return to_dask(self, view)

    def torch(self, view: str, transform: Callable[[Image], Any] | None = None) -> Pictures:
        """The pictures and captions of a view as a torch dataset; `transform` is applied to each picture."""
        from lakehouse.subset import Pictures

        return Pictures(self, view, transform)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{key}</td><td>{low}–{high}</td></tr>"
            for key, (low, high) in sorted(self.pins().items())
        )
        return f"<p>{escape(repr(self))}</p><table><tr><th>table</th><th>batches</th></tr>{rows}</table>"

    def read(
        self,
        key: str,
        batches: Sequence[tuple[int, int]],
        columns: Sequence[str] | None = None,
        rows: int | None = None,
    ) -> dd.DataFrame:
        """Rows of `key` in ranges of `batches` as a Dask DataFrame, about `rows` rows a partition."""
        part = key.partition("/")[2] or None
        ranges = [Range(low, high, part) for low, high in batches]
        return self.table(key).read(ranges, columns, rows, self._elsewhere(key, batches))

    def _elsewhere(self, key: str, batches: Sequence[tuple[int, int]]) -> frozenset[str]:
        """Data files that, by the ledger, belong to none of `batches`: reading can skip them."""
        return frozenset(
            file["path"]
            for event in self.ledger.done(key)
            if not any(low <= event["batch"] <= high for low, high in batches)
            for file in event["files"]
        )


def open_lake(root: str | None = None, *, release: str | None = None, at: At = ()) -> Lake:
    """The lake at `root` (else LAKE_ROOT, else ./lake). Raises NoLakeError where there is none.

    With `release`, or with `at` (a time, `TABLE=VERSION`, or several of these), the lake as it was then: it
    reads what there was and takes no writes. A pushed copy opens as the lake at its release. Raises
    UsageError where there is no such release or moment.
    """
    storage = settings.storage_at(root)
    if not settings.is_lake(storage):
        from lakehouse.published import open_copy  # here, as below: it knows lakes

        return open_copy(storage, release, at)
    told = settings.load(storage)
    if release is None and not at:
        return Lake(told)
    from lakehouse.moments import resolve  # here, because moments know releases, and they know lakes

    return Lake(told, resolve(Lake(told), release, at))


def init(root: str | None, text: str | None = None, model: str = "b32") -> Lake:
    """Makes an empty lake with its lake.toml: `text`, else a commented template that names `model`."""
    storage = settings.storage_at(root)
    if storage.is_local:
        try:
            Path(storage.root).mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError, PermissionError) as error:
            raise UsageError(
                f"cannot make a folder at {storage.root}: {os.strerror(error.errno or 0)}"
            ) from error
    if storage.exists(settings.FILE):
        raise UsageError(f"there is a lake at {storage.root} already")
    Ledger(storage).create()  # first: what has a lake.toml has a ledger
    made = text or _TEMPLATE.format(schema=schema.SCHEMA_VERSION, model=model)
    storage.write(settings.FILE, made.encode())
    return open_lake(storage.root)


def batches_of(works: Sequence[str]) -> dict[str, list[int]]:
    """Works such as `candidates:7` as {key: batches}."""
    found: dict[str, list[int]] = {}
    for work in works:
        key, _, number = work.rpartition(":")
        found.setdefault(key, []).append(int(re.sub(r"\D.*", "", number)))
    return found


def ranges(batches: Sequence[int]) -> list[tuple[int, int]]:
    """Single batches as ranges, for `Lake.read`."""
    return [(batch, batch) for batch in sorted(set(batches))]
