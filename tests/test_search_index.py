"""The vector index: what it finds, that it follows the table, and that what left the table leaves it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lance.file import LanceFileReader

from lakehouse import care, index, releases, removal, requests, soundness
from lakehouse.errors import UsageError
from lakehouse.index import IndexRules, choose
from lakehouse.lake import Lake, init, open_lake
from lakehouse.search import Query, Searcher, find
from lakehouse.tables import indexing
from lakehouse.tables.indexing import Parameters
from tests import lakes

RULES = IndexRules(least_rows=1_000, cell_rows=200, queries=50)
N = 6_000
ASKED = 8  # queries that recall is measured with
CENTRES = np.random.default_rng(1).normal(size=(30, 512))


def vectors(n: int, seed: int) -> np.ndarray:
    """Unit vectors around thirty centres."""
    rng = np.random.default_rng(seed)
    made = CENTRES[rng.integers(0, len(CENTRES), n)] + 0.9 * rng.normal(size=(n, 512))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float16)


IMAGES, TEXTS = vectors(N, 2), vectors(N, 3)
ROWS = [lakes.candidate(f"{i}", "en" if i % 3 else "de") for i in range(N)]
PLACE = {row["sample_id"]: place for place, row in enumerate(ROWS)}


def add(lake: Lake, some: Sequence[int]) -> None:
    embedded = [
        {
            "sample_id": ROWS[i]["sample_id"],
            "image_embedding": IMAGES[i],
            "text_embedding": TEXTS[i],
            "unit": lakes.UNIT,
        }
        for i in some
    ]
    lakes.append(lake, {"candidates": [ROWS[i] for i in some]})
    lakes.append(lake, {"embeddings_b32": embedded})


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Five thousand pairs in two batches, a release of the first, and an index. Tests only read it."""
    lake = init(str(tmp_path_factory.mktemp("indexed") / "lake"))
    add(lake, range(3_000))
    releases.create(lake, "v1")
    add(lake, range(3_000, 5_000))
    reports = index.update(lake, "b32", RULES)
    assert [report.done for report in reports] == ["built", "built"]
    return lake


def recall(lake: Lake, among: Sequence[int], where: str | None = None, **query: Any) -> float:
    """Of the ten nearest, over some queries; all that are found are among `among`, and ten."""
    images = IMAGES if query.get("modality", "image") == "image" else TEXTS
    searcher, hits = Searcher(lake), 0
    for vector in vectors(ASKED, 4).astype(np.float32):
        found = searcher.find(Query(vector=vector, where=where, **query))
        assert found.how == "index"
        places = [PLACE[key] for key in found.rows["sample_id"].to_pylist()]
        assert len(places) == 10
        assert set(places) <= set(among)
        true = np.array(among)[np.argsort(-(images[list(among)].astype(np.float32) @ vector))[:10]]
        hits += len(set(places) & set(true.tolist()))
    return hits / (10 * ASKED)


@pytest.mark.parametrize("modality", ["image", "text"])
def test_the_nearest_are_found(built: Lake, modality: Any) -> None:
    assert recall(built, range(5_000), modality=modality) >= 0.95


def test_among_what_a_condition_leaves(built: Lake) -> None:
    german = [i for i in range(5_000) if i % 3 == 0]
    assert recall(built, german, "language = 'de'") >= 0.95
    assert recall(built, range(8, 5_000, 10), "text like '%8'") >= 0.95
    assert recall(built, range(78, 5_000, 100), "text like '%78'") >= 0.95
    found = find(built, Query(vector=IMAGES[8], where="text like '%78'", k=1_000))
    assert (len(found.rows), found.matching) == (50, 50)


def test_a_release_is_searched_as_it_was(built: Lake) -> None:
    lake = open_lake(built.storage.root, release="v1")
    assert recall(lake, range(3_000)) >= 0.95
    newer = find(lake, Query(vector=IMAGES[4_000]))
    assert PLACE[newer.rows["sample_id"][0].as_py()] != 4_000


def test_a_lake_with_an_index_is_sound(built: Lake) -> None:
    assert soundness.inspect(built, full=False) == []


def test_parameters_and_recall_are_in_the_ledger(built: Lake) -> None:
    event = built.ledger.state().indexed("embeddings_b32")
    assert event is not None
    told = json.loads(event["details"])
    assert set(told) == {"image", "text"}
    for one in told.values():
        assert one["parameters"] == {"partitions": 25, "bits": 5}
        assert (one["rows"], one["missing"]) == (5_000, 0)
        assert one["tuning"]["recall"] >= RULES.recall
    assert (event["rows"], event["version"]) == (5_000, built.table("embeddings_b32").version())
    assert event["bytes"] > 2 * 5_000 * 512 * 5 / 8


def test_it_follows_the_table(tmp_path: Path) -> None:
    """Rows are found before they are in the index, and after; compaction moves them."""
    lake = init(str(tmp_path / "lake"))
    add(lake, range(2_000))
    index.update(lake, "b32", RULES)
    add(lake, range(2_000, 2_200))

    def first(place: int) -> int:
        return PLACE[find(lake, Query(vector=IMAGES[place], k=1)).rows["sample_id"][0].as_py()]

    assert first(2_100) == 2_100
    assert [report.done for report in index.update(lake, "b32", RULES)] == ["updated", "updated"]
    assert [report.done for report in index.update(lake, "b32", RULES)] == ["fresh", "fresh"]
    assert (first(2_100), first(50)) == (2_100, 50)
    care.compact(lake, "embeddings_b32")
    assert (first(2_100), first(50)) == (2_100, 50)
    assert [report.done for report in index.update(lake, "b32", RULES)] == ["fresh", "fresh"]
    assert [report.done for report in index.update(lake, "b32", RULES, anew=True)] == ["built", "built"]


def codes(lake: Lake) -> list[int]:
    """Rows that the index files under the lake's root have codes of, one file after the other."""
    files = sorted(Path(lake.storage.root).glob("embeddings_b32/_indices/*/auxiliary.idx"))
    return [LanceFileReader(str(file)).metadata().num_rows for file in files]


def test_what_is_removed_leaves_it_at_once(tmp_path: Path) -> None:
    lake = init(str(tmp_path / "lake"))
    add(lake, range(1_500))
    add(lake, range(1_500, 2_000))
    index.update(lake, "b32", RULES)
    assert codes(lake) == [2_000, 2_000]
    searcher = Searcher(lake)
    query = Query(vector=IMAGES[7], k=2)
    assert searcher.find(query).rows["sample_id"][0].as_py() == ROWS[7]["sample_id"]
    gone = requests.request(lake.settings.candidates, {"url": [ROWS[7]["url"], ROWS[1_600]["url"]]})
    removal.remove(lake, gone, "by request")
    found = searcher.find(query)
    assert ROWS[7]["sample_id"] not in found.rows["sample_id"].to_pylist()
    assert (len(found.rows), found.how) == (2, "index")
    assert codes(lake) == [1_998, 1_998]
    assert [report.done for report in index.update(lake, "b32", RULES)] == ["fresh", "fresh"]


def test_an_index_with_a_cell_of_few_rows_is_dropped_by_a_removal(tmp_path: Path) -> None:
    """The centre of a cell with one row is that row's vector."""
    lake = init(str(tmp_path / "lake"))
    add(lake, range(1_200))
    index.update(lake, "b32", IndexRules(least_rows=1_000, cell_rows=10, queries=10))
    removal.remove(lake, requests.request(lake.settings.candidates, {"url": [ROWS[7]["url"]]}), "")
    assert codes(lake) == []
    assert find(lake, Query(vector=IMAGES[8], k=1)).how == "exact"


def test_a_small_table_has_none(tmp_path: Path) -> None:
    lake = init(str(tmp_path / "lake"))
    with pytest.raises(UsageError, match="nothing is embedded with b32 yet: `lake run`"):
        index.update(lake, "b32")
    add(lake, range(20))
    for report in index.update(lake, "b32"):
        assert report.done == "none: 20 rows are searched exactly"
    assert lake.ledger.state().indexed("embeddings_b32") is None


@pytest.mark.parametrize(
    ("rows", "memory", "bits"),
    [
        (1_000_000, 16_000_000_000, 5),  # 2 x 1,000,000 x (512 x 5 / 8 + 30) = 0.70 GB
        (1_000_000, 600_000_000, 4),
        (1_000_000, 500_000_000, 3),
        (1_000_000, 200_000_000, 1),
        (1_000_000, 1, 1),
    ],
)
def test_the_memory_decides_about_the_codes(rows: int, memory: int, bits: int) -> None:
    assert choose(rows, 512, IndexRules(memory=memory)) == Parameters(1_000, bits)


def test_codes_of_one_bit_have_more_candidates_looked_at(tmp_path: Path) -> None:
    lake = init(str(tmp_path / "lake"))
    add(lake, range(N))
    dataset, chosen = lake.table("embeddings_b32").dataset(), {}
    for bits in (5, 1):
        indexing.build(dataset, "image", Parameters(30, bits))
        dataset = lake.table("embeddings_b32").dataset()
        chosen[bits] = index.measure(dataset, "image", RULES)
    assert chosen[5].refine < chosen[1].refine
    assert min(chosen[5].recall, chosen[1].recall) >= RULES.recall
