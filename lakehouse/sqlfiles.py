"""sql/: one SELECT per file, and the file's name is the relation's name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Literal

import duckdb

from lakehouse.errors import UsageError
from lakehouse.storage import Storage


def folder() -> Path:
    """Where Pairlake's own files are: inside the wheel, or beside the packages in a checkout."""
    inside = Path(__file__).parent / "sql"
    return inside if inside.is_dir() else Path(__file__).parents[1] / "sql"


@cache
def house() -> Mapping[str, str]:
    """Pairlake's own relations: name -> SELECT."""
    return {path.stem: path.read_text("utf-8") for path in sorted(folder().rglob("*.sql"))}


def audits() -> list[str]:
    """The relations that must be empty."""
    return sorted(path.stem for path in (folder() / "audits").glob("*.sql"))


def reports() -> list[str]:
    """The relations that tell what a lake holds."""
    return sorted(path.stem for path in (folder() / "reports").glob("*.sql"))


def own(storage: Storage, taken: Iterable[str]) -> dict[str, str]:
    """The user's relations: *.sql in the folder `sql` of a local lake.

    Raises UsageError for a file that is not one SELECT, or whose name is among `taken`.
    """
    if not storage.is_local:
        return {}
    found: dict[str, str] = {}
    names = {name.lower() for name in taken}
    for path in sorted((Path(storage.root) / "sql").glob("*.sql")):
        if path.stem.lower() in names:
            raise UsageError(f"{path}: {path.stem} is one of Pairlake's own relations: choose another name")
        try:
            text = path.read_text("utf-8")
            references(text)
        except (UnicodeDecodeError, UsageError) as error:
            raise UsageError(f"{path}: {error}") from error
        found[path.stem] = text
    return found


def literal(text: str) -> str:
    """`text` as a string in SQL."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """`name` as the name of a relation or column in SQL."""
    return '"' + name.replace('"', '""') + '"'


@cache
def references(sql: str) -> frozenset[str]:
    """Names of the relations that a SELECT reads, in lower case, those of its own CTEs included.

    Raises UsageError where `sql` is not exactly one SELECT.
    """
    return frozenset(name.lower() for name in _found(_tree(sql), "table_name"))


@cache
def ctes(sql: str) -> frozenset[str]:
    """Names of the CTEs of a SELECT, in lower case. Raises UsageError where `sql` is not one SELECT."""
    return frozenset(name.lower() for name in _found(_tree(sql), "cte_name"))


def _tree(sql: str) -> Any:
    with _parser().cursor() as cursor:
        rows = cursor.execute("select json_serialize_sql(?::varchar)", [sql]).fetchall()
    tree = json.loads(rows[0][0])
    if tree["error"]:
        raise UsageError(f"SQL error: {tree['error_message']}")
    if len(tree["statements"]) != 1:
        raise UsageError(f"SQL error: expected one SELECT, found {len(tree['statements'])}")
    return tree


@cache
def constant(sql: str, *names: str) -> list[tuple[Any, ...]]:
    """These columns of a SELECT that reads no relation."""
    with _parser().cursor() as cursor:
        chosen = ", ".join(map(identifier, names))
        return cursor.execute(f"select {chosen} from ({sql}) as told").fetchall()


@cache
def _parser() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:")


def _found(node: Any, what: Literal["table_name", "cte_name"]) -> Iterator[str]:
    """The names of tables that are read, or of CTEs that are made, anywhere below `node`."""
    if isinstance(node, dict):
        if what == "table_name" and node.get("type") == "BASE_TABLE":
            yield node["table_name"]
        if what == "cte_name" and "cte_map" in node:
            yield from (entry["key"] for entry in node["cte_map"]["map"])
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _found(child, what)


def needed(views: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Those of `views` that `names` read, themselves included, each after those that it reads itself.

    Raises UsageError where views read one another in a circle.
    """
    place = {name.lower(): name for name in views}
    graph: dict[str, set[str]] = {}
    waiting = [place[name.lower()] for name in names if name.lower() in place]
    while waiting:
        name = waiting.pop()
        if name in graph:
            continue
        read = {place[other] for other in references(views[name]) if other in place}
        graph[name] = read - {name}
        waiting += graph[name]
    try:
        return {name: views[name] for name in TopologicalSorter(graph).static_order()}
    except CycleError as error:
        raise UsageError(f"views read one another in a circle: {' -> '.join(error.args[1])}") from error
