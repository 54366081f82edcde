"""`lake import laion`: published tables, and score files whose rows belong to pairs by their hash."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import commands
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from demo_lake import assert_sound
from distributed import Client

from lakehouse import lake as lakes
from lakehouse import releases, run, views
from lakehouse.errors import UsageError
from lakehouse.imports import laion
from lakehouse.imports.account import account
from lakehouse.lake import Lake
from lakehouse.reproduce import reproduce
from lakehouse.stages import chosen
from transforms.candidates.keys import sample_id

ROWS = 50
KEY = "scores/punsafe_laion"


def url(i: int) -> str:
    return f"https://pictures.example/{i}.jpg"


def text(i: int) -> str:
    return f"A long enough English text about picture number {i}"


def key(i: int) -> int:
    return sample_id(url(i), text(i))


def table(path: Path, first: int = 0, rows: int = ROWS, **more: Any) -> None:
    chosen = range(first, first + rows)
    pq.write_table(
        pa.table({"URL": [url(i) for i in chosen], "TEXT": [text(i) for i in chosen]} | more), path
    )


def scores(path: Path, rows: list[tuple[int | None, float | None]], name: str = "punsafe") -> None:
    hashes, values = zip(*rows, strict=True)
    made = {"hash": pa.array(hashes, pa.int64()), name: pa.array(values, pa.float32())}
    pq.write_table(pa.table(made), path, row_group_size=7)


def values(lake: Lake, column: str) -> dict[int, float | None]:
    rows = views.query(lake, f"select sample_id, value from scores where scorer = '{column}'").to_pylist()
    return {row["sample_id"]: row["value"] for row in rows}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two score files of some pieces each, about the pairs of a table and others."""
    monkeypatch.setattr(laion, "ROWS", 20)
    made = tmp_path / "published"
    made.mkdir()
    table(made / "part-0.parquet", similarity=pa.array([0.3] * ROWS, pa.float64()))
    mine: list[tuple[int | None, float | None]] = [(key(i), i / 100) for i in range(ROWS)]
    mine[3] = (key(3), None)
    mine[4] = (key(4), math.nan)
    others = [(key(i), 0.5) for i in range(1000, 1025)]
    scores(made / "punsafe-0.parquet", [*mine[:30], *others])
    scores(made / "punsafe-1.parquet", [*mine[30:], (key(7), 0.99), (None, 0.1)])
    scores(made / "pwatermark-0.parquet", [(key(1), 0.9)], "pwatermark")
    return made


def test_scores_are_joined_by_hash(folder: Path, lake: Lake, client: Client) -> None:
    found = laion.find(lake, str(folder))
    units = laion.bring(lake, client, found)
    assert len(found.tables) == 1
    got = values(lake, "punsafe_laion")
    expected = {key(i): np.float32(i / 100) for i in range(ROWS)} | {key(3): None, key(4): None}
    assert got == expected
    assert values(lake, "pwatermark_laion") == {key(1): np.float32(0.9)}
    assert set(values(lake, "similarity_laion").values()) == {np.float32(0.3)}
    told = account(lake, units)
    assert told["candidates"] == {"in": 50, "out": 50}
    assert told[KEY] == {
        "in": 77,
        "out": 50,
        "no_candidate": 25,
        "duplicate": 1,
        "no_hash": 1,
        "not_published": 1,
        "not_finite": 1,
    }
    assert_sound(lake)


def test_views_see_them_and_releases_keep_them(folder: Path, lake: Lake, client: Client) -> None:
    laion.bring(lake, client, laion.find(lake, str(folder)))
    fresh = lakes.open_lake(lake.storage.root)
    assert "punsafe_laion" in [scorer.name for scorer in fresh.scorers()]
    rows = views.query(fresh, "select punsafe_laion from published_scores where punsafe_laion is not null")
    assert rows.num_rows == 48
    run.run(fresh, client, chosen(fresh, ["pairs"]))
    assert views.query(fresh, "select count(pwatermark)::int as n from pairs")["n"].to_pylist() == [1]


def test_again_only_what_is_new_is_added(folder: Path, lake: Lake, client: Client) -> None:
    laion.bring(lake, client, laion.find(lake, str(folder)))
    batches = len(lake.ledger.done(KEY))
    laion.bring(lake, client, laion.find(lake, str(folder)))
    assert len(lake.ledger.done(KEY)) == batches
    table(folder / "part-1.parquet", first=1000, rows=10)
    laion.bring(lake, client, laion.find(lake, str(folder)))
    assert len(values(lake, "punsafe_laion")) == 60
    newest = lake.ledger.done(KEY)[-1]
    counts = {c["name"]: 0 for c in newest["counts"]}
    for count in newest["counts"]:
        counts[count["name"]] += count["n"]
    assert (newest["rows"], counts["drop:known"]) == (10, 51)
    assert_sound(lake)


def test_what_a_table_says_itself_comes_first(lake: Lake, client: Client, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    folder.mkdir()
    table(folder / "a.parquet", punsafe=pa.array([0.25] * ROWS, pa.float32()))
    scores(folder / "b.parquet", [(key(i), 0.75) for i in range(ROWS)])
    units = laion.bring(lake, client, laion.find(lake, str(folder)))
    assert set(values(lake, "punsafe_laion").values()) == {0.25}
    assert account(lake, units)[KEY]["known"] == ROWS


def test_the_lineage_names_files_and_hashes(folder: Path, lake: Lake, client: Client) -> None:
    laion.bring(lake, client, laion.find(lake, str(folder)))
    path = folder / "punsafe-0.parquet"
    details = [json.loads(event["details"]) for event in lake.ledger.done(KEY)]
    told = {each["file"]: each["sha256"] for detail in details for each in detail["imported"]}
    assert told[str(path)] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_reproduction_says_that_they_were_imported(
    folder: Path, lake: Lake, client: Client, tmp_path: Path
) -> None:
    laion.bring(lake, client, laion.find(lake, str(folder)))
    releases.create(lake, "v1")
    outcomes = {each.key: each for each in reproduce(lake, "v1", str(tmp_path / "again"), client)}
    assert outcomes[KEY].verdict == "not rebuilt"
    assert outcomes[KEY].details == ["no stage of today makes it: it was imported"]
    assert outcomes["candidates"].verdict == outcomes["scores/similarity_laion"].verdict == "equal"


def test_a_folder_without_anything_of_laions_is_refused(lake: Lake, tmp_path: Path) -> None:
    pq.write_table(pa.table({"hash": [1], "prediction": [0.5]}), tmp_path / "x.parquet")
    with pytest.raises(UsageError, match=r"nothing of LAION's in .* or hash and one of similarity, punsafe"):
        laion.find(lake, str(tmp_path))


def test_the_command(folder: Path, lake: Lake, client: Client) -> None:
    answer = commands.lake(
        "--root",
        lake.storage.root,
        "import",
        "laion",
        folder,
        "--scheduler",
        client.scheduler.address,
        "--json",
    )
    assert answer.code == 0, answer
    assert json.loads(answer.out)["scores/pwatermark_laion"] == {"in": 1, "out": 1}
