"""`lake rebuild`: readers stay on the old generation until the new one is complete; releases stay."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shutil import copytree

import demo_lake
import pytest
from demo_lake import Crawl
from distributed import Client

from lakehouse import lake as lakes
from lakehouse import releases, run, views
from lakehouse.errors import RulesChangedError
from lakehouse.lake import Lake
from lakehouse.run import Progress
from lakehouse.stages import Stage, stages

STAGES = ("candidates", "downloads", "scores/toxicity_profanity_check")  # embeddings were never asked for


class InterruptedRunError(Exception):
    """Stands for Ctrl-C."""


@pytest.fixture(scope="module")
def built(few_crawl: Crawl, client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Candidates, downloads and their texts' scores, in two batches each."""
    root = tmp_path_factory.mktemp("built") / "lake"
    made = few_crawl.lake(root, units=1, scorers=[STAGES[2].partition("/")[2]])
    demo_lake.built(made, client, STAGES)
    return root


@pytest.fixture
def lake(built: Path, tmp_path: Path) -> Lake:
    """A copy of it."""
    copytree(built, tmp_path / "lake")
    return lakes.open_lake(str(tmp_path / "lake"))


def told(lake: Lake, text: str) -> Lake:
    """The lake after its owner has written `text` under [candidates] in lake.toml."""
    path = Path(lake.storage.root) / "lake.toml"
    kept = path.read_text().partition("[candidates]")[0]
    path.write_text(f"{kept}[candidates]\n{text}\n")
    return lakes.open_lake(lake.storage.root)


def rebuild(lake: Lake, client: Client, names: Sequence[str], stop_after: int = 1000) -> list[dict[str, int]]:
    """Rebuilds, and says what a reader saw after each batch; may stop after so many."""
    seen: list[dict[str, int]] = []

    def look(stage: Stage, works: int) -> None:
        seen.append(rows(lake))
        if len(seen) == stop_after:
            raise InterruptedRunError

    run.rebuild(lake, client, names, progress=Progress(batch=look))
    return seen


def rows(lake: Lake) -> dict[str, int]:
    """What a reader counts."""
    tables = ("candidates", "downloads", "scores")
    (found,) = views.query(
        lake, f"select {', '.join(f'(select count(*) from {t}) as {t}' for t in tables)}"
    ).to_pylist()
    return dict(found)


def stale(lake: Lake) -> dict[str, tuple[str, ...]]:
    return {stage.name: plan.stale for stage in stages(lake) if (plan := run.plan(lake, stage)).stale}


def test_changed_rules_are_named_and_refused(lake: Lake, client: Client) -> None:
    assert stale(lake) == {}
    before = demo_lake.content(lake)
    lake = told(lake, "min_text_chars = 25")
    assert stale(lake) == {"candidates": ("min_text_chars: 5 -> 25",)}
    with pytest.raises(RulesChangedError, match=r"min_text_chars: 5 -> 25.*lake rebuild candidates"):
        demo_lake.built(lake, client, ["candidates"])
    assert demo_lake.content(lake) == before
    assert stale(told(lake, "")) == {}, "the rules were put back"


def test_readers_change_over_at_the_end(lake: Lake, client: Client) -> None:
    before, pins = rows(lake), lake.pins()
    releases.create(lake, "old")
    lake = told(lake, "min_text_chars = 25")
    seen = rebuild(lake, client, ["candidates"])
    after = rows(lake)
    assert len(seen) == 6
    assert seen == [before] * len(seen)
    assert 0 < after["candidates"] < before["candidates"]
    texts = demo_lake.read(lake, "candidates", ["text"])["text"].to_pylist()
    assert min(map(len, texts)) >= 25
    for key, (low, high) in lake.pins().items():
        assert (low, high) == (pins[key][1] + 1, pins[key][1] + 2)
    demo_lake.assert_sound(lake)
    assert stale(lake) == {}

    (old,) = views.query(lake, "select count(*) as n from candidates", release="old").to_pylist()
    assert old["n"] == before["candidates"]
    assert releases.verify(lake, "old") == []
    assert {name: len(found) for name, found in views.audits(lake, "old").items() if len(found)} == {}


@pytest.mark.slow
def test_a_rebuild_by_the_same_rules_gives_the_same(lake: Lake, client: Client) -> None:
    before = demo_lake.content(lake)
    rebuild(lake, client, ["downloads"])
    assert demo_lake.content(lake) == before
    generations = {key: current for key, (current, _) in lake.ledger.generations().items() if key in before}
    assert generations == {**dict.fromkeys(before, 0), "downloads": 1, "images": 1}


@pytest.mark.parametrize("batches", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_an_interrupted_rebuild_is_gone_on_with(lake: Lake, client: Client, batches: int) -> None:
    before = demo_lake.content(lake)
    with pytest.raises(InterruptedRunError):
        rebuild(lake, client, ["candidates"], stop_after=batches)
    assert demo_lake.content(lake) == before
    demo_lake.assert_sound(lake)
    lake = lakes.open_lake(lake.storage.root)
    if batches == 1:
        assert demo_lake.built(lake, client, STAGES) > 0, "a plain run goes on with it"
    else:
        assert len(rebuild(lake, client, ["scores"])) > 0, "all of it, even if asked for a part"
    assert {lake.ledger.generations()[key] for key in before} == {(1, 1)}
    assert demo_lake.content(lake) == before
    demo_lake.assert_sound(lake)


def test_rules_may_change_during_a_rebuild(lake: Lake, client: Client) -> None:
    """What the interrupted rebuild made by the rules of then does not stand in the way of those of now."""
    lake = told(lake, "min_text_chars = 25")
    with pytest.raises(InterruptedRunError):
        rebuild(lake, client, ["candidates"], stop_after=3)
    lake = told(lake, "min_text_chars = 20")
    with pytest.raises(RulesChangedError, match="min_text_chars: 25 -> 20"):
        demo_lake.built(lake, client, ["candidates"])
    rebuild(lake, client, ["candidates"])
    texts = demo_lake.read(lake, "candidates", ["text"])["text"].to_pylist()
    assert 20 <= min(map(len, texts)) < 25
    demo_lake.assert_sound(lake)
