"""The demo's web as lakes for tests: whole or its first pages, built by the real stages over real HTTP."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pyarrow as pa
import pytest
from distributed import Client

from lakehouse import cluster, lake, run, settings, sources, views
from lakehouse.demo import pages, server, wat
from lakehouse.demo.sites import Web
from lakehouse.fingerprints import fingerprint
from lakehouse.lake import Lake
from lakehouse.stages import Options, Stage, stages
from lakehouse.tables import Range

FILES = 4  # WAT files that the web is written to
FEW_PAGES = (33, 34, 36, 44, 37, 41, 46)  # some hundred links; the second file repeats some of the first
READ_SECONDS = 4.0  # between the demo's slow answers (0.4 s) and its stuck one (120 s), on a busy machine

TOML = """
[lake]
schema = 1
[network]
user_agent = "PairlakeTest/0.1 (+https://pictures.emoji.test/contact)"
resolve = {{"*.test" = "{address}"}}
host_delay_seconds = 0
[downloads]
read_seconds = {read_seconds}
retries = 0
[batches]
units = {units}
rows = {rows}
[models.demo]
[scores]
scorers = {scorers}
"""


@cache
def web() -> Web:
    """The demo's web."""
    return pages.build()


@dataclass(frozen=True)
class Crawl:
    """WAT files, and where the web that they tell of is served."""

    files: tuple[Path, ...]
    address: str

    def lake(
        self,
        root: Path,
        units: int = 2,
        rows: int = 128,
        scorers: Sequence[str] = (),
        files: int | None = None,
    ) -> Lake:
        """A new lake with the crawl's files (the first `files` of them) registered, and nothing done yet."""
        text = TOML.format(
            address=self.address, read_seconds=READ_SECONDS, units=units, rows=rows, scorers=list(scorers)
        )
        made = lake.init(str(root), text)
        sources.add(made, "wat", [str(file) for file in self.files[:files]])
        return made


@pytest.fixture(scope="session")
def demo_address() -> Iterator[str]:
    """Where the demo's web is served."""
    with server.serve(web()) as (host, port):
        yield f"{host}:{port}"


@pytest.fixture(scope="session")
def demo_crawl(demo_address: str, tmp_path_factory: pytest.TempPathFactory) -> Crawl:
    """The crawl of the whole web."""
    files = wat.write_wats(web(), tmp_path_factory.mktemp("crawl"), FILES)
    return Crawl(tuple(files), demo_address)


@pytest.fixture(scope="session")
def few_crawl(demo_address: str, tmp_path_factory: pytest.TempPathFactory) -> Crawl:
    """A crawl of a few pages, in two files."""
    few = replace(web(), pages=tuple(web().pages[number] for number in FEW_PAGES))
    files = wat.write_wats(few, tmp_path_factory.mktemp("few"), 2)
    return Crawl(tuple(files), demo_address)


@pytest.fixture(scope="session")
def demo(demo_crawl: Crawl, client: Client, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The lake with all that `lake demo` builds, made once for all test processes; they only read it."""
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (folder / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "demo.done"
        if done.exists():
            return lake.open_lake(str(folder / "demo-lake"))
        made = demo_crawl.lake(folder / "demo-lake")
        run.run(made, client, stages(made))
        done.touch()
        return made


@dataclass(frozen=True)
class Content:
    """What must not depend on workers, batches or accidents."""

    rows: int
    keys: int
    fingerprint: int


def read(lake: Lake, key: str, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of a ledger key that a reader of head sees, read back from its table."""
    low, high = lake.pins()[key]
    return lake.table(key).arrow([Range(low, high, key.partition("/")[2] or None)], columns)


def content(lake: Lake) -> dict[str, Content]:
    """Per ledger key: rows, different keys, and the sum of the rows' hashes over content columns."""
    found = {}
    for key in sorted(lake.pins()):
        rows = read(lake, key)
        names = lake.spec(key.partition("/")[0]).key
        keys = set(zip(*[rows[name].to_pylist() for name in names], strict=True))
        found[key] = Content(len(rows), len(keys), fingerprint(rows).content)
    return found


def assert_sound(lake: Lake) -> None:
    """No audit finds anything, and no key is there twice."""
    assert {name: rows.to_pylist() for name, rows in views.audits(lake).items() if len(rows)} == {}
    for key, found in content(lake).items():
        assert found.rows == found.keys, key
        assert found.rows == sum(e["rows"] for e in lake.ledger.done(key) if pinned(lake, key, e["batch"]))


def pinned(lake: Lake, key: str, batch: int) -> bool:
    """Whether a reader of head sees the batch."""
    low, high = lake.pins()[key]
    return low <= batch <= high


def counts(lake: Lake, key: str) -> Counter[str]:
    """The ledger's counts of a key over all batches that a reader sees, by name."""
    total: Counter[str] = Counter()
    for event in lake.ledger.done(key):
        if pinned(lake, key, event["batch"]):
            for count in event["counts"]:
                total[count["name"]] += count["n"]
    return total


def built(made: Lake, client: Client, names: Sequence[str] = (), options: Options | None = None) -> int:
    """Runs the stages of these names or kinds (all where none is given); returns the batches committed."""
    return run.run(made, client, chosen(made, names), options)


def chosen(made: Lake, names: Sequence[str] = ()) -> list[Stage]:
    """The stages of these names or kinds, all where none is given."""
    return [s for s in stages(made) if not names or {s.name, s.kind} & set(names)]


def drive(root: Path | str, *names: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`built` in a driver process of its own; `SCHEDULER` names a cluster that exists."""
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here.parent), str(here)])
    return subprocess.run(
        [sys.executable, "-c", "import demo_lake; demo_lake.main()", str(root), *names],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


def main() -> None:
    """The driver that `drive` starts."""
    made = lake.open_lake(sys.argv[1])
    here = settings.Cluster(scheduler=os.environ.get("SCHEDULER", ""), workers=1)
    with cluster.connect(here) as client:
        print(built(made, client, sys.argv[2:]))


KILLED = -signal.SIGKILL
