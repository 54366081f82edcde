"""Link rot: what became of each host's URLs, by the time between their first attempt and their newest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lakehouse import views
from lakehouse.lake import Lake, init
from tests import lakes

FIRST = datetime(2026, 1, 1, 12, tzinfo=UTC)


def attempt(name: str, status: str, days: int, attempt: int, host: str = "one.test") -> dict[str, Any]:
    row = lakes.candidate(
        name, url=f"https://{host}/{name}.jpg", host=host, url_id=sum(map(ord, name + host))
    )
    return lakes.download(row, status, attempt, fetched_at=FIRST + timedelta(days=days))


def report(lake: Lake) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in views.query(lake, "from link_rot").to_pylist()]


def test_by_host_age_and_status(tmp_path: Path) -> None:
    lake = init(str(tmp_path))
    first = [
        attempt("a", "success", 0, 1),
        attempt("b", "success", 0, 1),
        attempt("c", "timeout", 0, 1),
        attempt("d", "http_error", 1, 1),
        attempt("a", "http_error", 0, 1, "two.test"),
    ]
    lakes.append(lake, {"downloads": first})
    again = [
        attempt("b", "http_error", 15, 2),  # was there, and is gone after two weeks
        attempt("c", "success", 6, 2),  # came back within the week
        attempt("d", "http_error", 14, 2),  # 13 days after its first: one whole week
    ]
    lakes.append(lake, {"downloads": again}, ["retry-success-timeout-http_error:2"])
    assert report(lake) == [
        ("one.test", 0, "success", 2, 1.0, 0),
        ("one.test", 1, "http_error", 1, 1.0, 0),
        ("one.test", 2, "http_error", 1, 1.0, 1),
        ("two.test", 0, "http_error", 1, 1.0, 0),
    ]


def test_shares_are_of_a_host_at_an_age(tmp_path: Path) -> None:
    lake = init(str(tmp_path))
    rows = [attempt(name, "success" if name < "d" else "dns", 0, 1) for name in "abcd"]
    lakes.append(lake, {"downloads": rows})
    assert report(lake) == [("one.test", 0, "success", 3, 0.75, 0), ("one.test", 0, "dns", 1, 0.25, 0)]


def test_a_young_lake_has_none(tmp_path: Path) -> None:
    assert report(init(str(tmp_path))) == []
