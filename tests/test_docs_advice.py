"""What errors and docstrings tell people to run is there to be run."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from lakehouse.cli import main

ROOT = Path(__file__).parents[1]
ADVICE = re.compile(r"`lake ([a-z]+)(?: ([a-z][a-z0-9-]+))?")
SOURCES = [p for folder in ("lakehouse", "transforms", "sql") for p in (ROOT / folder).rglob("*.*")]
NAMED = sorted(
    {found for p in SOURCES if p.suffix in (".py", ".sql") for found in ADVICE.findall(p.read_text("utf-8"))}
)


@pytest.mark.parametrize(("name", "word"), NAMED)
def test_a_command_that_is_named_exists(name: str, word: str) -> None:
    command = main.commands.get(name)
    assert command is not None
    if isinstance(command, click.Group) and word:
        assert word in command.commands
