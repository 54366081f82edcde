"""What a request takes out: pairs with all that is made of them, and pictures that nobody else uses."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
from distributed import Client

from lakehouse import open_lake, removal, requests, views
from lakehouse.errors import ConflictError, UsageError
from lakehouse.lake import Lake
from tests import lakes, removal_lakes
from tests.removal_lakes import APPLE, FIG, PEAR, PLUM, RED, SCORES

PAIRS = {of["text"] for of in removal_lakes.ALL}
PICTURES = {"apple", "pear", "plum", "fig"}


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(removal_lakes.orchard(tmp_path_factory.mktemp("orchard") / "lake").storage.root)


@pytest.fixture
def lake(grown: Path, tmp_path: Path) -> Lake:
    shutil.copytree(grown, tmp_path / "lake")
    return open_lake(str(tmp_path / "lake"))


def remove(lake: Lake, client: Client | None = None, **given: str) -> removal.Report:
    asked = requests.request(lake.settings.candidates, {kind: [value] for kind, value in given.items()})
    expected = removal.dry_run(lake, asked, client)
    report = removal.remove(lake, asked, "asked for", client)
    assert report == expected
    return report


def assert_left(lake: Lake, pairs: set[str], pictures: set[str]) -> None:
    found = removal_lakes.left(lake)
    for key in ("candidates", "embeddings_b32", SCORES):
        assert found[key] == pairs, key
    for key in ("downloads", "images"):
        assert found[key] == pictures, key
    assert {name: rows.to_pylist() for name, rows in views.audits(lake).items() if len(rows)} == {}


def digest(of: dict[str, object], name: str) -> str:
    return hashlib.new(name, removal_lakes.picture(of)).hexdigest()


def url_digest(of: dict[str, object], name: str) -> str:
    return hashlib.new(name, str(of["url"]).encode()).hexdigest()


CASES = {
    "a URL with two captions": ({"url": APPLE["url"]}, {APPLE["text"], RED["text"]}, {"apple"}),
    "its url_id": ({"url_id": str(APPLE["url_id"])}, {APPLE["text"], RED["text"]}, {"apple"}),
    "a caption whose picture has another": ({"sample_id": str(APPLE["sample_id"])}, {APPLE["text"]}, set()),
    "the only caption of a picture": ({"sample_id": str(FIG["sample_id"])}, {FIG["text"]}, {"fig"}),
    "a picture under two URLs, by sha256": (
        {"sha256": digest(PEAR, "sha256")},
        {PEAR["text"], PLUM["text"]},
        {"pear", "plum"},
    ),
    "the same, by md5": ({"md5": digest(PEAR, "md5")}, {PEAR["text"], PLUM["text"]}, {"pear", "plum"}),
    "one of its URLs alone": ({"url": PEAR["url"]}, {PEAR["text"]}, {"pear"}),
    "a URL by its sha256": ({"url_sha256": url_digest(FIG, "sha256")}, {FIG["text"]}, {"fig"}),
    "a URL by its sha1": ({"url_sha1": url_digest(FIG, "sha1")}, {FIG["text"]}, {"fig"}),
    "a URL by its md5": ({"url_md5": url_digest(FIG, "md5")}, {FIG["text"]}, {"fig"}),
    "a host": ({"host": "Pictures.TEST"}, PAIRS, PICTURES),
    "another host": ({"host": "test"}, set(), set()),
    "what is not there": ({"url": "https://elsewhere.test/x.jpg"}, set(), set()),
}


LIKE_OTHERS = ("its url_id", "the same, by md5", "a URL by its sha1", "a URL by its md5")


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow if case in LIKE_OTHERS else ()) for case in CASES]
)
def test_what_leaves(lake: Lake, case: str) -> None:
    given, pairs, pictures = CASES[case]
    report = remove(lake, **given)
    assert report.pairs == len(pairs)
    assert_left(lake, PAIRS - pairs, PICTURES - pictures)


def test_both_captions_one_by_one_take_the_picture_with_them(lake: Lake) -> None:
    remove(lake, sample_id=str(APPLE["sample_id"]))
    remove(lake, sample_id=str(RED["sample_id"]))
    assert_left(lake, PAIRS - {APPLE["text"], RED["text"]}, PICTURES - {"apple"})


def test_both_captions_at_once_take_the_picture_with_them(lake: Lake) -> None:
    asked = {"sample_id": [str(APPLE["sample_id"]), str(RED["sample_id"])]}
    removal.remove(lake, requests.request(lake.settings.candidates, asked), "")
    assert_left(lake, PAIRS - {APPLE["text"], RED["text"]}, PICTURES - {"apple"})


def test_a_url_that_was_redirected_to_counts(lake: Lake) -> None:
    lime = lakes.candidate("lime")
    number = lakes.append(lake, {"candidates": [lime]})
    fetched = removal_lakes.download(lime, final_url="https://cdn.test/9.jpg")
    lakes.append(lake, {"downloads": [fetched], "images": [lakes.image(lime)]}, [f"candidates:{number}"])
    assert remove(lake, url="https://cdn.test/9.jpg").rows == {"candidates": 1, "downloads": 1, "images": 1}
    assert_left(lake, PAIRS, PICTURES)


def test_failed_attempts_leave_too(lake: Lake) -> None:
    lime = lakes.candidate("lime")
    number = lakes.append(lake, {"candidates": [lime]})
    for attempt, work in ((1, f"candidates:{number}"), (2, "retry-timeout:9")):
        lakes.append(lake, {"downloads": [lakes.download(lime, "timeout", attempt)], "images": []}, [work])
    assert remove(lake, url=lime["url"]).rows == {"candidates": 1, "downloads": 2}


def test_rows_of_old_generations_leave_too(lake: Lake) -> None:
    lake.ledger.rebuild([SCORES])
    lakes.append(lake, {SCORES: [lakes.score(of, 0.5) for of in removal_lakes.ALL]})
    lake.ledger.switch()
    assert remove(lake, url=FIG["url"]).rows[SCORES] == 2
    assert_left(lake, PAIRS - {FIG["text"]}, PICTURES - {"fig"})


def test_a_table_whose_model_the_lake_has_dropped_is_not_forgotten(lake: Lake) -> None:
    toml = Path(lake.storage.root) / "lake.toml"
    toml.write_text(toml.read_text().replace("[models.b32]", "[models.demo]"))
    other = open_lake(lake.storage.root)
    assert "embeddings_b32" not in other.names()
    assert remove(other, url=FIG["url"]).rows["embeddings_b32"] == 1
    assert removal_lakes.left(lake)["embeddings_b32"] == PAIRS - {FIG["text"]}


def test_workers_do_the_same(lake: Lake, client: Client) -> None:
    remove(lake, client, sha256=digest(PEAR, "sha256"))
    assert_left(lake, PAIRS - {PEAR["text"], PLUM["text"]}, PICTURES - {"pear", "plum"})


def test_what_is_asked_for_twice_is_found_once(lake: Lake) -> None:
    assert remove(lake, url=FIG["url"]).pairs == 1
    assert remove(lake, url=FIG["url"]).pairs == 0


def test_a_dry_run_changes_nothing(lake: Lake) -> None:
    def files() -> dict[str, bytes]:
        return {str(p): p.read_bytes() for p in Path(lake.storage.root).rglob("*") if p.is_file()}

    before = files()
    asked = requests.request(lake.settings.candidates, {"url": [APPLE["url"]]})
    assert removal.dry_run(lake, asked).pairs == 2
    assert files() == before


def test_nothing_asked_for_is_wrong_use(lake: Lake) -> None:
    with pytest.raises(UsageError, match="say what to remove"):
        removal.remove(lake, requests.request(lake.settings.candidates, {}), "")


def test_not_while_a_stage_is_written(lake: Lake) -> None:
    lake.ledger.claim([SCORES], ["more"], "0", "all", "{}")
    with pytest.raises(ConflictError, match=f"{SCORES}: batch 3 is claimed by"):
        remove(lake, url=FIG["url"])
    assert_left(lake, PAIRS, PICTURES)
