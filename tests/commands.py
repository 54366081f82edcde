"""`lake` as a user meets it: in this process where that is the same, else as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from lakehouse.cli import main

SCRIPT = Path(sys.executable).parent / "lake"  # as the package installs it
SECONDS = 120  # for one command, on a machine with other work to do


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str


def lake(*arguments: str | Path) -> Answer:
    """Runs the command in this process; an exception that a user would see as a traceback is raised here."""
    result = CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False, prog_name="lake")
    return Answer(result.exit_code, result.stdout, result.stderr)


def environment(**variables: str) -> Mapping[str, str]:
    """This process's environment without the settings of any lake."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LAKE_")}
    return {**kept, **variables}


def start(*arguments: str | Path, cwd: Path, **variables: str) -> subprocess.Popen[str]:
    """The command as a process in a group of its own, as a shell starts it."""
    return subprocess.Popen(
        [SCRIPT, *map(str, arguments)],
        cwd=cwd,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def process(*arguments: str | Path, cwd: Path, **variables: str) -> Answer:
    """Runs the command as a process to its end."""
    with start(*arguments, cwd=cwd, **variables) as running:
        out, err = running.communicate(timeout=SECONDS)
    return Answer(running.returncode, out, err)


def complaint(answer: Answer, code: int) -> str:
    """The one line that a command failed with; click adds two on how it is used to its own."""
    lines = [line for line in answer.err.splitlines() if line]
    usage = lines[:-1]
    assert answer.code == code, answer
    assert answer.out == "", answer
    assert not usage or (len(usage) == 2 and usage[0].startswith("Usage: lake")), answer
    assert "Traceback" not in answer.err, answer
    assert lines[-1].startswith("Error: "), answer
    return lines[-1].removeprefix("Error: ")
