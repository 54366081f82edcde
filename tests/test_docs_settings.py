"""docs/operations.md names every key of lake.toml with its default, and its examples load."""

from __future__ import annotations

import dataclasses
import os
import re
import tomllib

import pytest
from doc_pages import ROOT, Block, blocks, section, table

from lakehouse.lake import Lake
from lakehouse.server.limits import Limits
from lakehouse.settings import SECTIONS, Batches, Cluster, Crawls, Duplicates, Retention, Writes, parse
from lakehouse.storage import Storage
from transforms.candidates.rules import CandidateRules
from transforms.downloads.rules import DownloadRules, HashLists, Network
from transforms.files import Reads

OPERATIONS = ROOT / "docs" / "operations.md"
WITH_KEYS = {
    "cluster": Cluster(),
    "batches": Batches(),
    "writes": Writes(),
    "candidates": CandidateRules(),
    "downloads": DownloadRules(),
    "network": Network(),
    "refused": HashLists(),
    "retention": Retention(),
    "crawls": Crawls(),
    "duplicates": Duplicates(),
    "reads": Reads(),
    "server": Limits(),
}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LAKE_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("name", WITH_KEYS)
def test_every_key_stands_there_with_its_default(name: str) -> None:
    told = dataclasses.asdict(WITH_KEYS[name])  # type: ignore[call-overload]
    rows = table(section(OPERATIONS, f"### [{name}]"))
    assert [key.strip("`") for key, _, _ in rows] == list(told)
    for key, default, meaning in rows:
        value = told[key.strip("`")]
        assert meaning
        if default == "`…`":  # a long list: the page says how long
            assert re.search(rf"\(default: {len(value)}\b", meaning), key
        elif default == "—":
            assert value is None, key
        else:
            read = tomllib.loads(f"value = {default.strip('`')}")["value"]
            assert read == (list(value) if isinstance(value, tuple) else value), key
            assert isinstance(value, bool) == isinstance(read, bool), key


def test_every_section_has_its_own() -> None:
    headings = re.findall(r"^### \[(\w+)", OPERATIONS.read_text("utf-8"), re.MULTILINE)
    assert headings == list(SECTIONS)


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_examples_load(block: Block, tmp_path_factory: pytest.TempPathFactory) -> None:
    told = parse(Storage(str(tmp_path_factory.mktemp("example"))), tomllib.loads(block.text))
    assert [s.name for s in Lake(told).scorers()][: len(told.scorers)] == list(told.scorers)


def test_there_is_an_example() -> None:
    assert OPERATIONS in [block.page for block in blocks("toml")]
