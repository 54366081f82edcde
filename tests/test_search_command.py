"""`lake index` and `lake search` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lakehouse import index
from lakehouse.errors import ConflictError
from lakehouse.lake import Lake, init
from tests import commands, lakes

NAMES = ("apple", "pear", "plum", "fig")
ROWS = [lakes.candidate(name, "de" if name == "plum" else "en") for name in NAMES]


@pytest.fixture
def orchard(tmp_path: Path) -> Lake:
    """Four pairs; each is nearer to those that follow it than to those after them."""
    lake = init(str(tmp_path / "lake"))
    embedded = []
    for place, row in enumerate(ROWS):
        vector = np.zeros(512, np.float16)
        vector[:2] = np.cos(place / 3), np.sin(place / 3)
        both = {"image_embedding": vector, "text_embedding": vector}
        embedded.append({"sample_id": row["sample_id"], **both, "unit": lakes.UNIT})
    lakes.append(lake, {"candidates": ROWS})
    lakes.append(lake, {"embeddings_b32": embedded})
    return lake


def found(lake: Lake, *arguments: object) -> list[str]:
    asked = ["search", "--like", ROWS[0]["sample_id"], "--format", "json", *arguments]
    answer = commands.lake("--root", lake.storage.root, *map(str, asked))
    assert answer.code == 0, answer.err
    return [row["url"].rsplit("/", 1)[1].removesuffix(".jpg") for row in json.loads(answer.out)]


def test_by_a_pair_with_a_condition(orchard: Lake) -> None:
    assert found(orchard) == ["apple", "pear", "plum", "fig"]
    assert found(orchard, "--where", "language = 'en'", "-k", 2) == ["apple", "pear"]
    assert found(orchard, "--where", "language = 'de'") == ["plum"]
    assert found(orchard, "--collapse", "near", "--among", "text", "--by", "text") == ["apple"]  # a chain


def test_timings_go_to_stderr(orchard: Lake) -> None:
    root = orchard.storage.root
    asked = ("--root", root, "search", "--like", str(ROWS[0]["sample_id"]), "--format", "csv", "--timings")
    answer = commands.lake(*asked, "--columns", "url")
    assert answer.out.splitlines()[0] == '"sample_id","cosine","url"'
    assert answer.err.startswith("exact: embed ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "say what to search by: a text, --image FILE or --like SAMPLE_ID"),
        (("a text", "--like", "5"), "say what to search by"),
        (("--like", "5"), "no pair 5 with vectors of b32"),
        (("--like", "5", "--model", "l15"), "no model 'l15' in lake.toml"),
    ],
)
def test_wrong_use(orchard: Lake, arguments: tuple[str, ...], message: str) -> None:
    answer = commands.lake("--root", orchard.storage.root, "search", *arguments)
    assert answer.code == 2
    assert message in answer.err


def test_a_small_lake_needs_no_index(orchard: Lake) -> None:
    answer = commands.lake("--root", orchard.storage.root, "index")
    assert answer.out.splitlines() == [
        "b32, image vectors: none: 4 rows are searched exactly",
        "b32, text vectors: none: 4 rows are searched exactly",
    ]
    told = json.loads(commands.lake("--root", orchard.storage.root, "index", "--json").out)
    assert [(one["modality"], one["rows"], one["tuning"]) for one in told] == [
        ("image", 4, None),
        ("text", 4, None),
    ]


def test_no_index_is_made_while_rows_are_removed(orchard: Lake) -> None:
    claim = orchard.ledger.claim(["removals"], ["asked"], "", "", "{}")
    with pytest.raises(ConflictError, match="rows are being removed"):
        index.update(orchard, "b32")
    orchard.ledger.abandon(claim)
    assert index.update(orchard, "b32")
