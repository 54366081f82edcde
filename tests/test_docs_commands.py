"""Commands in the documentation exist, with their options, and every command is documented."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from doc_pages import PAGES, ROOT, Block, blocks

from lakehouse.cli import main

BEFORE = ("uv", "run")  # what may stand before a command of the environment
BLOCKS = blocks("sh", "sh run")


def commands(script: str) -> Iterator[list[str]]:
    """The simple commands of a script: lines, and what stands between &&, | and ;."""
    for line in script.replace("\\\n", " ").splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
        words.whitespace_split = True
        command: list[str] = []
        for word in [*words, ";"]:
            if set(word) <= set("&|;"):
                if command:
                    yield command
                command = []
            else:
                command.append(word)


def of(name: str, block: Block) -> list[list[str]]:
    """The arguments of each use of the program `name` in a block, up to a redirection."""
    found = []
    for command in commands(block.text):
        if tuple(command[:2]) == BEFORE:
            command = command[2:]
        if command and command[0] == name:
            end = next((i for i, word in enumerate(command) if set(word) <= set("<>")), len(command))
            found.append(command[1:end])
    return found


def leaves(group: click.Group, path: Sequence[str] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words that call it."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


@pytest.fixture
def harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that parse their arguments and do nothing."""
    for _, command in leaves(main):
        monkeypatch.setattr(command, "callback", lambda **given: None)


@pytest.mark.usefixtures("harmless")
@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_lake_understands_every_command(block: Block) -> None:
    for arguments in of("lake", block):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, f"lake {shlex.join(arguments)}: {result.output}"


@pytest.mark.usefixtures("harmless")
def test_a_command_that_does_not_exist_would_be_noticed() -> None:
    block = Block(
        ROOT / "x.md", 1, "sh", 'cat list | uv run lake sql "a; b" --no-such-option > rows && lake x'
    )
    used = of("lake", block)
    assert used == [["sql", "a; b", "--no-such-option"], ["x"]]
    assert [CliRunner().invoke(main, arguments).exit_code for arguments in used] == [2, 2]


def test_the_documentation_shows_commands() -> None:
    assert sum(len(of("lake", block)) for block in BLOCKS) > 20


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_recipe_exists(block: Block) -> None:
    recipes = set(re.findall(r"^([a-z]+)[^:=\n]*:(?!=)", (ROOT / "justfile").read_text(), re.MULTILINE))
    for arguments in of("just", block):
        named = [word for word in arguments if not word.startswith("-")]
        assert set(named[:1]) <= recipes, arguments


@pytest.mark.parametrize("path", [path for path, _ in leaves(main)], ids=" ".join)
def test_every_command_is_documented_and_says_what_it_does(path: tuple[str, ...]) -> None:
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    assert re.search(rf"lake (--root \S+ )?{' '.join(path)}\b", text), f"lake {' '.join(path)} is nowhere"
    assert dict(leaves(main))[path].help


def test_pages_are_where_they_are_looked_for() -> None:
    names = {page.relative_to(ROOT) for page in PAGES}
    assert {Path("README.md"), Path("docs/recipe.md"), Path("docs/operations.md")} <= names
