"""Subsets that visitors save: views of the lake, in files of its folder `sql`, a new one for each version."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lakehouse.errors import UsageError
from lakehouse.export import FORMATS
from lakehouse.lake import Lake

NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
_FILE = re.compile(r"sql/(?P<name>[a-z][a-z0-9_]*?)_v(?P<version>[0-9]+)\.sql")
MARK = "-- saved from the web page"


@dataclass(frozen=True)
class Saved:
    """One version of a saved subset; `view` is the relation's name."""

    name: str
    version: int
    view: str
    at: str
    about: str
    sql: str

    def commands(self) -> dict[str, str]:
        """Per format, what takes the subset out of the lake; run where LAKE_ROOT names it."""
        return {form: f"lake export {form} --view {self.view} --to {self.view}-{form}" for form in FORMATS}


def saved(lake: Lake) -> list[Saved]:
    """All of them, by name and version. Files that somebody else put there are not among them."""
    if not lake.storage.is_local:
        return []
    found = []
    for path in lake.storage.files("sql"):
        match = _FILE.fullmatch(path)
        text = lake.storage.read(path).decode("utf-8", "replace") if match else ""
        if match and MARK in text:
            head, _, sql = text.partition("\n\n")
            lines = head.splitlines()
            view = f"{match['name']}_v{match['version']}"
            at = next((line.split(", ")[1] for line in lines if line.startswith(MARK)), "")
            about = lines[0].partition(": ")[2]
            found.append(Saved(match["name"], int(match["version"]), view, at, about, sql.strip()))
    return sorted(found, key=lambda each: (each.name, each.version))


def save(
    lake: Lake, name: str, condition: str | None, ids: Sequence[int] | None, about: str, most: int
) -> Saved:
    """Writes the next version of the subset `name`: the pairs of `condition`, or those with `ids`.

    Raises UsageError for a name that cannot be a view's, where there are `most` already, or where the lake
    has no folder to write to.
    """
    if not NAME.fullmatch(name):
        raise UsageError("a name has up to 41 letters a-z, digits and _, and begins with a letter")
    if not lake.storage.is_local:
        raise UsageError("views of its own has only a lake in a folder, and this one is in an object store")
    lake.storage.check_writable()
    others = saved(lake)
    if len(others) >= most:
        raise UsageError(f"there are {most:,} saved subsets already: take some out of the lake's folder sql")
    version = max((each.version for each in others if each.name == name), default=0) + 1
    view, at = f"{name}_v{version}", f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    about = " ".join(about.split())[:200] or "pairs chosen on the web page"
    chosen = condition or "true"
    if ids is not None:
        chosen = f"sample_id in ({', '.join(map(str, ids)) or 'null'})"
    sql = f"select pairs.*\nfrom pairs\nwhere {chosen}"
    text = f"-- {view}: {about}\n{MARK}, {at}, version {version} of {name}\n\n{sql}\n"
    lake.storage.write(f"sql/{view}.sql", text.encode())
    return Saved(name, version, view, at, about, sql)
