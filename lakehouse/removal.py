"""Removal: rows leave every table, and with it every release, and do not come in again.

A removal is a batch of the table `removals`, written in this order, each step repeatable:

1. the driver **claims** it, which keeps every stage from writing until it is done;
2. **tombstones** are committed: hashes of what was asked for, and the keys of what that finds;
3. the ledger records what is **withdrawn** from each batch of each key: rows, and the sum of their hashes.
   From here on releases stand for their sums less these;
4. rows **leave** the tables, one native commit each, candidates first: with a pair's candidate the pair is
   gone from every view, whatever else of it is still there;
5. every table that rows left is **purged**: the newest version's files stay, all others are deleted;
6. the ledger marks the removal **done**.

Interrupted, it is completed by `complete`, which `lake remove --yes` and `lake run` begin with.

`drop` takes pictures alone in the same way: what was downloaded of them stays, and nothing is refused.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from dask.delayed import Delayed, delayed
from distributed import Client

from lakehouse import care, cluster, faults, releases, schema, spool, tombstones
from lakehouse.batch import where
from lakehouse.errors import LakeError, UsageError
from lakehouse.events import REMOVALS
from lakehouse.fingerprints import fingerprint
from lakehouse.lake import Lake
from lakehouse.ledger import LEASE, Claim, Result, Withdrawn
from lakehouse.matching import PAIRS, Found, Run, find
from lakehouse.stages import stages
from lakehouse.tables import Replacement, Table, open_table
from lakehouse.tombstones import PAIR
from transforms.tombstones import Keys, Tombstones

# Kinds of rows in `removals`, beside PAIR, that say what left: all of a URL, the picture alone
PICTURE, DROPPED = "picture", "dropped"
ROWS_AT_ONCE = 1 << 20  # in a file of the table `removals`
FIRST = ("stored_pairs", "candidates")  # tables that rows leave first: what views of pairs stand on

Gone = Mapping[tuple[str, int], Withdrawn]


@dataclass(frozen=True)
class Report:
    """What a removal takes out, or would."""

    refused: Mapping[str, int]  # tombstones per kind: what was asked for, and the URLs it is found under
    rows: Mapping[str, int]  # per ledger key; of all batches, whoever pins them
    releases: Mapping[str, int]  # per release, the pairs that it has less

    @property
    def pairs(self) -> int:
        """Pairs that leave; one that several generations hold counts for each."""
        return self.rows.get("candidates", 0)


# ---------------------------------------------------------------------- removing


def dry_run(lake: Lake, asked: Tombstones, client: Client | None = None) -> Report:
    """What `remove` would take out. Writes nothing."""
    _refuse_nothing(asked)
    run = _runner(client)
    found = find(lake, asked, run)
    return _report(lake, _refused(asked, found), _measured(lake, _keys_of(found), run))


def remove(lake: Lake, asked: Tombstones, reason: str, client: Client | None = None) -> Report:
    """Takes out for good what `asked` stands for, after completing a removal that was interrupted.

    The work is done on the workers of `client`, or here. Raises UsageError where nothing is asked for,
    ConflictError, and does nothing, while another driver writes to the lake.
    """
    _refuse_nothing(asked)
    return _remove(lake, lambda run: find(lake, asked, run), asked, reason, client)


def drop(lake: Lake, pictures: Keys, client: Client | None = None) -> Report:
    """Takes the pictures of these url_ids out for good, of all releases too; all else of them stays.

    Raises ConflictError, and does nothing, while another driver writes to the lake.
    """
    none = np.zeros(0, np.int64)
    found = Found(PAIRS.empty_table(), none, none, pictures)
    return _remove(lake, lambda run: found, Tombstones(), "not kept", client)


def _remove(
    lake: Lake, look: Callable[[Run], Found], asked: Tombstones, reason: str, client: Client | None
) -> Report:
    complete(lake, client)
    claim = _claim(lake)
    try:
        faults.point("removals:claimed")
        _settle(lake)
        found = look(_runner(client, lambda: lake.ledger.renew(claim)))
        _request(lake, claim, asked, found, reason)
    except BaseException:
        _give_up(lake, claim)
        raise
    faults.point("removals:requested")
    return _carry_out(lake, claim, client)


def pending(lake: Lake) -> bool:
    """Whether a removal is under way or was interrupted."""
    return lake.ledger.state().unfinished(REMOVALS) is not None


def complete(lake: Lake, client: Client | None = None) -> Report | None:
    """Carries an interrupted removal out to its end; None where there is none, or it had not begun.

    Raises ConflictError where it is not interrupted but under way.
    """
    if not pending(lake):
        return None
    claim = _claim(lake)
    if len(tombstones.rows(lake, ["kind"], claim.batch)) == 0:
        _give_up(lake, claim)
        return None
    return _carry_out(lake, claim, client)


def _refuse_nothing(asked: Tombstones) -> None:
    if not len(asked):
        raise UsageError("say what to remove: --url, --host, --sample-id, --sha256, --md5 or --hash-list")


def _refused(asked: Tombstones, found: Found) -> Tombstones:
    urls = np.concatenate([asked.keys.get("url_id", found.urls), found.urls])
    return Tombstones.of({**asked.keys, "url_id": urls})


def _claim(lake: Lake) -> Claim:
    """The right to remove, while nobody writes to any table."""
    written = {e["key"] for e in lake.ledger.events() if e["event"] == "claim"}
    keys = {key for stage in stages(lake) for key in stage.keys} | written - {REMOVALS}
    return lake.ledger.claim([REMOVALS], [uuid.uuid4().hex], "", "", "{}", alone=sorted(keys))


def _settle(lake: Lake, key: str | None = None) -> None:
    """Deletes rows of batches of `key` that were never finished, and fences off who may still write them.

    Without a key: of all that stages write. Nobody looks for such rows any more, but they are there.
    """
    state = lake.ledger.state()
    written = {e["key"] for e in state.rows if e["event"] == "claim"} - {REMOVALS}
    for one in sorted(written) if key is None else [key]:
        name = one.partition("/")[0]
        batch, attempt = state.next_batch(one)
        if attempt == 1:
            continue
        table = _tables(lake, [name])[name]
        table.fence(one)
        if table.delete(where(table.spec, one, f"batch >= {batch}")):
            table.compact()


def _give_up(lake: Lake, claim: Claim) -> None:
    """Ends a removal that has not begun. Where that fails, the next one does it."""
    try:
        with suppress(LakeError):
            _settle(lake)
            _settle(lake, REMOVALS)
            lake.ledger.abandon(claim)
    finally:
        lake.ledger.leave(claim)


def _request(lake: Lake, claim: Claim, asked: Tombstones, found: Found, reason: str) -> None:
    """Commits the tombstones and the keys of what they find: from here on the removal will be done."""
    table = lake.table(REMOVALS)
    said = {"reason": reason, "at": datetime.now(UTC), "unit": f"{REMOVALS}:{claim.batch}"}
    refused = _refused(asked, found)
    parts = [_rows_of(kind, keys) for kind, keys in refused.keys.items()]
    parts += [_rows_of(PICTURE, found.pictures), _rows_of(DROPPED, found.dropped)]
    pairs = found.pairs
    parts.append(_rows_of(PAIR, pairs["sample_id"], url_id=pairs["url_id"], pair_batch=pairs["batch"]))
    files = []
    for part in parts:
        for start in range(0, len(part), ROWS_AT_ONCE):
            some = part.slice(start, ROWS_AT_ONCE)
            values = {**{n: some[n] for n in some.schema.names}, "batch": claim.batch, **said}
            files += table.writer().write(_filled(table.spec.schema, values, len(some)))
    lake.ledger.renew(claim)
    table.commit(files, {"key": REMOVALS, "batch": claim.batch, "claim": claim.token})


def _rows_of(kind: str, hashes: Any, **more: Any) -> pa.Table:
    return pa.table({"kind": pa.array([kind] * len(hashes), pa.string()), "hash": hashes, **more})


def _filled(whole: pa.Schema, values: Mapping[str, Any], n: int) -> pa.Table:
    """A table of `whole` from columns and single values; what is not given is NULL."""
    arrays = []
    for column in whole:
        given = values.get(column.name)
        if not isinstance(given, pa.ChunkedArray):
            given = pa.repeat(pa.scalar(given, column.type), n)
        arrays.append(given)
    return pa.table(arrays, schema=whole)


def _carry_out(lake: Lake, claim: Claim, client: Client | None) -> Report:
    """All steps that follow the request; each is left out, or changes nothing, where it was done before."""
    started = time.monotonic()
    try:
        run = _runner(client, lambda: lake.ledger.renew(claim))
        rows = tombstones.rows(lake, None, claim.batch)
        keys = _keys_asked(rows)
        if not lake.ledger.state().withdrawn(claim.batch, claim.batch):
            lake.ledger.withdraw(claim, _measured(lake, keys, run))
        faults.point("removals:withdrawn")
        tables = _tables(lake)
        for name, table in tables.items():
            lake.ledger.renew(claim)
            _leave(table, keys, run, claim)
            faults.point(f"removals:left:{name}")
        for name, table in tables.items():
            lake.ledger.renew(claim)
            oldest = table.purge()
            lake.ledger.pruned(name, oldest)
            care.record(lake, table, oldest)
            faults.point(f"removals:purged:{name}")
        spool.clear(lake.storage)  # pictures of an unfinished batch: fetched again, and then refused
        taken = lake.ledger.state().withdrawn(claim.batch, claim.batch)
        gone = {(e["key"], e["batch"]): Withdrawn(e["rows"]) for e in taken}
        result = _result(lake, claim, rows)
        lake.ledger.finish(claim, {REMOVALS: result}, time.monotonic() - started, "{}")
    finally:
        lake.ledger.leave(claim)
    faults.point("removals:done")
    return _report(lake, tombstones.of(rows), gone)


def _leave(table: Table, keys: Mapping[str, Keys], run: Run, claim: Claim) -> None:
    """Takes the rows out of the newest version of one table, in one commit."""
    replacements = [r for _, r in run(_splits(table, keys, write=True)) if r is not None]
    if replacements:
        table.replace(replacements, {"removal": claim.batch, "claim": claim.token})


def _result(lake: Lake, claim: Claim, rows: pa.Table) -> Result:
    """What the removal brought to its own table."""
    table = lake.table(REMOVALS)
    files = care.unrecorded(lake, table)
    counts = {(f"{REMOVALS}:{claim.batch}", "in"): len(rows)}
    size = sum(file.bytes for file in files)
    return Result(len(rows), size, counts, files, fingerprint(rows), table.version() or 0)


# ---------------------------------------------------------------------- what leaves


def _tables(lake: Lake, names: Sequence[str] = ()) -> dict[str, Table]:
    """Every table that has rows of pairs or pictures, those of models that lake.toml has dropped included."""
    written = {e["key"].partition("/")[0] for e in lake.ledger.events() if e["event"] == "claim"}
    wanted = names or sorted(written - {REMOVALS}, key=lambda name: (name not in FIRST, name))
    found = {}
    for name in wanted:
        table = open_table(lake.storage, _spec(lake, name))
        if names or table.version() is not None:
            found[name] = table
    return found


def _spec(lake: Lake, name: str) -> schema.TableSpec:
    """Of a table of embeddings from what is stored: its model need not be known any more."""
    if name in schema.FIXED:
        return schema.FIXED[name]
    model = name.removeprefix("embeddings_")
    stored = open_table(lake.storage, schema.embeddings(model, 1)).dataset()
    size = 1 if stored is None else stored.schema.field("image_embedding").type.list_size
    return schema.embeddings(model, size)


def _keys_of(found: Found) -> dict[str, Keys]:
    """Sorted keys of the rows that leave, by the column they are of, or the table that they leave alone."""
    pictures = np.union1d(found.pictures, found.dropped)
    pairs = np.unique(found.pairs["sample_id"].to_numpy())
    return {"sample_id": pairs, "url_id": found.pictures, "images": pictures}


def _keys_asked(rows: pa.Table) -> dict[str, Keys]:
    """The same from a removal's own rows."""
    pairs, pictures, dropped = (tombstones.hashes(rows, kind) for kind in (PAIR, PICTURE, DROPPED))
    whole = np.union1d(pictures, dropped)
    return {"sample_id": np.unique(pairs), "url_id": np.unique(pictures), "images": whole}


def _measured(lake: Lake, keys: Mapping[str, Keys], run: Run) -> Gone:
    """What leaves which batch of which key."""
    tasks = [task for table in _tables(lake).values() for task in _splits(table, keys, write=False)]
    gone: dict[tuple[str, int], Withdrawn] = {}
    for some, _ in run(tasks):
        for place, one in some.items():
            have = gone.get(place, Withdrawn())
            counts = Counter(have.counts) + Counter(one.counts)
            gone[place] = Withdrawn(have.rows + one.rows, have.fingerprint + one.fingerprint, counts)
    return gone


def _splits(table: Table, keys: Mapping[str, Keys], write: bool) -> list[Delayed]:
    column = "sample_id" if "sample_id" in table.spec.schema.names else "url_id"
    wanted = keys.get(table.spec.name, keys[column])
    if len(wanted) == 0:
        return []
    shared = delayed(wanted)
    return [delayed(_split)(table, piece, column, shared, write) for piece in table.pieces()]


def _split(table: Table, piece: str, column: str, keys: Keys, write: bool) -> tuple[Gone, Replacement | None]:
    """Runs on a worker."""
    rows, replacement = table.split(piece, column, keys, write)
    if len(rows) == 0 or write:
        return {}, replacement
    gone = {}
    by = table.spec.partition_by
    groups = rows.select(["batch", *([by] if by else [])]).group_by(["batch", *([by] if by else [])])
    for place in groups.aggregate([]).to_pylist():
        mask = pc.equal(rows["batch"], place["batch"])
        if by:
            mask = pc.and_(mask, pc.equal(rows[by], place[by]))
        some = rows.filter(mask)
        key = f"{table.spec.name}/{place[by]}" if by else table.spec.name
        counts = Counter((unit, "withdrawn") for unit in some["unit"].to_pylist())
        if "attempt" in some.schema.names:
            first = some.filter(pc.equal(some["attempt"], 1))
            counts.update((unit, "withdrawn_urls") for unit in first["unit"].to_pylist())
        gone[key, place["batch"]] = Withdrawn(len(some), fingerprint(some), counts)
    return gone, None


def _runner(client: Client | None, meanwhile: Callable[[], None] = lambda: None) -> Run:
    """Computes tasks on the workers of `client` or here; `meanwhile` is called while it lasts."""
    return lambda tasks: cluster.compute(client, tasks, meanwhile, LEASE.total_seconds() / 3)


# ---------------------------------------------------------------------- what left


def _report(lake: Lake, refused: Tombstones, gone: Gone) -> Report:
    rows: Counter[str] = Counter()
    for (key, _), some in gone.items():
        rows[key] += some.rows
    pairs = {batch: some.rows for (key, batch), some in gone.items() if key == "candidates"}
    less = {}
    for release in releases.list_releases(lake):
        low, high = release.pins.get("candidates", (0, -1))
        less[release.name] = sum(n for batch, n in pairs.items() if low <= batch <= high)
    return Report({kind: len(keys) for kind, keys in refused.keys.items()}, dict(+rows), less)
