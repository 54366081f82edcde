"""The life of a small lake, in steps that can be interrupted anywhere, and a process to interrupt.

`live` makes batches, releases, compactions, rebuilds, a removal and a cleanup through the real protocol,
without a cluster; what was done is not done again, so that calling it once more goes on. Run as a program
it is asked, line by line, to do so with faults armed, each time in a child that is forked before any engine
has run: starting Python anew for each of some hundred kills would take longer than the kills.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import synthetic
from lakes import stored

from lakehouse import batch, care, cleanup, faults, lake, releases, removal, requests, soundness
from lakehouse.errors import LakeError
from lakehouse.events import REMOVALS
from lakehouse.lake import Lake, open_lake
from lakehouse.verification import LEFT_OVER

KEYS = ("downloads", "images")
HOST = "host-3.test"  # is removed: a fifth of the rows, of every generation
GENERATIONS = 3  # the first is pinned by a release, the second by nothing
SECONDS = 120  # for one life; forked engines hang now and then, and then SIGALRM kills that life, too
FAILED, BROKEN = 3, 4  # exit codes: an error in words, anything else that is wrong

Outcome = dict[str, list[int]]  # per release and key: rows, and the sum of their hashes


def new(root: Path) -> Lake:
    """A lake with a source, and nothing done yet."""
    return synthetic.new(root, units=1)


def live(made: Lake) -> None:
    """Everything once: what an interrupted life has done already is left as it is."""
    removal.complete(made)
    for number in range(GENERATIONS):
        generation(made, number)
        if number == 0:
            _release(made, "first")
        for name in KEYS:
            care.compact(made, name)
    if not made.ledger.done(REMOVALS):
        asked = requests.request(made.settings.candidates, {"host": [HOST]})
        removal.remove(made, asked, "asked for")
    cleanup.clean(made, cleanup.plan(made, timedelta(0)))
    _release(made, "last")


def generation(made: Lake, number: int) -> None:
    """Makes all rows as generation `number`, and lets readers see it."""
    current, building = made.ledger.generations().get(KEYS[0], (0, 0))
    if building < number:
        made.ledger.rebuild(KEYS)
    if number not in {event["generation"] for event in made.ledger.done(KEYS[0])}:
        claim = made.ledger.claim(KEYS, ["unit-0"], "rules", "all", "{}")
        try:
            if claim.takeover:
                batch.recover(made, claim)
            targets = [batch.target(made, key) for key in KEYS]
            frames = [synthetic.make(part, "unit-0", "") for part in range(2)]
            parts = [batch.write_part(frame, targets, claim.batch, KEYS[0]) for frame in frames]
            batch.finish(made, claim, [one for some in parts for one in some], time.monotonic(), {}, {})
        except LakeError:
            made.ledger.leave(claim)
            raise
    if current < number:
        made.ledger.switch()


def _release(made: Lake, name: str) -> None:
    if name not in [release.name for release in releases.list_releases(made)]:
        releases.create(made, name)


def outcome(made: Lake) -> Outcome:
    """What releases and head read."""
    found = {f"head {key}": list(stored(made, key)) for key in made.pins()}
    for release in releases.list_releases(made):
        seen = lake.open_lake(made.storage.root, release=release.name)
        found.update({f"{release.name} {key}": list(stored(seen, key)) for key in release.pins})
    return found


def wrong(made: Lake) -> list[str]:
    """What does not verify, but for what a crash may leave."""
    return [str(f) for f in soundness.inspect(made) if f.kind not in LEFT_OVER]


class Tormentor:
    """The process that lives lakes in children of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def live(self, root: Path, **environment: str) -> tuple[int, str]:
        """`live` in a child; its exit code (negative: the signal) and what it said."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([str(root), environment]) + "\n")
        self.process.stdin.flush()
        code, said = json.loads(self.process.stdout.readline())
        return code, said


@contextmanager
def tormentor() -> Iterator[Tormentor]:
    """Starts the program."""
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here.parent), str(here)])
    variables = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": paths}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", __file__],  # Lance warns of forks
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
    )
    try:
        yield Tormentor(process)
    finally:
        process.kill()
        process.communicate()


def _child(root: str, environment: Mapping[str, str], out: int) -> None:
    signal.alarm(SECONDS)
    os.environ.update(environment)
    code, said = 0, ""
    try:
        live(open_lake(root))
        said = str(faults._passed[faults.FAULT])
    except LakeError as error:
        code, said = FAILED, str(error)
    except Exception as error:  # noqa: BLE001  whatever it is, the test has to hear of it
        code, said = BROKEN, f"{type(error).__name__}: {error}"
    with os.fdopen(out, "w") as pipe:
        pipe.write(said)
    os._exit(code)


def main() -> None:
    """Answers requests until the input ends."""
    for line in sys.stdin:
        root, environment = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _child(root, environment, writing)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            said = pipe.read()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps([code, said]), flush=True)


if __name__ == "__main__":
    main()
