"""A condition from outside: what is one, and what is refused before any database sees it."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.errors import UsageError
from lakehouse.server.predicates import checked

COLUMNS = ("width", "height", "language", "text", "similarity", "punsafe", "phash", "sample_id")
LONGEST = 2_000

ALLOWED = (
    "width >= 512 and height >= 512",
    "language in ('en', 'de') and not (similarity < 0.3 or punsafe is null)",
    "text ilike '%bicycle%'",
    "TEXT like 'a\\_%' escape '\\'",
    "width / height between 0.5 and 2",
    "case when language = 'en' then similarity > 0.28 else similarity > 0.26 end",
    "regexp_matches(lower(text), '^a .*')",
    "bit_count(xor(phash, 5)) <= 4",
    "hash(sample_id) % 100 = 0",
    "len(string_split(text, ' ')) > 2",
    "coalesce(similarity, 0)::double > 0.1",
    "pairs.width > 3 -- wide",
    "text = 'it''s; drop table pairs'",
)

REFUSED = {
    "sample_id in (select 1)": "subquery",
    "exists (select * from read_csv('/etc/passwd'))": "subquery",
    "text = (select content from read_text('/etc/passwd'))": "subquery",
    "text in (from glob('/*'))": "subquery",
    "getenv('HOME') = 'x'": "function getenv",
    "read_text('/etc/passwd') = 'x'": "function read_text",
    "current_setting('memory_limit') = 'x'": "function current_setting",
    "text = getvariable('x')": "function getvariable",
    "main.getenv('HOME') = 'x'": "function",
    "sleep_ms(100000) is null": "function sleep_ms",
    "length(repeat(text, 1000000000)) > 1": "function repeat",
    "length(replace(text, 'a', 'aaaaaaaaaa')) > 1": "function replace",
    "len(range(1000000000)) > 1": "function range",
    "nextval('x') = 1": "function nextval",
    "random() < 0.5": "function random",
    "count(*) > 1": "function count_star",
    "row_number() over () < 3": "window",
    "columns('.*') is null": "\\*",
    "$1": "parameter",
    "password = 'x'": "no column password",
    "duckdb_secrets.name = 'x'": "no column duckdb_secrets.name",
    "1) or (1=1": "not a condition",
    "true limit 1": "not a condition|condition alone",
    "true) limit 1 --": "not a condition",
    "true order by 1": "not a condition|condition alone",
    "true union all select 1": "not a condition|condition alone",
    "true; drop table pairs": "not a condition",
    "true); drop table pairs; select (1": "not a condition",
    "true; attach '/tmp/x.db'": "not a condition",
    "true /* ": "not a condition",
    "": "empty",
    "   ": "empty",
    "true\0": "character",
    "x" * (LONGEST + 1): "characters",
    "(" * 900 + "true" + ")" * 900: "",
    "not " * 490 + "true": "",
}


@pytest.mark.parametrize("where", ALLOWED)
def test_a_condition_over_columns_is_allowed(where: str) -> None:
    assert checked(where, COLUMNS, LONGEST) == where


@pytest.mark.parametrize(("where", "why"), REFUSED.items(), ids=[text[:40] for text in REFUSED])
def test_all_else_is_refused_with_a_reason(where: str, why: str) -> None:
    if not why:  # deep nesting: refused or not, but never a crash
        with pytest.raises(UsageError) if where.startswith("x") else _either():
            checked(where, COLUMNS, LONGEST)
        return
    with pytest.raises(UsageError, match=why):
        checked(where, COLUMNS, LONGEST)


class _either:  # noqa: N801  a context, as pytest.raises is
    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is None or issubclass(kind, UsageError)


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from([*ALLOWED, *list(REFUSED)[:30], ")", "(", " or "])).map("".join)
)
def test_what_passes_is_one_condition_for_duckdb(where: str) -> None:
    """Whatever passes can stand between brackets, and cannot undo a condition beside it."""
    try:
        checked(where, COLUMNS, LONGEST)
    except UsageError:
        return
    columns = ", ".join(f"null as {name}" for name in COLUMNS)
    with duckdb.connect(":memory:") as database:
        try:
            rows = database.execute(f"select 1 from (select {columns}) as pairs where false and ({where}\n)")
        except (duckdb.BinderException, duckdb.ConversionException, duckdb.InvalidInputException):
            return
        assert rows.fetchall() == []
