"""Somebody's own function as a scorer: an entry in lake.toml, and nothing else is computed again."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from distributed import Client
from doc_pages import ROOT, blocks

from lakehouse import LakeError, UsageError, open_lake, run, views
from lakehouse.lake import Lake, init
from lakehouse.stages import chosen, stages
from tests import lakes
from transforms.scores import Call, ScorerError

LENGTH = """
def length(frame):
    return frame["text"].str.len() / 10
"""
ENTRY = '[scorers.wordy_length]\ncallable = "lengths:length"\nneeds = "texts"\n'


def entry(lake: Lake, text: str, source: str = LENGTH) -> Lake:
    Path(lake.storage.root, "lengths.py").write_text(source)
    with Path(lake.storage.root, "lake.toml").open("a") as file:
        file.write(text)
    return open_lake(lake.storage.root)


@pytest.fixture
def small(tmp_path: Path) -> Lake:
    return lakes.small(tmp_path / "lake")


def test_a_new_scorer_computes_nothing_else(small: Lake, client: Client) -> None:
    before = {event["key"]: event["at"] for event in small.ledger.done()}
    lake = entry(small, ENTRY)
    assert run.run(lake, client, chosen(lake, ["scores/wordy_length"])) == 2
    rows = views.query(
        lake, "select text, value from scores join candidates using (sample_id) where scorer like 'wordy%'"
    )
    assert {row["text"]: row["value"] for row in rows.to_pylist()} == {
        f"a picture of {name}": pytest.approx((13 + len(name)) / 10) for name in ("apple", "pear", "plum")
    }
    after = {event["key"]: event["at"] for event in lake.ledger.done()}
    assert after.pop("scores/wordy_length")
    assert after == before
    assert not len(views.audits(lake)["rows_not_accounted_for"])


def test_its_source_is_in_the_fingerprint(small: Lake, client: Client) -> None:
    lake = entry(small, ENTRY)
    (stage,) = chosen(lake, ["scores/wordy_length"])
    run.run(lake, client, [stage])
    assert run.plan(lake, stage).fresh
    changed = LENGTH.replace("10", "11")
    Path(lake.storage.root, "lengths.py").write_text(changed)
    plan = run.plan(lake, stage)
    assert [why.partition(":")[0] for why in plan.stale] == ["source_sha256"]
    assert hashlib.sha256(changed.encode()).hexdigest() in plan.stale[0]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (LENGTH.replace('"text"', '"caption"'), r"lengths:length, line 3: KeyError: 'caption'"),
        ("def length(frame):\n    return [1.0]\n", r"lengths:length gave 1 values for 2 rows"),
        ("def width(frame):\n    return 1\n", r"lengths:length: the module has no function 'length'"),
        ("def length(frame):\n    return ['long'] * len(frame)\n", r"lengths:length: \w+: .*long"),
    ],
)
def test_what_is_wrong_with_it_is_said_in_one_line(
    small: Lake, client: Client, source: str, message: str
) -> None:
    name = f"wordy_{hashlib.sha256(source.encode()).hexdigest()[:6]}"
    lake = entry(small, ENTRY.replace("wordy_length", name), source)
    module = f"lengths_{name}"  # workers outlive a test, and keep a module that they have
    Path(lake.storage.root, "lengths.py").rename(Path(lake.storage.root, f"{module}.py"))
    path = Path(lake.storage.root, "lake.toml")
    path.write_text(path.read_text().replace("lengths:", f"{module}:"))
    lake = open_lake(lake.storage.root)
    with pytest.raises(LakeError, match=message.replace("lengths:", f"{module}:")) as error:
        run.run(lake, client, chosen(lake, [f"scores/{name}"]))
    assert "\n" not in str(error.value)
    assert len(lake.ledger.done(f"scores/{name}")) == 0


@pytest.mark.parametrize("source", ["def length(:\n", "import not_there_at_all\n"])
def test_a_module_that_does_not_load(tmp_path: Path, source: str) -> None:
    Path(tmp_path, "broken.py").write_text(source)
    with pytest.raises(ScorerError, match=r"broken:length.*(SyntaxError|ModuleNotFoundError)"):
        Call("broken:length", str(tmp_path)).values(pd.DataFrame({"text": ["a"]}))


def test_a_module_that_is_nowhere(small: Lake, client: Client) -> None:
    lake = entry(small, ENTRY.replace("lengths:", "nowhere:"))
    with pytest.raises(LakeError, match=r"nowhere\.py is not there, and no module 'nowhere' can be imported"):
        run.run(lake, client, chosen(lake, ["scores/wordy_length"]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[scorers.x]\nneeds = "texts"', "needs `callable`"),
        ('[scorers.x]\ncallable = "a"\nneeds = "texts"', "expected module:function"),
        ('[scorers.x]\ncallable = "a:b"\nneeds = "sounds"', "expected one of vectors, pictures, texts"),
        ('[scorers.x]\ncallable = "a:b"\nneeds = "vectors"\nmodel = "l14"', "there are b32"),
        ('[scorers.x]\ncallable = "a:b"\nneeds = "texts"\nweights = "w"', "weights and sha256 go together"),
        ('[scorers.punsafe_b32]\ncallable = "a:b"\nneeds = "texts"', "there is a scorer of that name"),
        ('[scorers.X-y]\ncallable = "a:b"\nneeds = "texts"', "lower-case letters"),
    ],
)
def test_an_entry_that_makes_no_sense(tmp_path: Path, text: str, message: str) -> None:
    lake = init(str(tmp_path / "lake"))
    with pytest.raises(UsageError, match=message):
        entry(lake, text)


def test_values_may_be_missing_and_weights_are_checked(tmp_path: Path) -> None:
    Path(tmp_path, "heavy.py").write_text(
        "def heavy(frame, weights):\n    return [None, float(weights.read_text()), float('nan')]\n"
    )
    file = tmp_path / "weights"
    file.write_text("2.5")
    frame = pd.DataFrame({"text": ["a", "b", "c"]})
    good = Call("heavy:heavy", str(tmp_path), str(file), hashlib.sha256(b"2.5").hexdigest())
    np.testing.assert_array_equal(good.values(frame), np.array([np.nan, 2.5, np.nan], np.float32))
    with pytest.raises(ScorerError, match=r"have the sha256 [0-9a-f]{64}, not 00"):
        Call("heavy:heavy", str(tmp_path), str(file), "00").values(frame)
    with pytest.raises(ScorerError, match=r"cannot be read: No such file"):
        Call("heavy:heavy", str(tmp_path), str(tmp_path / "gone"), "00").values(frame)


def test_the_example_of_the_docs_works(small: Lake, client: Client) -> None:
    """The function and the entry as they stand in docs/operations.md."""
    page = ROOT / "docs" / "operations.md"
    (source,) = [b.text for b in blocks("python") if b.page == page and "def share_of_capitals" in b.text]
    (told,) = [b.text for b in blocks("toml") if b.page == page and "share_of_capitals" in b.text]
    module = told.partition('callable = "')[2].partition(":")[0]
    Path(small.storage.root, f"{module}.py").write_text(source)
    lake = entry(small, told)
    (stage,) = [s for s in stages(lake) if s.name == "scores/loudness"]
    run.run(lake, client, [stage])
    rows = views.query(
        lake, "select text, value from scores join candidates using (sample_id) where scorer = 'loudness'"
    )
    assert rows["value"].to_pylist() == [0.0] * 3
    shutil.rmtree(Path(lake.storage.root) / "__pycache__", ignore_errors=True)
