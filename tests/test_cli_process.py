"""The installed command as a process: exit codes, streams and file rights that no call inside Python has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import commands
import lakes
import pytest
from test_batch_disk_full import fill_up, small_disk  # noqa: F401  a fixture

WAT = Path(__file__).parent / "data" / "wat" / "whirlwind.warc.wat.gz"

# Runs a command as somebody whom file modes bind: root without the capabilities that let it pass them
# (linux/capability.h: DAC_OVERRIDE 1, DAC_READ_SEARCH 2; linux/prctl.h: PR_CAPBSET_DROP 24)
BOUND = """
import ctypes, os, sys
if os.geteuid() == 0:
    for capability in (1, 2):
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_wrong_use_and_failure_have_their_exit_codes(tmp_path: Path) -> None:
    line = commands.complaint(commands.process("status", cwd=tmp_path), 2)
    assert line.startswith(f"no lake at {tmp_path / 'lake'}: make one with `lake init")
    lakes.small(tmp_path / "lake")
    line = commands.complaint(commands.process("sql", "select * from nosuch", cwd=tmp_path), 2)
    assert line.startswith("SQL error: Table with name nosuch does not exist!")
    answer = commands.process("status", "--json", cwd=tmp_path, LAKE_ROOT=str(tmp_path / "lake"))
    assert (answer.code, answer.err) == (0, "")
    assert json.loads(answer.out)[0]["stage"] == "candidates"


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    lakes.small(tmp_path / "lake")
    query = "select repeat('x', 100) as x from range(20000)"
    with commands.start("sql", query, "--format", "csv", cwd=tmp_path) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline() == '"x"\n'
        running.stdout.close()
        assert running.stderr.read() == ""
        assert running.wait(commands.SECONDS) in (0, 1)


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder with a lake in it that nobody may write to."""
    lakes.small(tmp_path / "lake")
    places = [tmp_path, *tmp_path.rglob("*")]
    for place in places:
        place.chmod(place.stat().st_mode & ~0o222)
    yield tmp_path
    for place in places:
        place.chmod(place.stat().st_mode | 0o200)


def test_a_root_that_may_not_be_written_to(read_only: Path) -> None:
    def bound(*command: str | Path) -> commands.Answer:
        done = subprocess.run(
            [sys.executable, "-c", BOUND, *map(str, command)],
            cwd=read_only,
            env=commands.environment(),
            capture_output=True,
            text=True,
            timeout=commands.SECONDS,
            check=False,
        )
        return commands.Answer(done.returncode, done.stdout, done.stderr)

    if bound("/bin/sh", "-c", "echo > probe").code == 0:
        pytest.skip("this machine lets the tests write to read-only folders")
    line = commands.complaint(bound(commands.SCRIPT, "add", "--wat", WAT), 1)
    assert line.startswith(f"no permission for {read_only / 'lake' / 'ledger'}/")
    assert line.endswith(": check the rights on the lake's root")
    line = commands.complaint(bound(commands.SCRIPT, "release", "create", "v1"), 1)
    assert line.startswith(f"no permission for {read_only / 'lake' / 'releases'}")
    line = commands.complaint(bound(commands.SCRIPT, "init", "other"), 2)
    assert line == f"cannot make a folder at {read_only / 'other'}: Permission denied"
    assert bound(commands.SCRIPT, "sql", "select count(*) from pairs").code == 0, "reading needs no rights"
    assert not os.path.exists(read_only / "probe")


def test_a_full_disk(small_disk: Path) -> None:  # noqa: F811
    root = small_disk / "lake"
    lakes.small(root)
    fill_up(small_disk / "ballast", 0)
    for asked in (["add", "--wat", WAT], ["release", "create", "v1"]):
        line = commands.complaint(commands.process("--root", root, *asked, cwd=small_disk), 1)
        assert line.startswith(f"no space left while writing {root}/")
        assert line.endswith(": make room, then run the same command again")
