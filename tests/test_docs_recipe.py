"""docs/recipe.md says the numbers and names that the code has."""

from __future__ import annotations

import re
from enum import StrEnum

import duckdb
import pytest
from doc_pages import ROOT

from lakehouse import sqlfiles
from transforms.candidates.reasons import Drop, Note
from transforms.candidates.rules import CandidateRules
from transforms.downloads.rules import DownloadRules, Network
from transforms.downloads.status import DownloadStatus
from transforms.duplicates import DuplicateRules

TEXT = (ROOT / "docs" / "recipe.md").read_text("utf-8")
RULES = {
    "CandidateRules": CandidateRules(),
    "DownloadRules": DownloadRules(),
    "DuplicateRules": DuplicateRules(),
    "Network": Network(),
}
NAMES = r"((?:`[\w.]+`(?:, | and )?)+)"


def test_rules_are_named_with_the_values_that_they_have() -> None:
    found = re.findall(
        r"`(CandidateRules|DownloadRules|DuplicateRules|Network)\.(\w+)`(?: = (\w+(?:\.\d+)?))?", TEXT
    )
    assert len(found) > 25
    for owner, name, value in found:
        actual = f"{getattr(RULES[owner], name)}".removesuffix(".0")
        assert value in ("", actual), f"{owner}.{name}"


@pytest.mark.parametrize(
    ("words", "kind"), [("reasons?", Drop), ("status(?:es)?", DownloadStatus), ("per unit:", Note)]
)
def test_reasons_are_those_that_are_counted(words: str, kind: type[StrEnum]) -> None:
    named = {name for found in re.findall(rf"{words} {NAMES}", TEXT) for name in re.findall(r"[\w.]+", found)}
    assert named - {"and"} <= set(kind)
    assert named


def test_thresholds_are_those_of_the_views() -> None:
    with duckdb.connect() as connection:
        rows = connection.sql(sqlfiles.house()["thresholds"]).fetchall()
    held = {(rule, scorer): value for rule, scorer, value, _ in rows}
    found = re.findall(rf"[Rr]ules? {NAMES} for `(\w+)`: ([\d.]+\d|\d)", TEXT)
    assert len(found) > 6
    for rules, scorer, value in found:
        for rule in re.findall(r"`([\w.]+)`", rules):
            assert held[rule, scorer] == pytest.approx(float(value)), (rule, scorer)
