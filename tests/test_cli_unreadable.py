"""What fails on a worker is one line on stderr too, without Dask's own tracebacks beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

import commands
import lakes
import pytest
from distributed import Client

from lakehouse import cluster
from lakehouse.demo import MODEL
from lakehouse.lake import init, open_lake

WATS = Path(__file__).parent / "data" / "wat"


def told(answer: commands.Answer) -> commands.Answer:
    """`answer` without the line that says where Dask's dashboard is, which a run may print on stderr."""
    lines = [line for line in answer.err.splitlines() if not line.startswith("Dask dashboard: ")]
    return commands.Answer(answer.code, answer.out, "\n".join(lines))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A lake whose one source is an error page under the name of a crawl file."""
    page = tmp_path / "a.warc.wat.gz"
    page.write_text("<html><title>503 Slow Down</title></html>")
    assert commands.lake("init", tmp_path / "lake").code == 0
    assert commands.lake("--root", tmp_path / "lake", "add", "--wat", page).code == 0
    return tmp_path / "lake"


def test_a_crawl_file_that_is_none(root: Path, client: Client) -> None:
    here = ["--scheduler", client.scheduler.address]
    failed = "candidates: batch 1 failed on a worker, nothing of it was kept: "
    file = root.parent / "a.warc.wat.gz"
    line = commands.complaint(
        told(commands.process("run", "candidates", "--workers", "1", cwd=root.parent)), 1
    )
    assert line.startswith(f"{failed}{file} holds no WARC record: it begins with b'<html>")
    file.write_bytes(b"")
    line = commands.complaint(told(commands.lake("--root", root, "run", "candidates", *here)), 1)
    skip = "; `lake run --skip-unreadable` notes it and goes on"
    assert line == f"{failed}{file} is empty (0 bytes): fetch it again{skip}"
    file.unlink()
    line = commands.complaint(told(commands.lake("--root", root, "run", "candidates", *here)), 1)
    assert line.startswith(f"{failed}FileNotFoundError: ")
    assert open_lake(str(root)).pins() == {}
    shutil.copy(WATS / "cc-main-2016-50.repaired.warc.wat.gz", file)
    answer = told(commands.lake("--root", root, "run", "candidates", *here))
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.startswith("candidates: a batch of 1 done, ")
    again = commands.lake("--root", root, "run", "candidates", *here)
    assert again == commands.Answer(0, "", "everything is fresh: nothing to do\n")


def test_a_model_without_its_weights(tmp_path: Path, client: Client) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copy(MODEL / "open_clip_config.json", folder)
    lake = init(str(tmp_path / "lake"), f'[models.broken]\narchitecture = "{folder}"\n')
    apple = lakes.candidate("apple")
    lakes.append(lake, {"candidates": [apple]})
    lakes.append(
        lake, {"downloads": [lakes.download(apple)], "images": [lakes.image(apple)]}, ["candidates:1"]
    )
    at = ["--root", lake.storage.root]
    assert commands.lake(*at, "add", "--wat", WATS / "whirlwind.warc.wat.gz").code == 0
    answer = commands.lake(*at, "run", "embeddings", "--scheduler", client.scheduler.address)
    line = commands.complaint(told(answer), 1)
    assert line == f"model broken: there is no weights file {folder / 'open_clip_model.safetensors'}"
    line = commands.complaint(told(commands.lake(*at, "search", "apple")), 2)
    assert line == "nothing is embedded with broken yet: `lake run`"


def test_no_scheduler_at_that_address(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    for address in ("tcp://127.0.0.1:9", "carrier-pigeon://roof"):
        answer = commands.lake("--root", root, "run", "candidates", "--scheduler", address)
        assert commands.complaint(answer, 2).startswith(f"no Dask scheduler answers at {address}: ")
