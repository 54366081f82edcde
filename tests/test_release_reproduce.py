"""A release is made again from what it recorded, and what differs is found and named."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest
from deltalake import DeltaTable
from demo_lake import Crawl, assert_sound, built, content
from distributed import Client

from lakehouse import LakeError, UsageError, open_lake, releases, removal, requests, sources, views
from lakehouse.lake import Lake
from lakehouse.reproduce import Outcome, reproduce
from lakehouse.stages import Options
from tests import commands, lakes
from transforms.downloads.status import DownloadStatus

pytestmark = pytest.mark.slow  # a lake is built twice: minutes on two cores

FOLLOWING = "stored_pairs"  # not made again: they follow from the others


@pytest.fixture(scope="module")
def files(few_crawl: Crawl, tmp_path_factory: pytest.TempPathFactory) -> Crawl:
    """The crawl's files, to be changed by a test at its end."""
    folder = tmp_path_factory.mktemp("files")
    return Crawl(tuple(Path(shutil.copy(file, folder)) for file in few_crawl.files), few_crawl.address)


@pytest.fixture(scope="module")
def lake(files: Crawl, client: Client, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Built in two increments and a retry, and released as v1; the rules in lake.toml are others since."""
    made = files.lake(tmp_path_factory.mktemp("reproduce") / "lake", files=1)
    built(made, client)
    sources.add(made, "wat", [str(files.files[1])])
    built(made, client)
    failed = tuple(status for status in DownloadStatus if status != "success")
    assert built(made, client, ["downloads"], Options(retry=failed)) == 1
    built(made, client)
    releases.create(made, "v1")
    toml = Path(made.storage.root) / "lake.toml"
    toml.write_text(toml.read_text() + "[candidates]\nmin_text_chars = 20\n")
    return open_lake(made.storage.root)


@pytest.fixture(scope="module")
def again(lake: Lake, client: Client, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, list[Outcome]]:
    """v1, reproduced."""
    root = tmp_path_factory.mktemp("again") / "lake"
    outcomes = reproduce(lake, "v1", str(root), client)
    return open_lake(str(root)), outcomes


def test_every_stage_is_made_again_and_equal(lake: Lake, again: tuple[Lake, list[Outcome]]) -> None:
    made, outcomes = again
    release = releases.get(lake, "v1")
    counts = {key: rows for key, rows in release.counts.items() if key != FOLLOWING}
    assert {outcome.key: outcome.rows for outcome in outcomes} == counts
    assert {outcome.verdict for outcome in outcomes} <= {"equal", "within tolerance"}
    assert {outcome.details == [] for outcome in outcomes} == {True}
    batches = {outcome.key: outcome.batches for outcome in outcomes}
    assert batches["candidates"] == 2
    assert batches["downloads"] == 3
    sums = {key: found.fingerprint for key, found in content(made).items()}
    recorded = {key: found.content for key, found in release.fingerprints.items() if key != FOLLOWING}
    assert sums == recorded


def test_it_follows_the_recorded_rules_not_those_of_today(
    lake: Lake, again: tuple[Lake, list[Outcome]]
) -> None:
    assert lake.settings.candidates.min_text_chars == 20
    assert again[0].settings.candidates.min_text_chars == 5


def test_pictures_are_the_pinned_ones(lake: Lake, again: tuple[Lake, list[Outcome]]) -> None:
    def pictures(found: Lake) -> dict[int, bytes]:
        rows = found.read("images", [found.pins()["images"]], ["url_id", "image"]).compute(scheduler="sync")
        return dict(zip(rows["url_id"].tolist(), rows["image"].tolist(), strict=True))

    assert pictures(again[0]) == pictures(open_lake(lake.storage.root, release="v1"))
    assert len(pictures(again[0])) > 5


def test_what_is_done_is_not_done_again(
    lake: Lake, client: Client, again: tuple[Lake, list[Outcome]]
) -> None:
    made, outcomes = again
    before = made.pins()
    assert reproduce(lake, "v1", made.storage.root, client) == outcomes
    assert made.pins() == before


def test_a_root_with_another_lake_is_refused(lake: Lake, client: Client, tmp_path: Path) -> None:
    other = lakes.small(tmp_path)
    with pytest.raises(UsageError, match=r"there is a lake at .*: reproduce into a root of its own"):
        reproduce(lake, "v1", other.storage.root, client)


def test_another_model_is_named(lake: Lake, client: Client, tmp_path: Path) -> None:
    claim = "select distinct details from ledger where event = 'claim' and key = 'embeddings_demo'"
    copy = tmp_path / "lake"
    shutil.copytree(lake.storage.root, copy)
    (row,) = views.query(lake, claim).to_pylist()
    details = json.dumps({**json.loads(row["details"]), "weights_sha256": "0" * 64})
    where = "event = 'claim' and key = 'embeddings_demo'"
    DeltaTable(str(copy / "ledger")).update(new_values={"details": details}, predicate=where)
    with pytest.raises(LakeError, match=r"embeddings_demo: .*: weights_sha256 is another: bring the model"):
        reproduce(open_lake(str(copy)), "v1", str(tmp_path / "into"), client)


def test_what_was_withdrawn_does_not_come_in_again(lake: Lake, client: Client, tmp_path: Path) -> None:
    """One removal before the release is made, one after it."""
    shutil.copytree(lake.storage.root, tmp_path / "lake")
    home = open_lake(str(tmp_path / "lake"))
    pictures = (
        "select any_value(url) as url, sha256 from pairs where status = 'success' group by 2 order by 2"
    )
    first, second, *_ = views.query(home, pictures).to_pylist()
    rules = home.settings.candidates
    removal.remove(home, requests.request(rules, {"url": [first["url"]]}), "asked for")
    recorded = releases.create(home, "v2").counts
    report = removal.remove(home, requests.request(rules, {"sha256": [second["sha256"]]}), "asked for")
    assert report.rows.keys() >= {"candidates", "downloads", "images"}
    left = {key: rows - report.rows.get(key, 0) for key, rows in recorded.items() if key != FOLLOWING}

    outcomes = reproduce(home, "v2", str(tmp_path / "again"), client)
    assert {outcome.verdict for outcome in outcomes} <= {"equal", "within tolerance"}, outcomes
    assert {outcome.key: outcome.rows for outcome in outcomes} == left
    again = open_lake(str(tmp_path / "again"))
    gone = f"from pairs where url = '{first['url']}' or sha256 = '{second['sha256']}'"
    assert len(views.query(again, gone)) == 0
    assert_sound(again)

    (third, *_) = views.query(home, pictures).to_pylist()
    removal.remove(home, requests.request(rules, {"url": [third["url"]]}), "asked for")
    with pytest.raises(UsageError, match="reproduce into a root of its own"):
        reproduce(home, "v2", again.storage.root, client)


def test_the_first_stage_and_rows_that_differ_are_told(
    lake: Lake, client: Client, files: Crawl, tmp_path: Path
) -> None:
    """The crawl file has another caption than when the release was made. Last: it changes the file."""
    file = files.files[1]
    text = gzip.decompress(file.read_bytes())
    (row, *_) = [
        r
        for r in lake.table("candidates").arrow([_batch(2)], ["text", "sample_id"]).to_pylist()
        if r["text"].isascii() and text.count(r["text"].encode()) == 1
    ]
    changed = row["text"].encode()[::-1]
    file.write_bytes(gzip.compress(text.replace(row["text"].encode(), changed)))
    answer = commands.lake(
        "--root",
        lake.storage.root,
        "release",
        "reproduce",
        "v1",
        "--into",
        str(tmp_path / "x"),
        "--workers",
        "1",
    )
    assert answer.code == 1
    assert "Error: release v1 is not reproduced: candidates differ" in answer.err
    assert f"candidates: sample_id {row['sample_id']}: no more" in answer.out
    assert "candidates: batch 2 (" in answer.out


def _batch(number: int) -> object:
    from lakehouse.tables import Range

    return Range(number, number)
