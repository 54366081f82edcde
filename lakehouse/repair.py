"""Settles what a crash or a damaged file left, from what still verifies.

Nothing is guessed. Rows come back only where files with the checksums that the ledger recorded hold
them, and only if they then add up to the ledger's fingerprint; what cannot be settled so is refused, with
what would restore it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse import batch, faults, removal, soundness, verification
from lakehouse.errors import LakeError
from lakehouse.events import Event
from lakehouse.fingerprints import fingerprint
from lakehouse.lake import Lake
from lakehouse.schema import TableSpec
from lakehouse.soundness import OWN, Folder
from lakehouse.storage import storage_errors
from lakehouse.tables import Range, logs
from lakehouse.verification import Finding, Kind, Total

EVERY = 1 << 40  # more than any batch's number
NOTHING = {"commitInfo": {"operation": "REPAIR", "operationParameters": {}}}  # a commit without changes


@dataclass(frozen=True)
class Step:
    """One thing to settle; without `act` it cannot be, and `what` says what would."""

    what: str
    act: Callable[[], object] | None = None


def steps(lake: Lake) -> Iterator[Step]:
    """What to settle, in order. Each step is found when those before it were, or were not, carried out."""
    yield from _logs(lake, soundness.folder(lake, OWN[0]))
    if soundness.log_damage(lake, soundness.folder(lake, OWN[0])):
        return  # without the ledger nothing else can be judged
    broken = set()
    for folder in list(soundness.folders(lake))[1:]:
        yield from _logs(lake, folder)
        if soundness.log_damage(lake, soundness.folder(lake, folder.spec)):
            broken.add(folder.spec.name)
    if removal.pending(lake):
        yield Step("a removal was interrupted: it is completed", partial(removal.complete, lake))
        if removal.pending(lake):
            return  # rows that are leaving are missing, and must not come back
    yield from _claims(lake)
    yield from _strays(lake)
    for event in _short(lake, broken):
        yield from _rows(lake, event)
    yield from _files(lake)


# ---------------------------------------------------------------------- logs


def _logs(lake: Lake, folder: Folder) -> Iterator[Step]:
    """Damage in a table's log, newest first: a commit can go when none follows it."""
    for finding in sorted(soundness.log_damage(lake, folder), key=lambda f: str(f.file), reverse=True):
        assert finding.file is not None
        path = finding.file.removeprefix(f"{folder.spec.name}/")
        if logs.COMMIT.fullmatch(path):
            yield _commit(lake, folder, path, finding)
        elif logs.MANIFEST.fullmatch(path):
            yield Step(f"{finding}: the version is given up", partial(lake.storage.remove, finding.file))
        else:
            yield _checkpoint(lake, folder, path, finding)


def _checkpoint(lake: Lake, folder: Folder, path: str, finding: Finding) -> Step:
    """A checkpoint says nothing that the commits before it do not; it can go where they are all there."""
    numbers = logs.versions(folder.contents)
    if numbers != list(range(len(numbers))):
        return Step(f"{finding}: the commits that it stands for are gone: bring it back from a copy")

    def act() -> None:
        pointer = f"{folder.spec.name}/{logs.LAST_CHECKPOINT}"
        for damaged in {f"{folder.spec.name}/{path}", pointer}:
            if lake.storage.exists(damaged):
                lake.storage.remove(damaged)
                faults.point("repair:checkpoint")

    return Step(f"{finding}: the table is read from its commits", act)


def _commit(lake: Lake, folder: Folder, path: str, finding: Finding) -> Step:
    """The newest commit is taken back. An older one may become empty if it only added a batch's rows."""
    name, whole = folder.spec.name, f"{folder.spec.name}/{path}"
    number = int(path[-25:-5])
    newest = number == max(logs.versions(folder.contents))
    if newest and number > 0 and whole in {f"{name}/{p}" for p in folder.contents}:
        lost = (
            "what it recorded is forgotten"
            if name == "ledger"
            else "what it added is missing until it comes back below"
        )
        return Step(f"{finding}: the newest commit is taken back; {lost}", partial(_forget, lake, whole))
    if folder.spec in OWN or number not in _appends(lake, name):
        return Step(
            f"{finding}: others build on it: bring the file back from a copy{_or_rebuild(folder.spec)}"
        )

    def act() -> None:
        lake.storage.write(whole, json.dumps(NOTHING).encode() + b"\n")
        faults.point("repair:emptied")

    return Step(f"{finding}: it becomes a commit without changes; its batch comes back below", act)


def _forget(lake: Lake, path: str) -> None:
    lake.storage.remove(path)
    faults.point("repair:forgotten")


def _appends(lake: Lake, name: str) -> set[int]:
    """Versions of the table that, by the ledger, added a batch."""
    return {e["version"] for e in lake.ledger.done() if e["key"].partition("/")[0] == name}


def _or_rebuild(spec: TableSpec) -> str:
    return "" if spec in OWN else f", or make the table anew: `lake rebuild {_stage(spec.name)}`"


def _stage(name: str) -> str:
    """What `lake rebuild` takes to make the table anew."""
    return "downloads" if name == "images" else name


# ---------------------------------------------------------------------- batches


def _claims(lake: Lake) -> Iterator[Step]:
    """Batches that dead drivers left: what is there of their rows is deleted, and their number is free."""
    state = lake.ledger.state()
    tokens: dict[str, list[Event]] = {}
    for claim in soundness.unfinished(state):
        tokens.setdefault(claim["token"], []).append(claim)
    for claims in tokens.values():
        names = ", ".join(claim["key"] for claim in claims)
        number = claims[0]["batch"]
        yield Step(
            f"{names}: batch {number} was left unfinished: its rows go", partial(_settle, lake, claims)
        )


def _settle(lake: Lake, claims: Sequence[Event]) -> None:
    first = claims[0]
    told = (first["units"] or (), first["fingerprint"], first["selection"], first["details"])
    taken = lake.ledger.claim([claim["key"] for claim in claims], *told)
    batch.recover(lake, taken)
    faults.point("repair:recovered")
    lake.ledger.abandon(taken)


def _strays(lake: Lake) -> Iterator[Step]:
    """Rows of batches that the ledger does not know: their claim went with a damaged entry."""
    state = lake.ledger.state()
    for key in sorted({event["key"] for event in state.rows if event["event"] == "claim"}):
        if state.unfinished(key) is not None:
            continue
        number, _ = state.next_batch(key)
        try:
            rows = sum(n for stored, n in _stored(lake, key).items() if stored >= number)
        except verification.UNREADABLE:
            continue  # `_files` says what is damaged
        if rows:
            where = batch.where(lake.table(key).spec, key, f"batch >= {number}")
            act = partial(lake.table(key).delete, where)
            yield Step(f"{key}: {rows:,} rows of batches that the ledger does not know: they go", act)


def _stored(lake: Lake, key: str) -> Counter[int]:
    """How many rows of each batch the newest version has."""
    ranges = [Range(0, EVERY, key.partition("/")[2] or None)]
    return Counter(lake.table(key).arrow(ranges, ["batch"])["batch"].to_pylist())


def _short(lake: Lake, broken: Collection[str]) -> Iterator[Event]:
    """The finished batches, pinned by head or a release, of which rows are missing."""
    pins = [lake.pins(), *(release.pins for release in soundness.releases_of(lake))]
    pinned = [verification.pinned(lake.ledger.done(), some) for some in pins]
    for key in sorted({key for some in pinned for key in some if key.partition("/")[0] not in broken}):
        try:
            stored = _stored(lake, key)
        except verification.UNREADABLE:
            continue  # `_files` says what is damaged
        events = {event["batch"]: event for some in pinned for event in some.get(key, ())}
        for number, event in events.items():
            if stored[number] < _standing(lake, event).rows:
                yield event


def _standing(lake: Lake, event: Event) -> Total:
    """What a batch had, less what removals took out of it."""
    key, number = event["key"], event["batch"]
    return verification.left(lake.ledger.state(), {key: (number, number)})[key]


def _rows(lake: Lake, event: Event) -> Iterator[Step]:
    """A batch whose rows are not in the table, while files with its checksums hold them."""
    key, number = event["key"], event["batch"]
    table = lake.table(key)
    held = table.files()
    there = [f["path"] for f in event["files"] if f["path"] not in held and _verifies(lake, event, f["path"])]
    if not there:
        return

    def act() -> None:
        part = key.partition("/")[2] or None
        wanted = _standing(lake, event)
        rows = [_read(lake, table.spec, path, part) for path in there]
        present = table.arrow([Range(number, number, part)])
        if sum((Total(len(some), fingerprint(some)) for some in [*rows, present]), Total()) != wanted:
            raise LakeError(f"{key}: batch {number}: its files and the table do not add up to what it had")
        files = [file for some in rows for file in table.writer(part).write(some)]
        version = table.commit(files, {"key": key, "batch": number, "repair": True})
        faults.point("repair:committed")
        lake.ledger.compacted(table.spec.name, [(file.path, file.sha256) for file in files], version)
        for path in there:
            lake.storage.remove(path)  # its rows are in the new files

    yield Step(f"{key}: batch {number} is not in the table: its rows come back from {len(there)} files", act)


def _verifies(lake: Lake, event: Event, path: str) -> bool:
    recorded = {file["path"]: file["sha256"] for file in event["files"]}
    return lake.storage.exists(path) and lake.storage.sha256(path) == recorded[path]


def _read(lake: Lake, spec: TableSpec, path: str, part: str | None) -> pa.Table:
    """The rows of a data file that no version of the table needs to name."""
    with storage_errors(lake.storage.uri(path)):
        if spec.format == "lance":
            from lance.file import LanceFileReader  # after lakehouse.tables, which quiets it

            options = dict(lake.storage.options)
            found = LanceFileReader(lake.storage.uri(path), storage_options=options).read_all().to_table()
        else:
            with lake.storage.filesystem().open_input_file(path) as file:
                found = pq.ParquetFile(file, page_checksum_verification=True).read()
    if spec.partition_by is not None:
        found = found.append_column(spec.partition_by, pa.array([part] * len(found), pa.string()))
    return found.select(spec.schema.names).cast(spec.schema)


# ---------------------------------------------------------------------- data files


def _files(lake: Lake) -> Iterator[Step]:
    """Data files of newest versions that are damaged for good, with the batches whose rows they held."""
    done = lake.ledger.done()
    for finding in soundness.inspect(lake):
        if finding.kind not in (Kind.MISSING, Kind.TRUNCATED, Kind.ALTERED, Kind.UNREADABLE):
            continue
        name = finding.key.partition("/")[0]
        whose = [f"{e['key']} {e['batch']}" for e in done if finding.file in [f["path"] for f in e["files"]]]
        batches = f" (rows of batch {', '.join(whose)})" if whose else ""
        yield Step(
            f"{finding}{batches}: bring the file back from a copy, or make the stage anew: "
            f"`lake rebuild {_stage(name)}`; releases that pin these rows will not verify then"
        )
