"""The rules are plain values: they go into the stage's fingerprint, and a change of them changes rows."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from crawl_units import RULES, WAT, data, drops, units

from transforms.candidates import CandidateRules, extract


def test_as_json() -> None:
    values = json.loads(json.dumps(asdict(RULES)))
    assert CandidateRules(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}) == RULES


def found(rules: CandidateRules) -> tuple[list[dict], dict[str, int]]:
    frame = extract(units(("u", WAT / "archive-org-2008.warc.gz", "warc", 0)), rules)
    return data(frame), drops(frame)


def test_rules_decide() -> None:
    rows, dropped = found(RULES)
    longest = max(len(row["text"]) for row in rows)
    assert (
        found(replace(RULES, min_text_chars=longest + 1))[1]["short_text"]
        == len(rows) + dropped["short_text"]
    )
    assert max(len(row["text"]) for row in found(replace(RULES, max_text_chars=20))[0]) == 20
    assert found(replace(RULES, max_host_chars=10))[1]["host"] > 0
    assert found(replace(RULES, excluded_extensions=("svg",)))[1].get("excluded_format") is None
    assert found(replace(RULES, tracking_hosts=("archive.org",)))[1]["tracking_pixel"] > 0
    assert found(replace(RULES, max_url_chars=30))[1]["long_url"] > 0
    assert found(replace(RULES, schemes=("https",)))[1]["scheme"] > 0


def test_unknown_kind_of_unit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it is wat, warc, urls"):
        extract(units(("u", tmp_path / "x", "wet", 0)), RULES)
