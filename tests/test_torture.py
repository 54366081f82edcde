"""Killed, or refused by its disk, at any step: the lake opens, verifies, and a re-run reaches the same rows.

The steps are those of batches, releases, compactions, rebuilds, a removal and cleanups; `torture.live` goes
through all of them. Named points stand between the steps of the protocol; accesses to the store are counted
inside, whoever makes them.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torture
from torture import Outcome, Tormentor

from lakehouse import open_lake

POINTS = {  # name -> how often a life passes it
    "downloads:worker": 6,
    "downloads:written": 3,
    "downloads:committed": 3,
    "images:committed": 3,
    "downloads:done": 3,
    "compact:rewritten": 6,
    "compact:recorded": 6,
    "release:cut": 2,
    "release:made": 2,
    "release:committed": 2,
    "cleanup:deleted": 2,
    "cleanup:compacted": 2,
    "cleanup:dropped": 2,
    "cleanup:pruned": 2,
    "cleanup:recorded": 2,
    "removals:claimed": 1,
    "removals:requested": 1,
    "removals:withdrawn": 1,
    "removals:left:downloads": 1,
    "removals:left:images": 1,
    "removals:purged:downloads": 1,
    "removals:purged:images": 1,
    "removals:done": 1,
}
EVERY = [f"{point}:{times}" for point, most in POINTS.items() for times in range(1, most + 1)]
CHOSEN = [
    "downloads:committed:2",
    "compact:rewritten:2",
    "release:committed:2",
    "removals:left:downloads:1",
    "cleanup:deleted:1",
    "cleanup:pruned:1",
]
KILLED = (-signal.SIGKILL, -signal.SIGALRM)
STEPS = 8  # tests that share the accesses of a life


@dataclass(frozen=True)
class Victim:
    """Who lives, where from, and to what end."""

    tormentor: Tormentor
    start: Path
    end: Outcome
    sums: Mapping[str, Sequence[list[int]]]  # that a release may have, before and after the removal

    def survives(self, root: Path, **fault: str) -> tuple[int, str]:
        """Lives a new lake at `root` with `fault`, then without; what came of the first life."""
        shutil.copytree(self.start, root)
        code, said = self.tormentor.live(root, **fault)
        assert code in (0, *KILLED, torture.FAILED), said
        assert "\n" not in said
        lake = open_lake(str(root))
        assert torture.wrong(lake) == []
        for name, sums in torture.outcome(lake).items():
            assert name.startswith("head") or sums in self.sums[name], name
        if code != 0:
            lived = [self.tormentor.live(root)]
            while lived[-1][0] == -signal.SIGALRM and len(lived) < 3:
                lived.append(self.tormentor.live(root))
            assert lived[-1][0] == 0, lived
            lake = open_lake(str(root))
            assert torture.wrong(lake) == []
            assert torture.outcome(lake) == self.end
        shutil.rmtree(root)
        return code, said


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    folder = tmp_path_factory.mktemp("torture")
    torture.new(folder / "start")
    shutil.copytree(folder / "start", folder / "end")
    with torture.tormentor() as tormentor:
        assert tormentor.live(folder / "end") == (0, "0")
        end = torture.outcome(open_lake(str(folder / "end")))
        begun = torture.new(folder / "begun")
        torture.generation(begun, 0)
        whole = torture.outcome(begun)
        first = {f"first {key}": [whole[f"head {key}"], end[f"first {key}"]] for key in torture.KEYS}
        assert all(before[0] > after[0] for before, after in first.values())
        last = {f"last {key}": [end[f"last {key}"]] for key in torture.KEYS}
        yield Victim(tormentor, folder / "start", end, first | last)


@pytest.mark.parametrize("point", CHOSEN)
def test_killed_at_a_step(victim: Victim, point: str, tmp_path: Path) -> None:
    assert victim.survives(tmp_path / "lake", LAKE_CRASH_AT=point)[0] in KILLED


@pytest.mark.slow
@pytest.mark.parametrize("point", sorted(set(EVERY) - set(CHOSEN)))
def test_killed_at_any_step(victim: Victim, point: str, tmp_path: Path) -> None:
    assert victim.survives(tmp_path / "lake", LAKE_CRASH_AT=point)[0] in KILLED


@pytest.mark.parametrize("fault", ["kill:33", "kill:171", "kill:290", "error:61", "late:140", "errors:250"])
def test_stopped_at_an_access_to_the_store(victim: Victim, fault: str, tmp_path: Path) -> None:
    code, _ = victim.survives(tmp_path / "lake", LAKE_FAULT=fault)
    assert code in (KILLED if fault.startswith("kill") else (torture.FAILED,))


@pytest.mark.slow
@pytest.mark.timeout(3600)  # some forty lives
@pytest.mark.parametrize("first", range(1, STEPS + 1))
@pytest.mark.parametrize("kind", ["kill", "error", "errors", "late"])
def test_stopped_at_every_access_to_the_store(victim: Victim, kind: str, first: int, tmp_path: Path) -> None:
    """From the first access to the one that no life makes."""
    number = first
    while True:
        code, said = victim.survives(tmp_path / str(number), LAKE_FAULT=f"{kind}:{number}")
        if code == 0 and int(said) < number:
            break
        print(f"{kind}:{number} {code}", flush=True)  # with pytest -s: how far it has come
        assert code in KILLED or kind != "kill"
        number += STEPS
    print(f"{kind}: {(number - first) // STEPS} lives from {first}")
    assert number > 100
