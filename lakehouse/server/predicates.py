"""A condition in SQL that came from outside: read by DuckDB's own parser, and allowed node by node.

What is allowed is listed; all else is refused, so that a function that a later DuckDB brings is refused
too. Not on the list, among others: subqueries, table functions, aggregates, windows, whatever knows of
files, settings, the environment or the clock, and whatever makes long texts or lists out of short ones.
This is the first wall; the second is the session that the condition runs in (`sessions`).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection
from typing import Any

import duckdb

from lakehouse.errors import UsageError
from lakehouse.views import explain

_NODES = frozenset(
    {"BETWEEN", "CASE", "CAST", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "FUNCTION", "OPERATOR"}
)
_OPERATORS = frozenset(
    {
        "COMPARE_IN",
        "COMPARE_NOT_IN",
        "OPERATOR_CAST",
        "OPERATOR_COALESCE",
        "OPERATOR_IS_NOT_NULL",
        "OPERATOR_IS_NULL",
        "OPERATOR_NOT",
        "OPERATOR_NULLIF",
        "OPERATOR_TRY",
    }
)
_NAMES = """
    + - * / // % & | ^ xor << >> || ~~ !~~ ~~* !~~* ~~~ ^@
    like_escape not_like_escape ilike_escape not_ilike_escape
    abs ceil ceiling floor round trunc sign sqrt ln log10 log2 exp pow power greatest least mod
    isfinite isinf isnan bit_count hash ifnull nullif coalesce
    length len strlen lower upper lcase ucase trim ltrim rtrim left right substr substring reverse
    contains prefix suffix starts_with ends_with strpos instr position strip_accents nfc_normalize
    regexp_matches regexp_full_match regexp_extract string_split split
"""
FUNCTIONS = frozenset(_NAMES.split())
"""Scalar functions that end, soon, with something no larger than what they were given."""

_parsing = threading.Lock()
_parser = duckdb.connect(":memory:")


def checked(where: str, columns: Collection[str], longest: int) -> str:
    """`where`, if it is one condition over `columns` made of what is allowed.

    It then stands for itself between brackets, before a line break: `(WHERE\\n)`. Raises UsageError, with
    what is wrong, for anything else.
    """
    if len(where) > longest:
        raise UsageError(f"the condition has {len(where):,} characters: {longest:,} are allowed")
    if not where.strip():
        raise UsageError("the condition is empty")
    if "\0" in where:
        raise UsageError("the condition has a character that SQL has not")
    # Both ways: with brackets alone `1) or (1=1` would pass, without them `true limit 1`.
    _condition(f"select 1 from pairs where {where}\n")
    _check(_condition(f"select 1 from pairs where ({where}\n)"), {name.lower() for name in columns})
    return where


def _condition(sql: str) -> Any:
    try:
        with _parsing:
            told = _parser.execute("select json_serialize_sql(?::varchar)", [sql]).fetchall()[0][0]
        tree = json.loads(told)
    except RecursionError as error:
        raise UsageError("the condition is nested too deep") from error
    except duckdb.Error as error:
        raise UsageError(explain(str(error))) from error
    if tree["error"]:
        raise UsageError(f"not a condition in SQL: {' '.join(tree['error_message'].split())}")
    if len(tree["statements"]) != 1:
        raise UsageError("expected one condition, found several statements")
    node = tree["statements"][0]["node"]
    extra = ("modifiers", "group_expressions", "having", "qualify", "sample")
    if node["type"] != "SELECT_NODE" or any(node.get(name) for name in extra):
        raise UsageError("expected a condition alone, without order, limit, group or union")
    return node["where_clause"]


def _check(tree: Any, columns: Collection[str]) -> None:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if "class" in node:
                _check_node(node, columns)
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _check_node(node: dict[str, Any], columns: Collection[str]) -> None:
    kind, what = node["class"], node["type"]
    if kind not in _NODES or (kind == "OPERATOR" and what not in _OPERATORS):
        said = {"SUBQUERY": "a subquery", "STAR": "*", "WINDOW": "a window function"}
        raise UsageError(f"{said.get(kind, what.lower())} is not allowed in a condition")
    if kind == "FUNCTION" and node["function_name"].lower() not in FUNCTIONS:
        raise UsageError(
            f"function {node['function_name']} is not allowed in a condition; there are, beside operators, "
            + ", ".join(sorted(name for name in FUNCTIONS if name[0].isalpha()))
        )
    if kind == "COLUMN_REF":
        *table, name = node["column_names"]
        if table not in ([], ["pairs"]) or name.lower() not in columns:
            raise UsageError(
                f"no column {'.'.join(node['column_names'])}; there are {', '.join(sorted(columns))}"
            )
