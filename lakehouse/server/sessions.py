"""DuckDB for questions from outside: no files, no network, no settings, a share of memory and of time.

A session's views stand on Arrow datasets that were opened before it was locked, so it needs no way to any
file, and has none. Whatever a question says, it can reach the lake's relations and nothing else.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import duckdb
import pyarrow as pa

from lakehouse import views
from lakehouse.errors import LakeError, UsageError
from lakehouse.lake import Lake
from lakehouse.server.limits import Limits

_LOCKS = (
    "set threads = {threads}",
    "set memory_limit = '{memory}'",
    "set temp_directory = ''",
    "set max_temp_directory_size = '0B'",
    "set autoinstall_known_extensions = false",
    "set autoload_known_extensions = false",
    "set allow_community_extensions = false",
    "set python_enable_replacements = false",  # or a name would find a variable of ours
    "set disabled_filesystems = 'LocalFileSystem'",
    "set enable_external_access = false",
    "set lock_configuration = true",  # last: from here on all this holds
)
THREADS = 2  # of one session


class BusyError(LakeError):
    """No session came free in time."""


class TooLongError(LakeError):
    """A question was not answered in its time."""


class Session:
    """One locked DuckDB over one version of a lake."""

    def __init__(self, lake: Lake, limits: Limits, only: Iterable[str] | None = None) -> None:
        self._limits = limits
        self._connection = locked(lake, limits, only)

    @contextmanager
    def asking(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The connection, for one question. Raises TooLongError past its time or memory."""
        try:
            with _Watch(self._connection, self._limits.query_seconds), views.sql_errors():
                yield self._connection
        except UsageError as error:
            if isinstance(error.__cause__, duckdb.InterruptException):
                raise TooLongError(f"not answered within {self._limits.query_seconds:g} seconds") from None
            if isinstance(error.__cause__, duckdb.OutOfMemoryException):
                raise TooLongError("the question needs more memory than it may have") from None
            raise

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """What the SELECT `sql` gives.

        Raises UsageError for what is no SELECT or DuckDB refuses, TooLongError past its time or memory.
        """
        with self.asking() as connection:
            statements = connection.extract_statements(sql)
            kinds = [statement.type for statement in statements]
            if kinds != [duckdb.StatementType.SELECT] or not sql.lower().startswith(("select", "with")):
                raise UsageError("expected one SELECT")  # some PRAGMAs count as one
            return connection.execute(statements[0], list(parameters)).to_arrow_table()

    def close(self) -> None:
        """Ends the session."""
        self._connection.close()


class _Watch:
    """Interrupts what a connection does within a block, once its time is over."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, seconds: float) -> None:
        self._connection = connection
        self._timer = threading.Timer(seconds, self._stop)
        self._timer.daemon = True
        self._ending = threading.Lock()  # or the next question would be interrupted in place of this
        self._ended = False

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._ending:
            self._ended = True

    def _stop(self) -> None:
        with self._ending:
            if not self._ended:
                self._connection.interrupt()


def locked(lake: Lake, limits: Limits, only: Iterable[str] | None = None) -> duckdb.DuckDBPyConnection:
    """A connection with the lake's views (or `only` these) that can reach nothing else any more."""
    connection = views.connect(lake, access="arrow", only=only)
    with views.sql_errors():
        for line in _LOCKS:
            connection.execute(line.format(threads=THREADS, memory=limits.session_memory))
    return connection


class Sessions:
    """Up to `limits.sessions` sessions over one version of a lake, each lent to one question at a time."""

    def __init__(self, lake: Lake, limits: Limits, only: Iterable[str] | None = None) -> None:
        self._limits = limits
        self._make: Callable[[], Session] = partial(Session, lake, limits, only)
        self._free: queue.LifoQueue[Session | None] = queue.LifoQueue()
        for _ in range(limits.sessions - 1):
            self._free.put(None)  # made when there is a need
        self._free.put(self._make())

    @contextmanager
    def lent(self) -> Iterator[Session]:
        """A session for the time of a block. Raises BusyError where none comes free."""
        try:
            session = self._free.get(timeout=self._limits.wait_seconds)
        except queue.Empty:
            raise BusyError("the server is busy: ask again in a moment") from None
        try:
            if session is None:
                session = self._make()
            yield session
        finally:
            self._free.put(session)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """`Session.rows` of the next free session."""
        with self.lent() as session:
            return session.rows(sql, parameters)
