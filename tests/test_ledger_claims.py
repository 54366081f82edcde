"""A claim is the right to write one batch; finishing it makes the batch visible in all tables at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from drivers import claim, finish, new_ledger

from lakehouse.errors import ConflictError, LakeError
from lakehouse.fingerprints import Fingerprint
from lakehouse.ledger import Ledger, Result, Source
from lakehouse.storage import Storage
from lakehouse.tables import DataFile


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return new_ledger(tmp_path)


def other(ledger: Ledger) -> Ledger:
    """The same ledger, as somebody else opens it."""
    return Ledger(ledger.storage)


def test_a_new_ledger_is_empty(ledger: Ledger, tmp_path: Path) -> None:
    assert ledger.events() == []
    assert ledger.pins() == {}
    assert Ledger(Storage(str(tmp_path / "nowhere"))).pins() == {}


def test_batches_are_numbered_from_one_and_become_pins(ledger: Ledger) -> None:
    for number in (1, 2, 3):
        held = claim(ledger, f"work {number}")
        assert (held.batch, held.attempt, held.takeover) == (number, 1, False)
        finish(ledger, held)
        assert other(ledger).pins() == {"things": (1, number)}


def test_keys_count_for_themselves(ledger: Ledger) -> None:
    finish(ledger, claim(ledger, "a", keys=["scores/x"]))
    finish(ledger, claim(ledger, "b", keys=["scores/x"]))
    finish(ledger, claim(ledger, "a", keys=["scores/y"]))
    assert ledger.pins() == {"scores/x": (1, 2), "scores/y": (1, 1)}


def test_a_claimed_batch_is_invisible_and_all_its_keys_appear_at_once(ledger: Ledger) -> None:
    held = claim(ledger, "work", keys=["downloads", "images"])
    reader = other(ledger)
    assert reader.pins() == {}
    ledger.renew(held)
    assert reader.pins() == {}
    before = len(reader.events())
    finish(ledger, held)
    assert reader.pins() == {"downloads": (1, 1), "images": (1, 1)}
    assert len(reader.events()) == before + 2
    done = {e["at"] for e in reader.done()}
    assert len(done) == 1, "one commit"


def test_a_second_claim_of_this_process_is_refused(ledger: Ledger) -> None:
    held = claim(ledger, "work")
    with pytest.raises(ConflictError, match="things: batch 1 is claimed by"):
        claim(other(ledger), "work")
    finish(ledger, held)
    assert claim(other(ledger), "more").batch == 2


def test_giving_up_frees_the_number(ledger: Ledger) -> None:
    ledger.abandon(claim(ledger, "work"))
    again = claim(ledger, "work")
    assert (again.batch, again.attempt, again.takeover) == (1, 2, False)
    ledger.abandon(again)
    third = claim(ledger, "work")
    assert (third.batch, third.attempt) == (1, 3)
    finish(ledger, third)
    assert ledger.pins() == {"things": (1, 1)}
    assert (claim(ledger, "next").batch, claim(ledger, "x", keys=["more"]).attempt) == (2, 1)


@pytest.mark.parametrize("act", ["renew", "abandon", "finish"])
def test_a_claim_that_ended_can_do_nothing_more(ledger: Ledger, act: str) -> None:
    held = claim(ledger, "work")
    finish(ledger, held)
    events = ledger.events()
    with pytest.raises(ConflictError, match="batch 1 was ended"):
        finish(ledger, held) if act == "finish" else getattr(ledger, act)(held)
    assert ledger.events() == events


def test_works_that_another_driver_has_done_meanwhile_are_refused(ledger: Ledger) -> None:
    """Two drivers plan the same works; the second may not make their rows a second time."""
    finish(ledger, claim(other(ledger), "a", "b"))
    with pytest.raises(LakeError, match=r"another driver has done b meanwhile, in batch 1: run again"):
        claim(ledger, "b", "c")
    assert ledger.claim(["things"], ["b"], "rules", "view:x", "{}").batch == 2, "another selection"


def test_a_done_event_is_the_run_report(ledger: Ledger) -> None:
    file = DataFile("things/a.parquet", 5, 99, "ab" * 32, "{}")
    counts = {("u", "in"): 7, ("u", "drop:bad"): 2}
    total = Fingerprint((1 << 128) - 1, 5)
    held = claim(ledger, "w1", "w2")
    ledger.finish(held, {"things": Result(5, 99, counts, [file], total, 3)}, 1.5, '{"tasks": 4}')
    (event,) = other(ledger).done("things")
    assert event["units"] == ["w1", "w2"]
    assert (event["rows"], event["bytes"], event["seconds"], event["version"]) == (5, 99, 1.5, 3)
    assert event["counts"] == [{"unit": "u", "name": "drop:bad", "n": 2}, {"unit": "u", "name": "in", "n": 7}]
    assert event["files"] == [{"path": "things/a.parquet", "sha256": "ab" * 32, "bytes": 99}]
    assert (int(event["whole"], 16), int(event["content"], 16)) == (total.whole, total.content)
    assert (event["fingerprint"], event["selection"]) == ("rules", "all")


def test_sources_keep_their_order_and_are_found_once(ledger: Ledger) -> None:
    def adding(*names: str) -> list[Source]:
        def found(known: list[Source]) -> list[Source]:
            have = {s.unit for s in known}
            new = [name for name in names if name not in have]
            return [Source(name, f"/{name}", "wat", len(known) + i) for i, name in enumerate(new)]

        return other(ledger).add_sources(found)

    assert [s.unit for s in adding("b", "a")] == ["b", "a"]
    assert [s.unit for s in adding("a", "c")] == ["c"]
    assert adding("a") == []
    assert [s.unit for s in ledger.sources()] == ["b", "a", "c"]
