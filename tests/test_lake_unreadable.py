"""A file that cannot be read ends a run; told so, a run notes it, goes on, and reads it again when asked."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import commands
import pytest
from crawl_units import WAT
from distributed import Client

from lakehouse import views
from lakehouse.lake import Lake, open_lake

GOOD = WAT / "cc-main-2016-50.repaired.warc.wat.gz"
BAD = {"empty": b"", "page": b"<html>503 Slow Down</html>", "zipped-page": gzip.compress(b"<html></html>")}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A lake with one good file among four that cannot be read: one of them is not there any more."""
    files = {name: tmp_path / f"{name}.warc.wat.gz" for name in (*BAD, "gone", "good:1")}
    for name, file in files.items():
        file.write_bytes(BAD.get(name, GOOD.read_bytes()))
    root = tmp_path / "lake"
    assert commands.lake("init", root).code == 0
    assert commands.lake("--root", root, "add", *[w for f in files.values() for w in ("--wat", f)]).code == 0
    files["gone"].unlink()
    return root


def units(lake: Lake) -> dict[str, int]:
    return {
        row["unit"]: row["n"]
        for row in views.query(lake, "select unit, count(*) as n from candidates group by unit").to_pylist()
    }


def status(root: Path) -> dict:
    """What `lake status` says of the candidates."""
    return json.loads(commands.lake("--root", root, "status", "--json").out)[0]


def last_line(answer: commands.Answer) -> str:
    """What a run failed with; before it may stand where Dask's dashboard is."""
    assert (answer.code, answer.out) == (1, "")
    return answer.err.splitlines()[-1]


def test_passing_over_and_reading_again(root: Path, client: Client) -> None:
    lake = open_lake(str(root))
    run = ["--root", root, "run", "--scheduler", client.scheduler.address]
    line = last_line(commands.lake(*run, "candidates"))
    assert line.endswith("; `lake run --skip-unreadable` notes it and goes on")
    assert lake.pins() == {}

    assert commands.lake(*run, "candidates", "--skip-unreadable").code == 0
    assert units(lake) == {"good:1.warc.wat.gz": 1}
    bad = [f"{name}.warc.wat.gz" for name in (*BAD, "gone")]
    assert status(root)["unreadable"] == bad
    assert (status(root)["state"], status(root)["done"]) == ("fresh", 5)
    assert status(root)["why"] == "4 passed over as unreadable: `lake run --retry unreadable`"
    assert "everything is fresh" in commands.lake(*run, "candidates").err

    for name in ("empty", "gone"):
        shutil.copy(GOOD, root.parent / f"{name}.warc.wat.gz")
    line = last_line(commands.lake(*run, "--retry", "unreadable"))
    assert "page.warc.wat.gz holds no WARC record" in line
    assert status(root)["unreadable"] == bad
    assert commands.lake(*run, "--retry", "unreadable", "--skip-unreadable").code == 0
    assert status(root)["unreadable"] == bad[1:3]
    found = {(c["unit"], c["name"]): c["n"] for e in lake.ledger.done("candidates") for c in e["counts"]}
    assert found["empty.warc.wat.gz", "in"] == found["good:1.warc.wat.gz", "in"] == 37
    assert found["empty.warc.wat.gz", "drop:known"] == 1  # the same picture as in the good file

    for name in ("page", "zipped-page"):
        shutil.copy(GOOD, root.parent / f"{name}.warc.wat.gz")
    assert commands.lake(*run, "--retry", "unreadable").code == 0
    assert (status(root)["unreadable"], status(root)["why"]) == ([], "")
    assert "everything is fresh" in commands.lake(*run, "--retry", "unreadable").err
    assert units(lake) == {"good:1.warc.wat.gz": 1}


def test_other_statuses_do_not_go_with_it(root: Path) -> None:
    line = commands.complaint(commands.lake("--root", root, "run", "--retry", "unreadable,timeout"), 2)
    assert line.startswith("--retry: no status 'unreadable'; there are ")
    assert line.endswith(", or unreadable alone")
