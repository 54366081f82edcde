"""What is wrong with a lake: its logs, its data files, its sums, its audits, and what crashes left behind."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from distributed import Client

from lakehouse import claims, releases, schema, verification, views
from lakehouse.errors import LakeError, UsageError
from lakehouse.events import REMOVALS, Event, Events
from lakehouse.lake import Lake
from lakehouse.schema import FIXED, LEDGER, RELEASES, TableSpec
from lakehouse.tables import logs, open_table
from lakehouse.verification import Finding, Kind

#: tables that no stage writes
OWN = (
    TableSpec("ledger", "delta", ("key", "batch", "event"), LEDGER),
    TableSpec("releases", "delta", ("name",), RELEASES),
)


@dataclass(frozen=True)
class Folder:
    """A table's folder as it is."""

    spec: TableSpec
    contents: Mapping[str, int]  # every file in it, with its size


def folders(lake: Lake) -> Iterator[Folder]:
    """The folders of all tables that there are, the ledger's first, also those of models no longer used."""
    _refuse_copy(lake)
    yield from (found for spec in OWN if (found := folder(lake, spec)).contents)
    written = {event["key"].partition("/")[0] for event in lake.ledger.events() if event["event"] == "claim"}
    for name in sorted(written):
        spec = FIXED.get(name) or schema.embeddings(name.removeprefix("embeddings_"), 1)
        if (found := folder(lake, spec)).contents:
            yield found


def folder(lake: Lake, spec: TableSpec) -> Folder:
    """The folder of one table."""
    return Folder(spec, logs.contents(lake.storage, spec.name))


def _refuse_copy(lake: Lake) -> None:
    if lake.published is not None:
        name = lake.published.name
        raise UsageError(f"{lake.storage.root} is a pushed copy: `lake release verify {name}` proves it")


def inspect(lake: Lake, client: Client | None = None, full: bool = True) -> list[Finding]:
    """All that is not as it should be, what crashes left behind (`verification.LEFT_OVER`) included.

    Without `full` no data is read: logs, sizes of files and the ledger's sums alone. With it checksums,
    rows and audits are, on the workers of `client` or here. Where the ledger cannot be read, nothing else
    can be judged, and only that is told.
    """
    _refuse_copy(lake)
    found = log_damage(lake, folder(lake, OWN[0]))
    if found:
        return found
    there = list(folders(lake))
    for one in there:
        found += log_damage(lake, one) or [*_sizes(lake, one), *_orphans(lake, one)]
    found += [_left(event) for event in unfinished(lake.ledger.state())]
    try:
        found += _sums(lake, client, full)
        sound = not [finding for finding in found if finding.kind not in verification.LEFT_OVER]
        if (
            full and sound and lake.ledger.state().unfinished(REMOVALS) is None
        ):  # else some rows have yet to go
            found += _audits(lake)
    except LakeError as error:
        found.append(Finding("releases", None, str(error), Kind.UNREADABLE))
    return list(dict.fromkeys(found))


def log_damage(lake: Lake, table: Folder) -> list[Finding]:
    """Files of the table's log that are damaged."""
    name = table.spec.name
    damaged = logs.damage(lake.storage, table.spec, table.contents)
    return [Finding(name, f"{name}/{path}", problem, Kind.DAMAGED) for path, problem in damaged.items()]


def _sizes(lake: Lake, folder: Folder) -> list[Finding]:
    """Data files of the newest version that are not there, or not in their length."""
    name = folder.spec.name
    try:
        files = open_table(lake.storage, folder.spec).files()
    except LakeError as error:
        return [Finding(name, None, str(error), Kind.UNREADABLE)]
    checked = [
        verification.sized(name, path, size, folder.contents.get(path.removeprefix(f"{name}/")))
        for path, size in files.items()
    ]
    return [finding for finding in checked if finding is not None]


def orphans(lake: Lake, folder: Folder) -> list[str]:
    """Data files that no version names, by their path within the folder."""
    have = logs.data_files(folder.spec, folder.contents)
    return sorted(have - logs.named(lake.storage, folder.spec, folder.contents))


def _orphans(lake: Lake, folder: Folder) -> list[Finding]:
    found = orphans(lake, folder)
    if not found:
        return []
    size = sum(folder.contents[path] for path in found)
    problem = f"{len(found)} files ({size:,} bytes) that no version names: `lake cleanup` removes them"
    return [Finding(folder.spec.name, None, problem, Kind.ORPHANED)]


def unfinished(state: Events) -> list[Event]:
    """The claims whose drivers are gone."""
    keys = sorted({event["key"] for event in state.rows if event["event"] == "claim"})
    left = [claim for key in keys if (claim := state.unfinished(key)) is not None]
    return [claim for claim in left if not claims.holds(claim, state)]


def _left(claim: Event) -> Finding:
    then = "`lake remove --yes` completes it" if claim["key"] == REMOVALS else "`lake run` repeats it"
    problem = f"batch {claim['batch']} was left unfinished by {claim['owner']}: {then}"
    return Finding(claim["key"], None, problem, Kind.UNFINISHED)


def _sums(lake: Lake, client: Client | None, full: bool) -> list[Finding]:
    """Rows and fingerprints of head and of all releases; the same pins are read once."""
    head = _head(lake)
    found: list[Finding] = []
    read: list[Mapping[str, tuple[int, int]]] = []
    for release in [*([head] if head else []), *releases.list_releases(lake)]:
        again = release.pins in read
        some = verification.findings(lake, release, client, full and not again)
        named = "" if release is head else f"release {release.name}: "
        found += [
            Finding(f.key, f.file, named + f.problem if f.kind == Kind.DIFFERS else f.problem, f.kind)
            for f in some
        ]
        read.append(release.pins)
    return found


def releases_of(lake: Lake) -> list[releases.Release]:
    """All releases; none where their table cannot be read."""
    try:
        return releases.list_releases(lake)
    except LakeError:
        return []


def _head(lake: Lake) -> releases.Release | None:
    """What readers of head see, as a release would record it."""
    state = lake.ledger.state()
    pins = state.pins()
    totals = verification.totals(verification.pinned(state.done(), pins))
    counts = {key: total.rows for key, total in totals.items()}
    sums = {key: total.fingerprint for key, total in totals.items()}
    package = importlib.metadata.version("pairlake")
    return (
        releases.Release("head", pins, {}, counts, sums, package, None, datetime.now(UTC)) if pins else None
    )


def _audits(lake: Lake) -> list[Finding]:
    return [
        Finding(name, None, f"{len(rows):,} rows, such as {rows.slice(0, 1).to_pylist()[0]}", Kind.AUDIT)
        for name, rows in views.audits(lake).items()
        if len(rows)
    ]
