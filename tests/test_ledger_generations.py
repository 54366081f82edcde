"""A rebuild is a new generation: readers stay on the old one until the new one is complete."""

from __future__ import annotations

from pathlib import Path

import pytest
from drivers import claim, finish, new_ledger

from lakehouse.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = new_ledger(tmp_path)
    for number in range(3):
        finish(ledger, claim(ledger, f"work {number}", keys=["downloads", "images"]))
    finish(ledger, claim(ledger, "downloads:1", keys=["embeddings_b32"]))
    return ledger


OLD = {"downloads": (1, 3), "images": (1, 3), "embeddings_b32": (1, 1)}


def test_readers_stay_on_the_old_generation_until_the_switch(ledger: Ledger) -> None:
    ledger.rebuild(["downloads", "images", "embeddings_b32"])
    assert ledger.pins() == OLD
    assert ledger.pins(building=True) == {}
    for number in range(2):
        held = claim(ledger, f"work {number}", keys=["downloads", "images"])
        assert (held.batch, held.generation) == (4 + number, 1)
        finish(ledger, held)
        assert ledger.pins() == OLD
    assert ledger.pins(building=True) == {"downloads": (4, 5), "images": (4, 5)}
    finish(ledger, claim(ledger, "downloads:4", keys=["embeddings_b32"]))
    ledger.switch()
    new = {"downloads": (4, 5), "images": (4, 5), "embeddings_b32": (2, 2)}
    assert ledger.pins() == ledger.pins(building=True) == new


def test_all_tables_switch_in_one_commit(ledger: Ledger) -> None:
    ledger.rebuild(["downloads", "images"])
    finish(ledger, claim(ledger, "again", keys=["downloads", "images"]))
    ledger.switch()
    assert len({e["at"] for e in ledger.events() if e["event"] == "switch"}) == 1
    assert ledger.pins() == {"downloads": (4, 4), "images": (4, 4), "embeddings_b32": (1, 1)}


def test_a_rebuild_goes_on_where_it_was_interrupted(ledger: Ledger) -> None:
    ledger.rebuild(["downloads", "images"])
    finish(ledger, claim(ledger, "work 0", keys=["downloads", "images"]))
    ledger.rebuild(["downloads", "images"])
    assert ledger.generations()["downloads"] == (0, 1)
    assert ledger.pins(building=True)["downloads"] == (4, 4)


def test_a_second_rebuild_is_another_generation(ledger: Ledger) -> None:
    for batch, generation in ((4, 1), (5, 2)):
        ledger.rebuild(["downloads", "images"])
        finish(ledger, claim(ledger, "work 0", keys=["downloads", "images"]))
        ledger.switch()
        assert ledger.generations()["images"] == (generation, generation)
        assert ledger.pins()["images"] == (batch, batch)


def test_a_switch_without_a_rebuild_changes_nothing(ledger: Ledger) -> None:
    events = len(ledger.events())
    ledger.switch()
    assert len(ledger.events()) == events
    assert ledger.pins() == OLD
