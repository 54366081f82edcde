"""Claims of other drivers: respected while they may live, taken over when they cannot."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from drivers import claim, finish, holder, new_ledger

from lakehouse.errors import ConflictError


def test_the_claim_of_a_live_process_is_respected_whatever_the_time(tmp_path: Path) -> None:
    """On this machine a process is looked up: a driver that is slow, or stopped, keeps its claim."""
    ledger = new_ledger(tmp_path)
    with holder(str(tmp_path), lease=0) as process:
        os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(ConflictError, match=rf"claimed by \S+:{process.pid}:.*--wait.*stop that driver"):
            claim(ledger, "work")


def test_the_claim_of_a_dead_process_is_taken_over_at_once(tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path)
    with holder(str(tmp_path)) as process:
        process.kill()
        process.wait()
        taken = claim(ledger, "work")
    assert (taken.batch, taken.attempt, taken.takeover) == (1, 2, True)
    finish(ledger, taken)
    assert ledger.pins() == {"things": (1, 1)}


def test_a_zombie_is_dead(tmp_path: Path) -> None:
    """A killed driver whose parent never waits for it, as happens in containers."""
    ledger = new_ledger(tmp_path)
    with holder(str(tmp_path)) as process:
        process.kill()
        for _ in range(100):
            if Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                break
            time.sleep(0.05)
        assert claim(ledger, "work").takeover


def test_a_claim_of_another_machine_holds_until_its_lease_ends(tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path)
    with holder(str(tmp_path), host="elsewhere", lease=2) as process:
        started = time.monotonic()
        process.kill()
        with pytest.raises(ConflictError, match=r"claimed by elsewhere.* until \d\d:\d\d:\d\d UTC"):
            claim(ledger, "work")
        while time.monotonic() - started < 20:
            try:
                taken = claim(ledger, "work")
                break
            except ConflictError:
                time.sleep(0.1)
        assert taken.takeover
        assert time.monotonic() - started > 1


def test_who_lost_the_claim_can_neither_renew_nor_finish_nor_give_up(tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path)
    from datetime import timedelta

    from lakehouse import events
    from lakehouse import ledger as module

    lease, place = module.LEASE, events._place
    try:
        module.LEASE, events._place = timedelta(0), lambda: "elsewhere"
        lost = claim(ledger, "work")
    finally:
        module.LEASE, events._place = lease, place
    taken = claim(new_ledger(tmp_path), "work")
    assert taken.takeover
    for act in (ledger.renew, ledger.abandon, lambda held: finish(ledger, held)):
        with pytest.raises(ConflictError, match="batch 1 was taken over by"):
            act(lost)
    finish(ledger, taken)
    assert ledger.pins() == {"things": (1, 1)}
