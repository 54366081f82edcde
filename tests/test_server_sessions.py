"""The session that questions from outside run in: it reaches the lake's relations, and nothing else."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from lakehouse import lake as lakes
from lakehouse.errors import UsageError
from lakehouse.lake import Lake
from lakehouse.server.limits import Limits
from lakehouse.server.sessions import BusyError, Session, Sessions, TooLongError

ATTACKS = (
    "select * from read_csv('/etc/passwd')",
    "select * from '/etc/passwd'",
    "select * from read_parquet('{root}/**/*.parquet')",
    "select * from read_text('/etc/passwd')",
    "select * from read_blob('/etc/passwd')",
    "select * from read_json('/etc/passwd')",
    "select * from glob('/*')",
    "select * from glob('{root}/*')",
    "select * from delta_scan('{root}/candidates')",
    "select * from read_csv('https://example.com/x.csv')",
    "select * from sqlite_scan('/tmp/x', 'y')",
    "attach '/tmp/attached.db'",
    "attach ':memory:' as other",
    "attach 'https://example.com/x.db'",
    "install httpfs",
    "load httpfs",
    "load '/tmp/evil.duckdb_extension'",
    "copy (select 1) to '{root}/out.csv'",
    "copy pairs from '/etc/passwd'",
    "export database '{root}/out'",
    "create table mine as select 1",
    "create secret (type s3, key_id 'x', secret 'y')",
    "set enable_external_access = true",
    "set memory_limit = '100GB'",
    "reset enable_external_access",
    "pragma database_list",
    "call pragma_version()",
    "select getenv('HOME')",
    "select 1; select 2",
    "use system",
    "from lake",  # a variable of the Python that calls
)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """One young lake for all: nothing here writes to it."""
    return lakes.init(str(tmp_path_factory.mktemp("young") / "lake"))


@pytest.fixture(scope="module")
def session(lake: Lake) -> Session:
    return Session(lake, Limits(query_seconds=0.5, session_memory="200MB"))


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_outside_the_lake_can_be_reached(session: Session, lake: Lake, attack: str) -> None:
    with pytest.raises(UsageError) as refused:
        session.rows(attack.format(root=lake.storage.root))
    assert "root:" not in str(refused.value)
    assert not list(Path(lake.storage.root).glob("out*"))


def test_the_lakes_relations_can(session: Session) -> None:
    assert session.rows("select count(*) as n from pairs where width > ?", [3])["n"].to_pylist() == [0]
    assert session.rows("select rule from thresholds where rule = 'punsafe' limit 1").num_rows == 1


def test_a_long_question_is_stopped_and_the_next_is_answered(session: Session) -> None:
    begin = time.monotonic()
    with pytest.raises(TooLongError, match=r"0\.5 seconds"):
        session.rows("select sum(sin(a.range)) from range(1000000000000) as a")
    assert time.monotonic() - begin < 5
    assert session.rows("select 1 as one")["one"].to_pylist() == [1]


def test_a_question_has_its_share_of_memory_and_no_disk(lake: Lake) -> None:
    session = Session(lake, Limits(query_seconds=60, session_memory="50MB"))
    with pytest.raises(TooLongError, match="memory"):
        session.rows("select distinct hash(a.range), md5(a.range::varchar) from range(20000000) as a")


def test_who_finds_no_session_free_is_told_so(lake: Lake) -> None:
    sessions = Sessions(lake, Limits(sessions=1, wait_seconds=0.2))
    with sessions.lent(), pytest.raises(BusyError, match="busy"):
        sessions.rows("select 1")
    assert sessions.rows("select 1 as one").num_rows == 1


def test_many_share_the_sessions(lake: Lake) -> None:
    sessions = Sessions(lake, Limits(sessions=2))
    found: list[int] = []

    def ask(number: int) -> None:
        found.extend(sessions.rows("select ?::int as n from range(3)", [number])["n"].to_pylist())

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(list(range(20)) * 3)
