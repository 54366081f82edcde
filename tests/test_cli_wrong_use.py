"""Wrong use of the command line: one clear line on stderr, exit code 2 or 1, no traceback."""

from __future__ import annotations

from pathlib import Path

import commands
import lakes
import pytest


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with a few rows; the tests here cannot change it."""
    made = tmp_path_factory.mktemp("wrong") / "lake"
    lakes.small(made)
    return made


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["run", "nosuch"],
            "no stage 'nosuch'; there are candidates, downloads, embeddings, scores, duplicates, pairs, or",
        ),
        (["run", "--model", "l15"], "no model 'l15' in lake.toml; there are b32"),
        (["run"], "the lake has no sources yet: `lake add --wat FILE`, then `lake run`"),
        (["run", "--retry", "bad,timeout"], "--retry: no status 'bad'; there are success, bad_url,"),
        (["run", "embeddings", "--dry-run", "--view", "nosuch"], "no view 'nosuch': `lake views` lists all"),
        (["run", "downloads", "--dry-run", "--view", "pairs"], "--view chooses what is embedded; "),
        (["run", "--workers", "0"], "Invalid value for '--workers': 0 is not in the range x>=1."),
        (["rebuild"], "Missing argument 'STAGE...'."),
        (["history", "nosuch"], "no table 'nosuch'; there are candidates, downloads, images, scores,"),
        (["show", "5"], "no pair has sample_id 5 at head"),
        (["show", "-5"], "no pair has sample_id -5 at head"),
        (["show", "five"], "Invalid value for 'SAMPLE_ID': 'five' is not a valid integer."),
        (["sql", "select from where"], "SQL error: syntax error at or near"),
        (["sql", "select *\nfrom nosuch"], "SQL error: Table with name nosuch does not exist!"),
        (["sql", "select url + 1 from pairs"], "SQL error: "),
        (["sql", "select 1", "--format", "xml"], "Invalid value for '--format': 'xml' is not one of "),
        (["sql", "select 1", "--format", "parquet"], "--format parquet writes a file: name it with --output"),
        (["sql", "select 1", "--output", "x"], "--output takes --format csv, json or parquet"),
        (["sql", "select 1", "--at", "candidates=99"], "table candidates has no version 99: `lake history "),
        (["sql", "select 1", "--at", "candidates=-1"], "table candidates has no version -1: `lake history "),
        (["sql", "select 1", "--at", "nosuch=1"], "no table 'nosuch' that SQL can read at a version; there"),
        (
            ["sql", "select 1", "--at", "candidates"],
            "--at candidates: expected TABLE=VERSION, where VERSION is",
        ),
        (["sql", "select 1", "--at", "2001-01-01"], "the lake had no rows at 2001-01-01T00:00:00Z: "),
        (["sql", "select 1", "--at", "2999-01-01"], "--at 2999-01-01T00:00:00Z lies ahead: leave it out"),
        (
            ["sql", "select 1", "--set", "similarity_en=high"],
            "--set similarity_en=high: expected NAME=VALUE,",
        ),
        (["sql", "select 1", "--set", "similarity_en=nan"], "--set similarity_en = nan: expected a number"),
        (["sql", "select 1", "--set", "beauty=1"], "no threshold 'beauty'; there are "),
        (["sql", "select 1", "--release", "v9"], "no release 'v9'; there is none yet: `lake release create"),
        (["views", "--sql", "--release", "v9"], "no release 'v9'; there is none yet: `lake release create"),
        (["release", "show", "v9"], "no release 'v9'; there is none yet: `lake release create NAME`"),
        (["release", "verify", "v9"], "no release 'v9'; there is none yet: `lake release create NAME`"),
        (
            ["release", "create", "a b"],
            "a release's name has letters, digits, '.', '_' and '-' only, and is not head: not 'a",
        ),
        (["search", "apple"], "nothing is embedded with b32 yet: `lake run`"),
        (["search", "apple", "--model", "l15"], "no model 'l15' in lake.toml; there are b32"),
        (["compact", "nosuch"], "no table 'nosuch'; there are "),
        (["add"], "say what to add: --wat, --warc, --urls or --crawl"),
        (["add", "--wat", "nosuch.wat.gz"], "no file nosuch.wat.gz: check the path; a glob must match"),
        (["add", "--wat", "nosuch*.wat.gz"], "no file nosuch*.wat.gz: check the path; a glob must match"),
        (["add", "--wat", __file__], f"{__file__} does not look like --wat: expected .wat.gz, .wat, .gz"),
        (["add", "--urls", "gopher://x/list.csv"], "gopher://x/list.csv: Protocol not known: gopher"),
        (["add", "--crawl", "CC-MAIN-2026-30"], "--crawl and --files go together: --crawl CC-MAIN-2026-30"),
        (["add", "--files", "3"], "--crawl and --files go together: --crawl CC-MAIN-2026-30"),
        (["nosuch"], "No such command 'nosuch'."),
        (["release", "nosuch"], "No such command 'nosuch'."),
        (["status", "--nosuch"], "No such option '--nosuch'."),
    ],
    ids=lambda value: " ".join(value).replace(__file__, "FILE") if isinstance(value, list) else None,
)
def test_what_cannot_be_meant_is_told_in_a_line(root: Path, arguments: list[str], line: str) -> None:
    answer = commands.lake("--root", root, *arguments)
    assert commands.complaint(answer, 2).startswith(line)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("empty.csv", b"", "has no rows"),
        ("page.parquet", b"<html>", "is no parquet file"),
        ("short.parquet", b"PAR1\0\0PAR1", "is no parquet file"),
    ],
)
def test_a_url_list_that_is_none(root: Path, tmp_path: Path, name: str, content: bytes, line: str) -> None:
    (tmp_path / name).write_bytes(content)
    answer = commands.lake("--root", root, "add", "--urls", tmp_path / name)
    assert line in commands.complaint(answer, 2)


def test_a_result_that_cannot_be_written(root: Path, tmp_path: Path) -> None:
    for form in ("csv", "json", "parquet"):
        asked = ["sql", "select 1", "--format", form, "--output", tmp_path / "nosuch" / "x"]
        assert str(tmp_path / "nosuch" / "x") in commands.complaint(commands.lake("--root", root, *asked), 1)


def test_roots_that_are_no_lake(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for place in (tmp_path, file, tmp_path / "nosuch", file / "below"):
        line = commands.complaint(commands.lake("--root", place, "status"), 2)
        assert line.startswith(f"no lake at {place}: make one with `lake init {place}`")


def test_places_where_no_lake_can_be_made(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for place, why in ((file, "File exists"), (file / "below", "Not a directory")):
        line = commands.complaint(commands.lake("init", place), 2)
        assert line == f"cannot make a folder at {place}: {why}"
    assert commands.complaint(commands.lake("init", root), 2) == f"there is a lake at {root} already"
