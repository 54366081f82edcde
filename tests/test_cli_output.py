"""What the command prints: data alone on stdout, in the form that was asked for."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import commands
import lakes
import pyarrow.parquet as pq
import pytest

from lakehouse.lake import Lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Three candidates, two of their pictures; the tests here only read."""
    return lakes.small(tmp_path_factory.mktemp("output") / "lake")


def test_no_arguments_show_what_there_is() -> None:
    answer = commands.lake()
    assert (answer.code, answer.err) == (0, "")
    for name in ("demo", "init", "add", "run", "status", "sql", "release", "search"):
        assert f"\n  {name} " in answer.out
    assert "verify" in commands.lake("release").out


def test_json_is_one_array_of_objects(lake: Lake) -> None:
    query = "select text, language, sum(width) as pixels, 'nan'::float as value, 1.5::decimal(4, 2) as price "
    query += "from pairs group by all order by text"
    answer = commands.lake("--root", lake.storage.root, "sql", query, "--format", "json")
    assert (answer.code, answer.err) == (0, "")

    def refuse(word: str) -> float:
        raise AssertionError(f"{word} is not JSON")

    assert json.loads(answer.out, parse_constant=refuse) == [
        {"text": "a picture of apple", "language": "en", "pixels": 640, "value": None, "price": 1.5},
        {"text": "a picture of pear", "language": "de", "pixels": 640, "value": None, "price": 1.5},
        {"text": "a picture of plum", "language": None, "pixels": None, "value": None, "price": 1.5},
    ]


def test_csv_and_parquet_hold_the_same_rows(lake: Lake, tmp_path: Path) -> None:
    query = "select text, width, opt_out from downloads join candidates using (url_id) order by text"
    asked = ["--root", lake.storage.root, "sql", query]
    rows = list(csv.DictReader(io.StringIO(commands.lake(*asked, "--format", "csv").out)))
    assert [row["text"].split()[-1] for row in rows] == ["apple", "pear", "plum"]
    assert [row["opt_out"] for row in rows] == ["[]"] * 3
    for form in ("csv", "parquet"):
        answer = commands.lake(*asked, "--format", form, "--output", tmp_path / f"rows.{form}")
        assert answer == commands.Answer(0, "", "")
    assert list(csv.DictReader(io.StringIO((tmp_path / "rows.csv").read_text()))) == rows
    table = pq.read_table(tmp_path / "rows.parquet")
    assert table["width"].to_pylist() == [640, 640, None]


def test_one_row_is_shown_through_every_stage(lake: Lake) -> None:
    """About half of all ids are negative, and must not be taken for options."""
    query = "select sample_id, text from pairs"
    rows = commands.lake("--root", lake.storage.root, "sql", query, "--format", "json")
    found = {row["sample_id"]: row["text"] for row in json.loads(rows.out)}
    assert min(found) < 0
    for sample_id, text in found.items():
        answer = commands.lake("--root", lake.storage.root, "show", str(sample_id))
        assert (answer.code, answer.err) == (0, "")
        assert text in answer.out
        assert "similarity_b32" in answer.out


def test_status_and_history_for_programs_and_people(lake: Lake) -> None:
    at = ["--root", lake.storage.root]
    stages = json.loads(commands.lake(*at, "status", "--json").out)
    assert [stage["stage"] for stage in stages][:3] == ["candidates", "downloads", "embeddings_b32"]
    assert all(math.isfinite(stage["todo"]) and stage["state"] for stage in stages)
    history = json.loads(commands.lake(*at, "history", "candidates", "--json").out)
    assert [(batch["batch"], batch["rows"]) for batch in history["batches"]] == [(1, 2), (2, 1)]
    assert [v["version"] for v in history["versions"]] == sorted(
        (v["version"] for v in history["versions"]), reverse=True
    )
    for asked in (["status"], ["history", "candidates"], ["history", "embeddings_b32"], ["views"]):
        answer = commands.lake(*at, *asked)
        assert (answer.code, answer.err) == (0, "")
        assert answer.out
