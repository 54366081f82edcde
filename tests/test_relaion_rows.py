"""Re-LAION-5B on a thousand real rows of LAION: what stays is what its published rule says, row by row."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pyarrow.parquet as pq
import pytest

from lakehouse import diff, releases, removal, requests, verification, views
from lakehouse.lake import Lake, init, open_lake
from tests import lakes
from transforms.candidates.keys import sample_id, url_id

FILE = Path(__file__).parent / "data" / "laion" / "rows.parquet"
TOML = "[lake]\nschema = 1\n[models.b32]\n"
OPEN = "[thresholds]\npunsafe_research = 1.0\npunsafe_research_safe = 1.0\n"
# the rule as LAION published it: punsafe > 0.95 with a keyword is out of research, > 0.45 of research-safe
UNSAFE, UNSAFE_SAFE = np.float32(0.95), np.float32(0.45)
WORDS = ("teen", "kid", "child", "baby")
LISTED = slice(0, 1_000, 83)  # the rows that a hotline's list names: one half by picture, one half by link


@dataclass(frozen=True)
class Row:
    """A real (URL, TEXT), the file behind the URL as we make it up, and how unsafe it looks, likewise."""

    url: str
    text: str
    picture: bytes
    punsafe: np.float32

    @property
    def key(self) -> int:
        return sample_id(self.url, self.text)

    @property
    def candidate(self) -> dict[str, object]:
        keys = {"sample_id": self.key, "url_id": url_id(self.url), "host": urlsplit(self.url).hostname}
        return lakes.candidate("", **keys, url=self.url, text=self.text)

    @property
    def download(self) -> dict[str, object]:
        digests = {name: hashlib.new(name, self.picture).hexdigest() for name in ("md5", "sha256")}
        return lakes.download(self.candidate, **digests)


@dataclass(frozen=True)
class Story:
    lake: Lake
    rows: list[Row]
    listed: list[Row]
    changes: Path


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """v1 with all rows, a list, then v2 under the published thresholds; and the difference, publishable."""
    folder = tmp_path_factory.mktemp("relaion")
    read = pq.read_table(FILE).to_pylist()
    # values as a detector gives them, most near 0, some on the very thresholds
    values = np.random.default_rng(5).beta(0.15, 0.5, len(read)).astype(np.float32)
    values[::50], values[1::50] = UNSAFE, UNSAFE_SAFE
    words = [i for i, row in enumerate(read) if any(word in row["TEXT"].lower() for word in WORDS)]
    values[words[::2]] = 0.99
    rows = [
        Row(row["URL"], row["TEXT"], row["URL"].encode() * 3, value)
        for row, value in zip(read, values, strict=True)
    ]
    lake = init(str(folder / "lake"), TOML + OPEN)
    number = lakes.append(lake, {"candidates": [row.candidate for row in rows]})
    lakes.append(lake, {"downloads": [row.download for row in rows]}, [f"candidates:{number}"])
    for scorer, of in (("similarity_b32", [0.3] * len(rows)), ("punsafe_b32", values.tolist())):
        scores = [lakes.score(row.candidate, v, scorer) for row, v in zip(rows, of, strict=True)]
        lakes.append(lake, {f"scores/{scorer}": scores})
    releases.create(lake, "v1")

    listed = rows[LISTED]
    lines = [hashlib.md5(row.picture).hexdigest() for row in listed[::2]]
    lines += [f"url_sha1:{hashlib.sha1(row.url.encode()).hexdigest()}" for row in listed[1::2]]
    (folder / "list.txt").write_text("\n".join([*lines, "00" * 16, "url_sha1:" + "11" * 20]))
    asked = requests.request(lake.settings.candidates, {}, [folder / "list.txt"])
    assert removal.remove(lake, asked, "on the list of a hotline").pairs == len(listed)
    (folder / "lake" / "lake.toml").write_text(TOML)
    lake = open_lake(str(folder / "lake"))
    releases.create(lake, "v2")
    before, after = (open_lake(lake.storage.root, release=name) for name in ("v1", "v2"))
    diff.diff(before, after, "research", folder / "changes.parquet", publishable=True)
    return Story(lake, rows, listed, folder / "changes.parquet")


def keys(story: Story, view: str, release: str) -> set[int]:
    found = views.query(story.lake, f"select sample_id from {view}", release=release)
    return set(found["sample_id"].to_pylist())


def test_the_subsets_are_what_the_published_rule_says(story: Story) -> None:
    gone = {row.key for row in story.listed}
    left = {row.key: row for row in story.rows if row.key not in gone}
    research = {
        key
        for key, row in left.items()
        if not (row.punsafe > UNSAFE and any(word in row.text.lower() for word in WORDS))
    }
    safe = {key for key in research if not left[key].punsafe > UNSAFE_SAFE}
    assert keys(story, "research", "v2") == research
    assert keys(story, "research_safe", "v2") == safe
    assert safe < research < set(left)
    assert keys(story, "research", "v1") == keys(story, "pairs", "v1") == set(left)


def test_both_versions_verify_less_what_was_withdrawn(story: Story) -> None:
    for name, gone in (("v1", len(story.listed)), ("v2", 0)):
        assert releases.verify(story.lake, name) == []
        since = verification.withdrawn_since(story.lake, releases.get(story.lake, name))
        assert (since["candidates"].rows if "candidates" in since else 0) == gone


def test_the_published_difference_hides_the_listed_among_others(story: Story) -> None:
    table = pq.read_table(story.changes)
    assert table.column_names == ["sample_id", "url_id"]
    published = set(table["sample_id"].to_pylist())
    dropped = keys(story, "research", "v1") - keys(story, "research", "v2")
    assert published == dropped | {row.key for row in story.listed}
    assert len(dropped) > 0
