"""Reports count what is there; the numbers are counted here by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lakehouse import sqlfiles, views
from lakehouse.lake import Lake, init
from tests import lakes

REPORTS = sorted(path.stem for path in (sqlfiles.folder() / "reports").glob("*.sql"))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Six pairs: four English (one URL has two texts), one German, one of no language; a failed download."""
    made = init(
        str(tmp_path_factory.mktemp("reports")), '[models.b32]\n[scores]\nscorers = ["similarity_b32"]\n'
    )
    apple, fig, lime = lakes.candidate("apple"), lakes.candidate("fig"), lakes.candidate("lime")
    again = lakes.candidate("apple", text="the apple once more", sample_id=7)
    pear = lakes.candidate("pear", "de", host="other.test")
    plum = lakes.candidate("plum", None)
    lakes.append(made, {"candidates": [apple, again, fig, lime, pear, plum]})
    fetched = [
        lakes.download(apple, width=100, height=256, sha256="aa" * 32),
        lakes.download(fig, width=511, height=600, sha256="aa" * 32, phash=2),
        lakes.download(lime, "timeout"),
        lakes.download(pear, width=2048, height=1024, sha256="bb" * 32, phash=3),
        lakes.download(plum, width=256, height=256, sha256="cc" * 32, phash=None),
    ]
    lakes.append(made, {"downloads": fetched})
    values = {7: 0.1, apple["sample_id"]: 0.28, fig["sample_id"]: 0.31, pear["sample_id"]: 0.27}
    values[plum["sample_id"]] = -0.005
    values[lime["sample_id"]] = None  # type: ignore[assignment]
    rows = [
        {"sample_id": i, "scorer": "similarity_b32", "value": v, "unit": lakes.UNIT}
        for i, v in values.items()
    ]
    lakes.append(made, {"scores/similarity_b32": rows})
    method = {"method": "phash", "unit": lakes.UNIT, "group_id": 7}
    groups = [
        {"sample_id": 7, "kept": True} | method,
        {"sample_id": apple["sample_id"], "kept": False} | method,
    ]
    lakes.append(made, {"duplicates/phash": groups})
    return made


def report(lake: Lake, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = views.query(lake, f"from {name}").to_pylist()
    return rows


def test_languages(lake: Lake) -> None:
    found = [tuple(row.values())[:6] for row in report(lake, "languages")]
    assert found == [
        ("en", 4, 0.6667, 3, 2, 0.6667),
        ("de", 1, 0.1667, 1, 1, 1.0),
        (None, 1, 0.1667, 1, 0, 0.0),
    ]


def test_hosts(lake: Lake) -> None:
    found = [tuple(row.values()) for row in report(lake, "hosts")]
    assert found == [("pictures.test", 5, 0.8333, 4, 3, 0.75, 2), ("other.test", 1, 0.1667, 1, 1, 1.0, 1)]


def test_size_histogram(lake: Lake) -> None:
    found = [tuple(row.values()) for row in report(lake, "size_histogram")]
    assert found == [(64, 128, 1, 1.0), (256, 512, 2, 0.75), (1024, 2048, 1, 0.25)]


def test_score_histogram(lake: Lake) -> None:
    rows = report(lake, "score_histogram")
    assert {row["scorer"] for row in rows} == {"similarity_b32"}
    assert sum(row["rows"] for row in rows) == 5
    assert (rows[0]["low"], rows[0]["high"], rows[0]["below"]) == (-0.01, 0.0, 0.0)
    values = np.array([-0.005, 0.1, 0.27, 0.28, 0.31], np.float32).astype(float)
    for row in rows:
        assert row["rows"] == ((values >= row["low"]) & (values < row["high"])).sum()
        assert row["below"] == pytest.approx((values < row["low"]).mean())


def test_similarity_by_language(lake: Lake) -> None:
    english, german, none = report(lake, "similarity_by_language")
    values = np.array([0.1, 0.28, 0.31], np.float32)
    assert (english["language"], english["scored"], english["kept_share"]) == ("en", 3, 0.6667)
    for percent in (5, 25, 50, 75, 95):
        assert english[f"p{percent}"] == pytest.approx(np.quantile(values, percent / 100), rel=1e-6)
    assert (german["language"], german["kept_share"], german["threshold"]) == ("de", 1.0, pytest.approx(0.26))
    assert (none["language"], none["kept_share"]) == (None, 0.0)


def test_repeated_pictures(lake: Lake) -> None:
    found = [tuple(row.values()) for row in report(lake, "repeated_pictures")]
    assert found == [("file", 4, 1, 1, 2), ("grouped: phash", 2, 1, 1, 2), ("hash", 3, 0, 0, 1)]


@pytest.mark.parametrize("name", REPORTS)
def test_reports_are_empty_on_an_empty_lake(tmp_path: Path, name: str) -> None:
    assert report(init(str(tmp_path)), name) == []
