"""Scores that LAION published with its lists land in `scores`, under the pairs that they belong to."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import commands
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl_units import WAT
from demo_lake import assert_sound
from distributed import Client

from lakehouse import lake as lakes
from lakehouse import run, sources, views
from lakehouse.errors import LakeError, UsageError
from lakehouse.lake import Lake
from lakehouse.stages import Stage, chosen, stages
from transforms import columns
from transforms.candidates.keys import sample_id
from transforms.scores import PUBLISHED
from transforms.scores.published import published_partition

TOML = "[batches]\nlist_rows = 40\nunits = 2\n"
ROWS = 100
SIMILARITY = [round(0.26 + i / 1000, 4) for i in range(ROWS)]


def url(i: int) -> str:
    return f"https://pictures.example/{i}.jpg"


def text(i: int) -> str:
    return "abc" if i % 10 == 3 else f"A long enough English text about picture number {i}"


def first_release(path: Path, **changes: list[Any]) -> Path:
    """A table with the columns of LAION-5B's first release; every tenth text is too short to be kept."""
    made: dict[str, Any] = {
        "SAMPLE_ID": pa.array(range(ROWS), pa.int64()),
        "URL": [url(i) for i in range(ROWS)],
        "TEXT": [text(i) for i in range(ROWS)],
        "HEIGHT": pa.array([1] * ROWS, pa.int32()),
        "WIDTH": pa.array([1] * ROWS, pa.int32()),
        "LICENSE": ["?"] * ROWS,
        "NSFW": [("UNLIKELY", "UNSURE", "NSFW", None)[i % 4] for i in range(ROWS)],
        "similarity": pa.array(SIMILARITY, pa.float64()),
    }
    pq.write_table(pa.table(made | changes), path, row_group_size=30)
    return path


def joined(path: Path) -> Path:
    """A table with the columns of LAION's later, joined sets; some of their values are missing or none."""
    values = [None, math.nan, math.inf, *[i / ROWS for i in range(3, ROWS)]]
    made = {
        "URL": [f"{url(i)}?joined" for i in range(ROWS)],
        "TEXT": [text(i) for i in range(ROWS)],
        "hash": pa.array([sample_id(f"{url(i)}?joined", text(i)) for i in range(ROWS)]),
        "punsafe": pa.array(values, pa.float32()),
        "pwatermark": pa.array([0.25] * ROWS, pa.float32()),
        "aesthetic": pa.array([7.5] * ROWS, pa.float32()),
        "AESTHETIC_SCORE": pa.array([6.25] * ROWS, pa.float32()),
    }
    pq.write_table(pa.table(made), path)
    return path


def published(lake: Lake) -> dict[int, dict[str, Any]]:
    return {row["sample_id"]: row for row in views.query(lake, "from published_scores").to_pylist()}


@pytest.fixture(scope="module")
def built(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake of a crawl file, a list of the first release and a joined one, with their scores."""
    folder = tmp_path_factory.mktemp("published")
    lake = lakes.init(str(folder / "lake"), TOML)
    sources.add(lake, "wat", [str(WAT / "cc-main-2016-50.repaired.warc.wat.gz")])
    sources.add(lake, "urls", [str(first_release(folder / "first.parquet"))])
    sources.add(lake, "urls", [str(joined(folder / "joined.parquet"))])
    run.run(lake, client, without_pictures(lake))
    return lake


def without_pictures(lake: Lake) -> list[Stage]:
    return [s for s in stages(lake) if s.kind == "candidates" or s.name.endswith("_laion")]


def test_every_value_is_at_its_pair(built: Lake) -> None:
    found = published(built)
    kept = [i for i in range(ROWS) if i % 10 != 3]
    for i in kept:
        row = found[sample_id(url(i), text(i))]
        assert row["similarity_laion"] == np.float32(SIMILARITY[i])
        assert row["nsfw_laion"] == ("UNLIKELY", "UNSURE", "NSFW", None)[i % 4]
        assert (row["punsafe_laion"], row["aesthetic_v1_laion"]) == (None, None)
        assert row["unit"] == f"first.parquet#{i // 40}"
        row = found[sample_id(f"{url(i)}?joined", text(i))]
        assert row["punsafe_laion"] == (np.float32(i / ROWS) if i > 2 else None)
        assert (row["pwatermark_laion"], row["aesthetic_v1_laion"], row["aesthetic_v2_laion"]) == (
            0.25,
            7.5,
            6.25,
        )
        assert (row["similarity_laion"], row["nsfw_laion"]) == (None, None)
    assert len(found) == 2 * len(kept)


def test_nothing_is_lost_without_a_count(built: Lake) -> None:
    assert_sound(built)
    counts = views.query(
        built, "select name, sum(n)::int as n from counts where key = 'scores/punsafe_laion' group by 1"
    )
    found = dict(zip(counts["name"].to_pylist(), counts["n"].to_pylist(), strict=True))
    assert found == {"in": 90, "note:not_published": 1, "note:not_finite": 2}
    funnel = views.query(built, "from funnel where stage = 'scores/nsfw_laion'").to_pylist()
    assert [(r["outcome"], r["reason"], r["rows"]) for r in funnel] == [
        ("in", None, 90),
        ("no value", "not_published", 20),
        ("kept", None, 70),
    ]


def test_the_lineage_names_file_and_column(built: Lake) -> None:
    folder = Path(built.storage.root).parent
    versions = [v.lineage for v in built.table("scores").history() if v.lineage]
    origins = {(v["key"], v.get("column"), *v.get("files", ())) for v in versions}
    assert ("scores/similarity_laion", "similarity", str(folder / "first.parquet")) in origins
    assert ("scores/punsafe_laion", "punsafe", str(folder / "joined.parquet")) in origins
    assert not [o for o in origins if o[0] == "scores/similarity_laion" and "joined" in str(o)]
    (event, *_) = built.ledger.done("scores/nsfw_laion")
    assert json.loads(event["details"])["column"] == "NSFW"


def test_only_batches_with_such_a_list_are_works(built: Lake, client: Client) -> None:
    # units, two a batch: the crawl file and the first list's three slices, then the joined one's three
    works = {s.name: run.plan(built, s) for s in stages(built)}
    assert works["scores/similarity_laion"].done == 2
    assert works["scores/punsafe_laion"].done == 2
    assert all(works[f"scores/{scorer.name}"].fresh for scorer in PUBLISHED)
    assert run.run(built, client, without_pictures(built)) == 0


def test_pairs_show_them_where_they_come_first(built: Lake, tmp_path: Path) -> None:
    # LAION kept English from 0.28 and others from 0.26; nothing but the published values decides here
    own = views.query(built, "select count(similarity) as n, count(pwatermark) as w from pairs").to_pylist()
    assert own == [{"n": 0, "w": 90}]  # similarity_b32 comes first of its role, nothing else has watermarks
    path = Path(built.storage.root) / "lake.toml"
    before = path.read_text()
    path.write_text(before + '[scores]\nscorers = ["similarity_laion", "punsafe_laion"]\n')
    try:
        chosen = lakes.open_lake(built.storage.root)
        rows = views.query(chosen, "select similarity from laion2b_en").to_pylist()
        assert min(row["similarity"] for row in rows) >= np.float32(0.28)
        assert len(rows) == sum(v >= 0.28 for i, v in enumerate(SIMILARITY) if i % 10 != 3)
    finally:
        path.write_text(before)


def test_a_list_of_other_people_has_no_scores_of_laions(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("url,caption,similarity\nhttps://a.example/1.jpg,A caption,0.9\n")
    lake = lakes.init(str(tmp_path / "lake"))
    assert sources.add(lake, "urls", [str(path)])[0].scores == ()
    assert not [s for s in stages(lake) if s.name.endswith("_laion")]


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.csv.gz"])
def test_other_formats_have_them_too(tmp_path: Path, name: str, client: Client) -> None:
    lines = {
        "x.csv": "URL,TEXT,similarity\n" + "".join(f"{url(i)},{text(i)},0.{i}\n" for i in range(50)),
        "x.jsonl": "".join(
            json.dumps({"URL": url(i), "TEXT": text(i)} | ({"similarity": i / 8} if i else {})) + "\n"
            for i in range(50)
        ),
    }
    content = lines[name.removesuffix(".gz")].encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    lake = lakes.init(str(tmp_path / "lake"), TOML)
    answer = commands.lake("--root", lake.storage.root, "add", "--urls", tmp_path / name)
    assert answer.out == "2 new urls units of 2 in all\n"
    assert answer.err == "with LAION's scores: similarity_laion\n"
    run.run(lake, client, without_pictures(lake))
    found = published(lake)
    value = found[sample_id(url(41), text(41))]["similarity_laion"]
    assert value == (np.float32(0.41) if "csv" in name else 41 / 8)
    assert len(found) == 45


def test_settings_may_leave_them_out_and_that_is_told(tmp_path: Path) -> None:
    lake = lakes.init(str(tmp_path / "lake"), '[scores]\nscorers = ["nsfw_laion"]\n')
    answer = commands.lake(
        "--root", lake.storage.root, "add", "--urls", first_release(tmp_path / "first.parquet")
    )
    assert answer.err.splitlines() == [
        "with LAION's scores: similarity_laion, nsfw_laion",
        "[scores] scorers in lake.toml leaves out similarity_laion",
    ]
    assert [s.name for s in chosen(lake, ["scores"])] == ["scores/nsfw_laion"]


def test_a_list_that_became_shorter_is_refused(tmp_path: Path, client: Client) -> None:
    path = first_release(tmp_path / "first.parquet")
    lake = lakes.init(str(tmp_path / "lake"), TOML)
    sources.add(lake, "urls", [str(path)])
    run.run(lake, client, chosen(lake, ["candidates"]))
    pq.write_table(pq.read_table(path).slice(0, 90), path)
    with pytest.raises(
        LakeError, match=r"first\.parquet ends before row 100, which it had when it was added"
    ):
        run.run(lake, client, chosen(lake, ["scores/similarity_laion"]))


def test_a_scorer_that_nobody_published_is_unknown(tmp_path: Path) -> None:
    lake = lakes.init(str(tmp_path / "lake"), '[scores]\nscorers = ["toxicity_laion"]\n')
    with pytest.raises(UsageError, match="no scorer 'toxicity_laion'"):
        lake.scorers()


def test_values_that_are_no_numbers(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    raw = [0.5, "0.25", "high", "NSFW", [1], {"a": 1}, True, None, "", 1e300, 3]
    path.write_text("".join(json.dumps({"URL": "u", "TEXT": "t", "similarity": v}) + "\n" for v in raw))
    table = pa.table(
        {
            "sample_id": pa.array(range(len(raw)), pa.int64()),
            "unit": ["u"] * len(raw),
            "position": pa.array(range(len(raw)), pa.int64()),
        }
    )
    frame = published_partition(columns.to_pandas(table), PUBLISHED[0], {"u": (str(path), 0, len(raw))})
    rows = frame[frame[columns.COUNT].isnull()]
    assert columns.to_arrow(rows, columns.SCORES)["value"].to_pylist() == [
        *(0.5, 0.25, None, None, None, None, 1, None, None, None, 3)
    ]
    counted = frame[frame[columns.COUNT].notnull()]
    found = dict(zip(counted[columns.COUNT], counted[columns.N], strict=True))
    assert found == {"in": 11, "note:not_published": 2, "note:not_finite": 5}
