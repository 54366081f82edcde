"""The ledger merges its own small files; nobody notices."""

from __future__ import annotations

import threading
from pathlib import Path

from drivers import claim, finish, new_ledger

from lakehouse.ledger import COMPACT_AT, Ledger

BATCHES = COMPACT_AT  # two commits each, so that the limit is passed about twice


def test_compaction_keeps_everything_and_readers_see_whole_states(tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path)
    stop = threading.Event()
    broken: list[object] = []
    seen: set[int] = set()

    def watch() -> None:
        reader, last = Ledger(ledger.storage), 0
        while not stop.is_set():
            pins = reader.pins()
            high = pins.get("downloads", (1, 0))[1]
            if pins and (pins["downloads"] != pins["images"] or pins["downloads"][0] != 1 or high < last):
                broken.append(pins)
            numbers = [e["batch"] for e in reader.done("images")]
            if numbers != list(range(1, len(numbers) + 1)) or len(numbers) < high:
                broken.append(numbers)
            last = high
            seen.add(high)

    watcher = threading.Thread(target=watch)
    watcher.start()
    kept = []
    try:
        for number in range(BATCHES):
            finish(ledger, claim(ledger, f"work {number}", keys=["downloads", "images"]), rows=number)
            kept = ledger.events()
    finally:
        stop.set()
        watcher.join()
    assert broken == []
    assert len(seen) > 5, "the reader looked in between"
    assert len(list((tmp_path / "ledger").glob("*.parquet"))) > 2 * BATCHES, "merged files were written"
    fresh = Ledger(ledger.storage)
    assert fresh.pins() == {"downloads": (1, BATCHES), "images": (1, BATCHES)}

    def order(event: object) -> str:
        return str(event)

    assert sorted(fresh.events(), key=order) == sorted(kept, key=order)
    assert [e["rows"] for e in fresh.done("images")] == list(range(BATCHES))
    assert len(fresh._read) <= COMPACT_AT + 1, "opening a lake is one short read"
