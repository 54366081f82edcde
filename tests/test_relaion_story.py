"""Re-LAION-5B in small, as docs/removal.md tells it: v1, a list of hashes, research, research_safe, v2."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from lakehouse import releases, removal, requests, verification, views
from lakehouse.errors import UsageError
from lakehouse.lake import Lake, init, open_lake
from tests import lakes, removal_lakes

# text, language, punsafe
ROWS = {
    "calm": ("a calm lake", "en", 0.01),
    "baby": ("a baby in a cot", "en", 0.2),
    "edge": ("a child at the very threshold", "en", 0.95),
    "both": ("Ein KID, sehr unsicher", "de", 0.96),
    "word": ("just a nude painting", "en", 0.96),
    "half": ("half safe", None, 0.5),
    "same": ("exactly as safe as may be", "fr", 0.45),
    "none": ("nobody judged it", "en", None),
    "listed": ("on the list by its picture", "en", 0.1),
    "linked": ("on the list by its link", "de", 0.1),
    "poor": ("a text that does not fit", "en", 0.01),
}
UNSAFE = "scores/punsafe_b32"


def row(name: str) -> dict[str, object]:
    text, language, _ = ROWS[name]
    made = removal_lakes.caption(lakes.candidate(name, language), text)
    return made


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lake with its release v1."""
    lake = init(str(tmp_path_factory.mktemp("relaion") / "lake"))
    rows = [row(name) for name in ROWS]
    number = lakes.append(lake, {"candidates": rows})
    fetched = {
        "downloads": [removal_lakes.download(of) for of in rows],
        "images": [{**lakes.image(of), "image": removal_lakes.picture(of)} for of in rows],
    }
    lakes.append(lake, fetched, [f"candidates:{number}"])
    fits = {name: 0.1 if name == "poor" else 0.3 for name in ROWS}
    lakes.append(lake, {f"scores/{lakes.SIMILARITY}": [lakes.score(row(n), v) for n, v in fits.items()]})
    lakes.append(lake, {UNSAFE: [lakes.score(row(n), v, "punsafe_b32") for n, (_, _, v) in ROWS.items()]})
    releases.create(lake, "v1")
    return Path(lake.storage.root)


def names(lake: Lake, view: str, release: str | None = None) -> set[str]:
    found = views.query(lake, f"select url from {view}", release=release)["url"].to_pylist()
    return {url.rsplit("/", 1)[1].removesuffix(".jpg") for url in found}


def test_the_story(original: Path, tmp_path: Path) -> None:
    lake = open_lake(str(original))
    laion = set(ROWS) - {"poor"}
    assert names(lake, "research") == laion - {"both", "none"}
    assert names(lake, "research_safe") == laion - {"both", "none", "edge", "word", "half"}

    before = names(lake, "pairs", "v1")
    listed = tmp_path / "list.txt"
    md5 = hashlib.md5(removal_lakes.picture(row("listed"))).hexdigest()
    sha1 = hashlib.sha1(str(row("linked")["url"]).encode()).hexdigest()
    listed.write_text(f"{md5}\nurl_sha1:{sha1}\n{'00' * 16}\n{'11' * 32}\n")
    asked = requests.request(lake.settings.candidates, {}, [listed])
    report = removal.remove(lake, asked, "on the list of a hotline")
    assert report.pairs == 2
    assert report.releases == {"v1": 2}
    releases.create(lake, "v2")

    gone = {"listed", "linked"}
    assert names(lake, "pairs", "v1") == names(lake, "pairs", "v2") == before - gone
    assert names(lake, "research_safe", "v2") < names(lake, "research", "v2") < before
    assert not names(lake, "research", "v2") & gone
    for name in ("v1", "v2"):
        assert releases.verify(lake, name) == []
    gone_since = {n: verification.withdrawn_since(lake, releases.get(lake, n)) for n in ("v1", "v2")}
    assert {name: some["candidates"].rows for name, some in gone_since.items()} == {"v1": 2, "v2": 0}
    assert releases.get(lake, "v2").counts["candidates"] == releases.get(lake, "v1").counts["candidates"] - 2
    listed_now = views.query(lake, "select sample_id from withdrawn")["sample_id"].to_pylist()
    assert set(listed_now) == {row(name)["sample_id"] for name in gone}


def test_without_a_threshold_for_its_scorer_it_says_so(tmp_path: Path) -> None:
    toml = "[lake]\nschema = 1\n[models.demo]\n"
    lake = init(str(tmp_path / "lake"), toml)
    apple = lakes.candidate("apple")
    number = lakes.append(lake, {"candidates": [apple]})
    fetched = {"downloads": [lakes.download(apple)], "images": [lakes.image(apple)]}
    lakes.append(lake, fetched, [f"candidates:{number}"])
    for scorer, value in (("similarity_demo", 0.9), ("punsafe_opennsfw", 0.1)):
        lakes.append(lake, {f"scores/{scorer}": [lakes.score(apple, value, scorer)]})
    with pytest.raises(UsageError, match="no threshold punsafe_research is known for punsafe_opennsfw"):
        views.query(lake, "from research")
    rules = {"punsafe_research": 0.2, "punsafe_research_safe": 0.05}
    assert views.query(lake, "from research", thresholds=rules).num_rows == 1
    assert views.query(lake, "from research_safe", thresholds=rules).num_rows == 0
