"""The lake as SQL: the files of sql/ as views over its tables, in DuckDB.

A reader sees the batches of its *pins*: those of head, or those of a release. Two paths lead to the
rows, and give the same: DuckDB's Delta extension where the lake is a folder and the extension is
installed as a package, pyarrow datasets everywhere else. Lance is never read from here.
"""

from __future__ import annotations

import difflib
import importlib.util
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakehouse import lineage, relations, sqlfiles
from lakehouse.errors import DamagedError, UsageError
from lakehouse.events import REMOVALS
from lakehouse.lake import Lake
from lakehouse.ledger import Pins
from lakehouse.moments import resolve
from lakehouse.schema import FIXED, LEDGER, TableSpec
from lakehouse.settings import Settings
from lakehouse.sqlfiles import identifier, literal
from lakehouse.tables.delta import DeltaFormat
from lakehouse.tables.published import PublishedTable
from transforms import columns

#: the tables that SQL reads
TABLES = {name: spec for name, spec in FIXED.items() if spec.format == "delta"}
_LEDGER = TableSpec("ledger", "delta", ("key", "batch", "event"), LEDGER)
#: relations that are made for a reader and not recorded in a release
_OF_READER = ("pins", "asked_thresholds")

Access = Literal["extension", "arrow"]


@dataclass(frozen=True)
class _Reader:
    """Whose eyes a connection has."""

    pins: Pins
    versions: Mapping[str, int]
    views: Mapping[str, str]
    thresholds: Mapping[str, float]


def names(lake: Lake) -> list[str]:
    """All relations that a query can read."""
    return sorted([*TABLES, _LEDGER.name, *_OF_READER, *definitions(lake)])


def definitions(lake: Lake) -> dict[str, str]:
    """SQL text of all views: what a release records. Settings that matter are views among them."""
    if lake.moment is not None and lake.moment.views is not None:
        return dict(lake.moment.views)
    chosen = [(scorer.role, scorer.name) for scorer in lake.scorers()]
    given = {
        "scorers": relations.scorers(chosen),
        "duplicate_methods": relations.duplicate_methods(lake.settings.duplicates.methods),
        "own_thresholds": relations.thresholds(_numbers(lake.settings.thresholds, "lake.toml: [thresholds]")),
        **sqlfiles.house(),
    }
    taken = [*TABLES, _LEDGER.name, *_OF_READER, *given]
    return {**given, **sqlfiles.own(lake.storage, taken)}


def definition(lake: Lake, view: str) -> dict[str, str]:
    """SQL text of `view` and of all views that it reads. Raises UsageError where there is no such view."""
    views = definitions(lake)
    if view not in views:
        raise UsageError(f"no view {view!r}{_like(view, views)} `lake views` lists all")
    return dict(sorted(sqlfiles.needed(views, [view]).items()))


def _like(name: str, known: Iterable[str]) -> str:
    """Names that `name` may be a slip of, as the end of a sentence."""
    near = difflib.get_close_matches(name, sorted(known))
    return f"; did you mean {' or '.join(near)}?" if near else ":"


def connect(
    lake: Lake,
    pins: Pins | None = None,
    versions: Mapping[str, int] | None = None,
    release: str | None = None,
    thresholds: Mapping[str, float] | None = None,
    access: Access | None = None,
    only: Iterable[str] | None = None,
) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory with every relation of the lake as a view; or `only` these and what they read.

    It reads head, or `pins`, or what the release of that name pinned, with the SQL recorded there. A table
    in `versions` is read at that native version instead, with all rows it had, whatever the pins.
    `thresholds` overrides rules for the active scorers. `access` is chosen by itself.
    Raises UsageError for a release, table, version or rule that does not exist.
    """
    reader = _reader(lake, pins, versions or {}, release, thresholds or {})
    return _connected(lake, reader, access, None if only is None else frozenset(only))


def query(
    lake: Lake,
    sql: str,
    pins: Pins | None = None,
    versions: Mapping[str, int] | None = None,
    release: str | None = None,
    thresholds: Mapping[str, float] | None = None,
) -> pa.Table:
    """The rows that `sql` gives; the other arguments are `connect`'s.

    Raises UsageError, of one line, for what DuckDB refuses.
    """
    reader = _reader(lake, pins, versions or {}, release, thresholds or {})
    with _connected(lake, reader, None, _wanted(reader, sql)) as connection, sql_errors():
        rows = connection.sql(sql)
        return pa.table({}) if rows is None else rows.to_arrow_table()


def beside(lakes: Mapping[str, Lake], wanted: frozenset[str]) -> duckdb.DuckDBPyConnection:
    """A DuckDB with a schema for each of `lakes`, in it the relations `wanted` as that lake has them."""
    access: Access = "extension" if all(_access(lake) == "extension" for lake in lakes.values()) else "arrow"
    connection = _opened(access)
    for side, lake in lakes.items():
        connection.execute(f"create schema {identifier(side)}; set search_path = {literal(side)}")
        reader = _reader(lake, None, {}, None, {})
        _create(connection, _relations(lake, reader, access, connection, wanted, f"{side}_"))
    connection.execute("set search_path = 'main'")
    return connection


def script(lake: Lake, release: str | None = None) -> str:
    """The same views as a script for the DuckDB shell: what a reader of `lake`, or of a release, sees."""
    reader = _reader(lake, None, {}, release, {})
    what = f"release {release} of the lake" if release else lake.moment.what if lake.moment else "the lake"
    lines = [f"-- {what} at {lake.storage.root}, batches {_pin_text(reader.pins)}"]
    web = lake.storage.root.startswith(("http://", "https://"))
    if not (lake.storage.is_local or web):
        lines.append("-- first let DuckDB reach the store: create secret (type s3, key_id …, secret …)")
    extensions = ["delta"] if lake.published is None else [] if lake.storage.is_local else ["httpfs"]
    lines += [f"{verb} {name};" for name in extensions for verb in ("install", "load")]
    lines.append("set timezone = 'UTC';")
    for name, text in _relations(lake, reader, "extension", None, None).items():
        lines.append(f"\ncreate or replace view {identifier(name)} as\n{text.strip().rstrip(';')}\n;")
    return "\n".join(lines) + "\n"


def check(lake: Lake) -> None:
    """Raises UsageError for a view of the lake that cannot be read, DamagedError for a table that is missing.

    Views are made over tables without rows, as DuckDB would open the real ones for each view that reads them.
    """
    reader = _reader(lake, None, {}, None, {})
    made = _bases(lake, reader, "extension", None, None, "")
    made |= {spec.name: relations.empty(spec.schema) for spec in (*TABLES.values(), _LEDGER)}
    with _opened("arrow") as connection:
        _create(connection, made | sqlfiles.needed(reader.views, reader.views))
        _check_rules(connection, reader)


def audits(lake: Lake, release: str | None = None) -> dict[str, pa.Table]:
    """What each audit finds, by its name; all are empty where the lake is sound."""
    with connect(lake, release=release) as connection, sql_errors():
        return {
            name: connection.sql(f"select * from {identifier(name)}").to_arrow_table()
            for name in sqlfiles.audits()
        }


def sample_ids(settings: Settings, view: str) -> npt.NDArray[np.int64]:
    """The different sample_ids of `view`, as a run sees it: with the generation that is being built."""
    lake = Lake(settings)
    definition(lake, view)
    rows = query(
        lake,
        f"select distinct sample_id::bigint as sample_id from {identifier(view)} where sample_id is not null",
        pins=lake.pins(building=True),
    )
    ids: npt.NDArray[np.int64] = rows["sample_id"].to_numpy()
    return ids


def url_ids(lake: Lake, view: str) -> npt.NDArray[np.int64]:
    """The different url_ids of `view` at head. Raises UsageError where it has none."""
    definition(lake, view)
    name = identifier(view)
    rows = query(lake, f"select distinct url_id::bigint as url_id from {name} where url_id is not null")
    ids: npt.NDArray[np.int64] = rows["url_id"].to_numpy()
    return ids


# ---------------------------------------------------------------------- what a reader sees


def _reader(
    lake: Lake,
    pins: Pins | None,
    versions: Mapping[str, int],
    release: str | None,
    thresholds: Mapping[str, float],
) -> _Reader:
    moment = lake.moment
    if release is not None:
        if versions or pins is not None or moment is not None:
            raise UsageError("a release reads what it pinned: leave out --at")
        moment = resolve(lake, release)
    versions = {**(moment.versions if moment else {}), **versions}
    for name, version in versions.items():
        _check_version(lake, name, version)
    pins = (moment.pins if moment else lake.pins()) if pins is None else pins
    texts = moment.views if moment and moment.views is not None else definitions(lake)
    views = texts if versions else _quick(lake, pins, texts)
    return _Reader(pins, versions, views, _numbers(thresholds, "--set"))


def pairs_rules(views: Mapping[str, str]) -> dict[str, Any]:
    """What decides about the rows of `pairs` besides the tables: its SQL and all that this reads."""
    texts = sqlfiles.needed(views, ["pairs"])
    return {"scorers": active_scorers(views), "sql": lineage.fingerprint(dict(texts))}


def active_scorers(views: Mapping[str, str]) -> list[str]:
    """The scorers whose values `pairs` has, in alphabetical order."""
    return sorted(
        {name for name, active in sqlfiles.constant(views["scorers"], "scorer", "active") if active}
    )


def _quick(lake: Lake, pins: Pins, views: Mapping[str, str]) -> Mapping[str, str]:
    """`views` with `pairs` read from where it is stored, if that gives the rows of its own text."""
    if lineage.TABLE not in pins or not lineage.is_current(
        lake.ledger.state(), pins, active_scorers(views), pairs_rules(views)
    ):
        return views
    names = [name for name in columns.STORED_PAIRS.names if name != "candidates_batch"]
    return {**views, "pairs": f"select {', '.join(names)}, candidates_batch as batch from {lineage.TABLE}"}


def _check_version(lake: Lake, name: str, version: int) -> None:
    if name not in TABLES:
        raise UsageError(f"no table {name!r} that SQL can read at a version; there are {', '.join(TABLES)}")
    if version < 0 or lake.table(name).dataset(version) is None:
        raise UsageError(f"table {name} has no version {version}: `lake history {name}` lists them")
    purged = max(
        (e["version"] for e in lake.ledger.events() if e["event"] == "purge" and e["key"] == name), default=0
    )
    if version < purged:
        raise UsageError(
            f"version {version} of {name} went for good with a removal or a cleanup: the oldest that can be "
            f"read is {purged}; releases and times still read, less what was removed"
        )


def _numbers(given: Mapping[str, Any], where: str) -> dict[str, float]:
    for rule, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise UsageError(f"{where} {rule} = {value!r}: expected a number")
    return dict(given)


def _wanted(reader: _Reader, sql: str) -> frozenset[str] | None:
    """The relations that `sql` reads; None, for all, where it may ask for what its text does not name.

    Making a view costs DuckDB some milliseconds, as it looks at all that the view reads: making those alone
    that a query needs takes a third of the time of making all.
    """
    try:
        found, own = sqlfiles.references(sql), sqlfiles.ctes(sql)
    except UsageError:  # several statements, or none that is a SELECT
        return None
    known = {name.lower() for name in (*TABLES, _LEDGER.name, *_OF_READER, *reader.views)}
    return found if found <= known | own else None


def _check_rules(connection: duckdb.DuckDBPyConnection, reader: _Reader) -> None:
    """Every override names a rule for which the lake has a scorer."""
    rows = connection.sql("select distinct rule from active_thresholds order by rule").to_arrow_table()
    known = rows["rule"].to_pylist()
    own = connection.sql("select rule from own_thresholds").to_arrow_table()["rule"].to_pylist()
    for rule in [*own, *reader.thresholds]:
        if rule not in known:
            raise UsageError(f"no threshold {rule!r}; there are {', '.join(known)}")


def _relations(
    lake: Lake,
    reader: _Reader,
    access: Access,
    connection: duckdb.DuckDBPyConnection | None,
    wanted: frozenset[str] | None,
    side: str = "",
) -> dict[str, str]:
    """SQL of `wanted` and of all that they read (of all relations where it is None), in order of making."""
    chosen = sqlfiles.needed(reader.views, reader.views if wanted is None else wanted)
    read = None
    if wanted is not None:
        read = wanted.union(*map(sqlfiles.references, chosen.values()))
    return {**_bases(lake, reader, access, connection, read, side), **chosen}


def _bases(
    lake: Lake,
    reader: _Reader,
    access: Access,
    connection: duckdb.DuckDBPyConnection | None,
    read: frozenset[str] | None,
    side: str,
) -> dict[str, str]:
    """SQL of the relations that the views stand on; datasets for Arrow are registered in `connection`.

    Tables that are not among `read` are left out.
    """
    made = {
        "pins": relations.pinned(reader.pins),
        "asked_thresholds": relations.thresholds(reader.thresholds),
    }
    for spec in (*TABLES.values(), _LEDGER):
        if read is not None and spec.name not in read:
            continue
        table = lake.sql_table(spec)
        version = reader.versions.get(spec.name)
        ranges = relations.ranges_of(spec.name, reader.pins)
        if table.version() is None:
            if ranges and lake.published is None:  # a copy has no file for a table without rows
                raise DamagedError(
                    f"{table.uri} is missing, but the ledger has batches of it: bring it back from a copy, "
                    f"or make it anew with `lake rebuild {spec.name}`"
                )
            made[spec.name] = relations.empty(spec.schema)
            continue
        if access == "extension":
            source = _scan(table, version)
        else:
            assert connection is not None
            source = identifier(f"_{side}{spec.name}")
            connection.register(f"_{side}{spec.name}", table.dataset(version))
        everything = version is not None or spec is _LEDGER or spec.name == REMOVALS
        made[spec.name] = relations.table(spec, source, None if everything else ranges)
    return made


def _scan(table: DeltaFormat, version: int | None) -> str:
    if isinstance(table, PublishedTable):
        return f"read_parquet([{', '.join(map(literal, table.uris()))}])"
    at = "" if version is None else f", version => {version}"
    return f"delta_scan({literal(table.uri)}{at})"


def _pin_text(pins: Pins) -> str:
    return ", ".join(f"{key} {low}–{high}" for key, (low, high) in sorted(pins.items())) or "none"


# ---------------------------------------------------------------------- DuckDB


def _extension() -> Path | None:
    """The packaged Delta extension for this very DuckDB, where there is one; it loads without a network."""
    found = importlib.util.find_spec("duckdb_extension_delta")
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(found.submodule_search_locations[0]) / "extensions" / f"v{duckdb.__version__}"
    path = folder / "delta.duckdb_extension"
    return path if path.is_file() else None


def _connected(
    lake: Lake, reader: _Reader, access: Access | None, wanted: frozenset[str] | None = None
) -> duckdb.DuckDBPyConnection:
    """A connection with the relations `wanted`, or all."""
    if wanted is not None and (reader.thresholds or lake.settings.thresholds):
        wanted |= {"active_thresholds", "own_thresholds"}
    access = access or _access(lake)
    connection = _opened(access)
    _create(connection, _relations(lake, reader, access, connection, wanted))
    if wanted is None or "own_thresholds" in wanted:
        _check_rules(connection, reader)
    return connection


def _access(lake: Lake) -> Access:
    return "extension" if lake.storage.is_local and _extension() is not None else "arrow"


def _create(connection: duckdb.DuckDBPyConnection, made: Mapping[str, str]) -> None:
    for name, text in made.items():
        with sql_errors(f"view {name}: "):
            connection.execute(f"create view {identifier(name)} as {text}")


def _opened(access: Access) -> duckdb.DuckDBPyConnection:
    """An empty DuckDB in memory; with the Delta extension where that is the way to the rows.

    DuckDB would hash the extension's 80 MB at each start to check their signature, which takes longer than
    most queries. The file comes from the same registry, in the same environment, as DuckDB itself, so it is
    loaded unchecked; from then on nothing else can be.
    """
    unchecked = access == "extension"
    connection = duckdb.connect(":memory:", config={"allow_unsigned_extensions": unchecked})
    with sql_errors():
        connection.execute("set timezone = 'UTC'")
        with suppress(duckdb.InvalidInputException):  # a notebook without ipywidgets, which has no bar
            connection.execute("set enable_progress_bar = false")  # it would go to stdout, among the data
        if unchecked:
            connection.execute(f"load {literal(str(_extension()))}")
            connection.execute("set allow_unsigned_extensions = false")
    return connection


@contextmanager
def sql_errors(where: str = "") -> Iterator[None]:
    """Turns what DuckDB says over several lines into a UsageError of one."""
    try:
        yield
    except duckdb.Error as error:
        raise UsageError(where + explain(str(error))) from error


def explain(message: str) -> str:
    """DuckDB's message in one line; what it quotes of the query comes last."""
    text, _, quoted = message.partition("LINE ")
    text = re.sub(r"^[A-Z][A-Za-z ]* Error: ", "", " ".join(text.split()))
    number, _, line = quoted.partition(":")
    near = f" near line {number}: {line.splitlines()[0].strip()}" if line.strip() else ""
    return f"SQL error: {text}{near}"
