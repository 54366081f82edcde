"""SIGKILL of the driver or of workers in each real stage: the next run makes the lake whole.

Meanwhile a reader looks on through the views: it never sees a batch in part, nor one less than before.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree

import demo_lake
import pytest
from demo_lake import Content, Crawl
from distributed import Client

from lakehouse import views
from lakehouse.lake import Lake, open_lake

SCORERS = ("similarity_demo", "toxicity_profanity_check")
STAGES = (
    "candidates",
    "downloads",
    "embeddings_demo",
    "scores/similarity_demo",
    "scores/toxicity_profanity_check",
)
BATCHES = 2  # of each stage
POLL_SECONDS = 0.5  # between two looks at the lake
TORN = ("batches_differ_from_ledger", "duplicate_sample_ids", "duplicate_attempts", "duplicate_scores")
LOOK = ", ".join(f"(select count(*) from {audit}) as {audit}" for audit in TORN)
POINTS = {stage: (f"{stage}:written", f"{stage}:committed", f"{stage}:done") for stage in STAGES}
POINTS["downloads"] += ("images:committed",)
CHOSEN = [
    ("candidates", "candidates:committed:1"),
    ("downloads", "images:committed:2"),
    ("scores/toxicity_profanity_check", "scores/toxicity_profanity_check:committed:2"),
]
EVERY = [(stage, f"{point}:{times}") for stage in STAGES for point in POINTS[stage] for times in (1, 2)]


@dataclass(frozen=True)
class Undisturbed:
    """A lake that nothing happened to: copies of it as it stood before each stage, and what it holds."""

    folder: Path
    content: dict[str, Content]

    def before(self, stage: str, root: Path) -> Lake:
        """A copy, at `root`, of the lake as it stood before `stage` was run."""
        copytree(self.folder / str(STAGES.index(stage)), root)
        return open_lake(str(root))


@pytest.fixture(scope="module")
def undisturbed(few_crawl: Crawl, client: Client, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    made = few_crawl.lake(folder / "lake", units=1, rows=64, scorers=SCORERS)
    for number, stage in enumerate(STAGES):
        copytree(made.storage.root, folder / str(number))
        assert demo_lake.built(made, client, [stage]) == BATCHES
    return Undisturbed(folder, demo_lake.content(made))


@contextmanager
def reader(root: str) -> Iterator[list[str]]:
    """Polls the lake as `lake sql` does; yields what it found wrong."""
    stop, wrong = threading.Event(), []

    def watch() -> None:
        lake, before = open_lake(root), {}
        while not stop.is_set():
            pins = lake.pins()
            if any(pins.get(key, (0, 0))[1] < high for key, (_, high) in before.items()):
                wrong.append(f"{before} became {pins}")
            if pins.get("downloads") != pins.get("images"):
                wrong.append(f"downloads and images apart: {pins}")
            (found,) = views.query(lake, f"select {LOOK}").to_pylist()
            if any(found.values()):
                wrong.append(f"{pins}: {found}")
            before = pins
            stop.wait(POLL_SECONDS)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield wrong
    finally:
        stop.set()
        thread.join()


def killed_and_continued(lake: Lake, stage: str, point: str, client: Client) -> None:
    """Has a driver killed at `point` of `stage`, and lets a new one go on."""
    times = int(point.rpartition(":")[2])
    done = times if ":done:" in point else times - 1
    with reader(lake.storage.root) as wrong:
        driver = demo_lake.drive(
            lake.storage.root, stage, SCHEDULER=client.scheduler.address, LAKE_CRASH_AT=point
        )
        assert driver.returncode == demo_lake.KILLED, driver.stderr
        assert lake.pins().get(stage, (1, 0)) == (1, done)
        assert demo_lake.built(lake, client, [stage]) == BATCHES - done
    assert wrong == []


@pytest.mark.parametrize(("stage", "point"), CHOSEN)
def test_a_driver_is_killed(
    stage: str, point: str, undisturbed: Undisturbed, client: Client, tmp_path: Path
) -> None:
    lake = undisturbed.before(stage, tmp_path / "lake")
    killed_and_continued(lake, stage, point, client)
    assert demo_lake.content(lake) == {key: undisturbed.content[key] for key in lake.pins()}
    demo_lake.assert_sound(lake)


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "point"), sorted(set(EVERY) - set(CHOSEN)))
def test_a_driver_is_killed_anywhere(
    stage: str, point: str, undisturbed: Undisturbed, client: Client, tmp_path: Path
) -> None:
    lake = undisturbed.before(stage, tmp_path / "lake")
    killed_and_continued(lake, stage, point, client)
    demo_lake.built(lake, client, STAGES)
    assert demo_lake.content(lake) == undisturbed.content
    demo_lake.assert_sound(lake)


def arm(point: str) -> None:
    """Runs on a worker: lets it die at `point`. The one that Dask starts in its place does not know of it."""
    os.environ["LAKE_CRASH_AT"] = point


@pytest.mark.parametrize(
    "stage",
    ["downloads", *[pytest.param(s, marks=pytest.mark.slow) for s in STAGES if s != "downloads"]],
)
def test_workers_are_killed(stage: str, undisturbed: Undisturbed, client: Client, tmp_path: Path) -> None:
    """Every worker dies right before it would store its first rows; Dask starts new ones."""
    lake = undisturbed.before(stage, tmp_path / "lake")
    before = set(client.run(os.getpid).values())
    client.run(arm, f"{stage}:worker")
    with reader(lake.storage.root) as wrong:
        assert demo_lake.built(lake, client, [stage]) == BATCHES
    client.wait_for_workers(len(before), timeout=60)
    assert set(client.run(os.getpid).values()) != before
    client.run(arm, "")
    assert wrong == []
    assert demo_lake.content(lake) == {key: undisturbed.content[key] for key in lake.pins()}
    demo_lake.assert_sound(lake)
