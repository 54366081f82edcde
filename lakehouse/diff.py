"""What changed between two versions of a dataset: rows added, removed and changed, each with a reason.

Rows of a view are compared by `sample_id`, in DuckDB, and written by it: none passes through Python.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import duckdb
import pyarrow as pa

from lakehouse import sqlfiles, tombstones, views
from lakehouse.errors import UsageError
from lakehouse.lake import Lake
from lakehouse.sqlfiles import identifier, literal
from transforms import columns

KEY = "sample_id"
READ = frozenset({"pairs", "batches", "active_thresholds", "scorers"})
#: what differs on every rebuild
NEVER_COMPARED = frozenset({"batch"})
#: relations that say which thresholds are in force; their values are compared, not their text
SETTINGS = frozenset({"thresholds", "own_thresholds", "asked_thresholds", "active_thresholds"})


class Reason(StrEnum):
    """Why a row differs; where several apply, the first. What was withdrawn is told by its keys alone."""

    WITHDRAWN = "withdrawn"  # taken out by a removal, from every version
    NEW_CRAWL = "new_crawl"  # its crawl file is in one of the two alone
    REBUILT = "rebuilt"  # a stage was made anew, with another outcome
    CHANGED_DOWNLOAD = "changed_download"  # its URL was tried again
    CHANGED_SCORE = "changed_score"  # a scorer has another value, or is another
    CHANGED_THRESHOLD = "changed_threshold"  # the view's SQL or a threshold that it names differs
    OTHER = "other"  # another table that the view reads


@dataclass(frozen=True)
class Count:
    """How many rows met the same fate."""

    change: str  # added, removed, changed
    reason: str
    rows: int


@dataclass(frozen=True)
class Diff:
    """The difference of two versions of a view."""

    view: str
    before: int  # rows
    after: int
    counts: tuple[Count, ...]


def diff(
    before: Lake, after: Lake, view: str = "pairs", to: Path | None = None, publishable: bool = False
) -> Diff:
    """Compares the rows of `view` in two lakes, or in one lake at two moments.

    `to` takes the rows as parquet: change, reason, changed (the columns that differ), and the columns of
    the view, as they are in `after`, or in `before` for rows that it has no more. If `publishable`, it takes
    the keys alone, sample_id and url_id, of all rows that are no more, in the order of the keys: withdrawn
    rows stand among those that a threshold dropped, as in Re-LAION-5B's difference to LAION-5B, and nothing
    tells which they are.

    Raises UsageError where a lake has no such view, or the view has no column sample_id or has one twice,
    and for a publishable file in which withdrawn rows would stand alone.
    """
    for lake in (before, after):
        views.definition(lake, view)
    with views.beside({"a": before, "b": after}, READ | {view}) as connection, views.sql_errors():
        shared = _shared(connection, view)
        connection.execute(f"create table differing as {_differing(view, shared)}")
        connection.execute(f"create table judged as {_judged(connection, before, after, view)}")
        connection.register("gone", _withdrawn(before, after))
        connection.execute(
            f"insert into judged by name select {KEY}, url_id, 'removed' as change, reason from gone"
        )
        counts = _counts(connection)
        if to is not None and publishable:
            _refuse_bare(counts)
            _copy(connection, _keys(), to)
        elif to is not None:
            _copy(connection, _rows(view, shared), to)
        sizes = [
            connection.sql(f"select count(*) from {side}.{identifier(view)}").fetchone() for side in "ab"
        ]
    first, second = (size[0] for size in sizes if size is not None)
    return Diff(view, first, second, counts)


def _shared(connection: duckdb.DuckDBPyConnection, view: str) -> list[str]:
    """The columns that the view has on both sides."""
    found: list[list[str]] = []
    for side in "ab":
        relation = connection.sql(f"select * from {side}.{identifier(view)} limit 0")
        if KEY not in relation.columns:
            raise UsageError(f"view {view} has no column {KEY}, by which rows are compared")
        twice = connection.sql(
            f"select {KEY} from {side}.{identifier(view)} group by 1 having count(*) > 1 limit 1"
        ).fetchone()
        if twice is not None:
            raise UsageError(f"view {view} has {KEY} {twice[0]} more than once: rows cannot be told apart")
        found.append(relation.columns)
    return [name for name in found[0] if name in found[1]]


def _differing(view: str, shared: Sequence[str]) -> str:
    """Keys of the rows that are on one side alone or not the same, with the columns that differ."""
    compared = [name for name in shared if name not in NEVER_COMPARED | {KEY}]
    names = [f"case when {_distinct(name)} then {literal(name)} end" for name in compared]
    changed = f"list_filter([{', '.join(names)}]::varchar[], lambda name: name is not null)"
    return f"""
        select
            coalesce(before.{KEY}, after.{KEY}) as {KEY},
            case
                when before.{KEY} is null then 'added'
                when after.{KEY} is null then 'removed'
                else 'changed'
            end as change,
            case when before.{KEY} is not null and after.{KEY} is not null then {changed} end as changed
        from a.{identifier(view)} as before
        full join b.{identifier(view)} as after on before.{KEY} = after.{KEY}
        where
            before.{KEY} is null
            or after.{KEY} is null
            or {_any(compared)}
    """


def _judged(connection: duckdb.DuckDBPyConnection, before: Lake, after: Lake, view: str) -> str:
    """`differing` with a reason for each row."""
    names = connection.sql("select * from b.pairs limit 0").columns
    common = set(connection.sql("select * from a.pairs limit 0").columns) & set(names) - NEVER_COMPARED
    candidate = [n for n in columns.CANDIDATES.names if n in common and n != KEY]
    download = [n for n in columns.DOWNLOADS.names if n in common and n not in columns.CANDIDATES.names]
    scores = [n for n in names if n in common and n not in {KEY, *candidate, *download}]
    rebuilt = _rebuilt(connection)
    again = [n for n in scores if f"scores/{_scorer(connection, n)}" in rebuilt]
    crawled = "known.unit is null" if "candidates" in rebuilt else "true"
    made_anew = [*candidate, *(download if "downloads" in rebuilt else []), *again]
    last = Reason.CHANGED_THRESHOLD if _view_changed(connection, before, after, view) else Reason.OTHER
    return f"""
        with units as (
            select 'a' as side, unnest(units) as unit from a.batches where key = 'candidates'
            union all
            select 'b' as side, unnest(units) as unit from b.batches where key = 'candidates'
        ),

        known as (
            select unit from units where side = 'a'
            intersect
            select unit from units where side = 'b'
        )

        select
            differing.*,
            coalesce(before.url_id, after.url_id) as url_id,
            case
                when before.{KEY} is null or after.{KEY} is null then
                    case when {crawled} then '{Reason.NEW_CRAWL}' else '{Reason.REBUILT}' end
                when {_any(made_anew)} then '{Reason.REBUILT}'
                when {_any(download)} then '{Reason.CHANGED_DOWNLOAD}'
                when {_any(scores)} then '{Reason.CHANGED_SCORE}'
                else '{last}'
            end as reason
        from differing
        left join a.pairs as before on differing.{KEY} = before.{KEY}
        left join b.pairs as after on differing.{KEY} = after.{KEY}
        left join known on coalesce(before.unit, after.unit) = known.unit
    """


def _withdrawn(before: Lake, after: Lake) -> pa.Table:
    """The pairs that removals took out between the two versions, by their keys: nothing else is left.

    They have left both, and whether they were in a view is not known any more: every pair that `before` had.
    """
    rows = tombstones.pairs(before, before.pins())
    first, last = (lake.moment.time if lake.moment else datetime.now(UTC) for lake in (before, after))
    mask = pa.array(
        [first is not None and first < at and (last is None or at <= last) for at in rows["at"].to_pylist()],
        pa.bool_(),
    )
    keys = rows.filter(mask).group_by([KEY, "url_id"]).aggregate([])
    return keys.append_column("reason", pa.array([Reason.WITHDRAWN.value] * len(keys), pa.string()))


def _rebuilt(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """The ledger keys of which the two sides read different generations."""
    rows = connection.sql(
        """
        select key
        from (select distinct key, generation from a.batches) as before
        inner join (select distinct key, generation from b.batches) as after using (key)
        where before.generation <> after.generation
        """
    ).fetchall()
    return {key for (key,) in rows}


def _scorer(connection: duckdb.DuckDBPyConnection, role: str) -> str | None:
    """The scorer of that role, where it is the same on both sides."""
    row = connection.execute(
        "select scorer from a.scorers where role = $1 and active "
        "intersect select scorer from b.scorers where role = $1 and active",
        [role],
    ).fetchone()
    return row[0] if row else None


def _view_changed(connection: duckdb.DuckDBPyConnection, before: Lake, after: Lake, view: str) -> bool:
    """Whether the view's SQL, or a threshold that it names, is another."""
    texts = [_texts(lake, view) for lake in (before, after)]
    rules = connection.sql(
        """
        select coalesce(before.rule, after.rule)
        from a.active_thresholds as before
        full join b.active_thresholds as after on before.rule = after.rule
        where before.value is distinct from after.value
        """
    ).fetchall()
    return texts[0] != texts[1] or any(
        literal(rule) in text for (rule,) in rules for text in texts[1].values()
    )


def _texts(lake: Lake, view: str) -> Mapping[str, str]:
    found = sqlfiles.needed(views.definitions(lake), [view])
    return {name: text for name, text in found.items() if name not in SETTINGS}


def _counts(connection: duckdb.DuckDBPyConnection) -> tuple[Count, ...]:
    sql = "select change, reason, count(*) from judged group by all order by all"
    return tuple(Count(*row) for row in connection.sql(sql).fetchall())


def _refuse_bare(counts: Sequence[Count]) -> None:
    gone = [count for count in counts if count.change == "removed"]
    if gone and all(count.reason == Reason.WITHDRAWN for count in gone):
        raise UsageError(
            "every row that is no more was withdrawn: a published list of them would say which they are. "
            "Compare with a version that dropped other rows too, such as by a threshold"
        )


def _rows(view: str, shared: Sequence[str]) -> str:
    names = ", ".join(f"version.{identifier(name)}" for name in shared if name != KEY)
    sides = [
        f"""
        select judged.change, judged.reason, judged.changed, judged.{KEY}, {names}
        from judged inner join {side}.{identifier(view)} as version on judged.{KEY} = version.{KEY}
        where (judged.change = 'removed') = {side == "a"}
        """
        for side in "ab"
    ]
    sides.append(f"select change, reason, {KEY} from judged where reason = '{Reason.WITHDRAWN}'")
    return f"from ({' union all by name '.join(sides)}) order by {KEY}"


def _keys() -> str:
    return f"select {KEY}, url_id from judged where change = 'removed' order by {KEY}"


def _copy(connection: duckdb.DuckDBPyConnection, sql: str, to: Path) -> None:
    if not to.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {to.absolute().parent} for {to.name}: make it first")
    connection.execute(f"copy ({sql}) to {literal(str(to))} (format parquet, compression zstd)")


def _distinct(name: str) -> str:
    return f"before.{identifier(name)} is distinct from after.{identifier(name)}"


def _any(names: Sequence[str]) -> str:
    return " or ".join(map(_distinct, names)) or "false"
