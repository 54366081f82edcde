"""The `lake` command: parse, call the library, print.

Data goes to stdout, progress and notes to stderr. Exit codes: 0 done, 1 failed, 2 wrong use.
The library is imported by each command: Dask, DuckDB and Arrow take seconds, `lake --help` none.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from lakehouse.errors import LakeError, UsageError

STOPPED = "Stopped: what was committed stays, and `lake run` goes on from there"

FORMATS = ("table", "csv", "json", "parquet")
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Command(click.Group):
    """Shows Pairlake's own errors as one line each, and commands in the order of a lake's life."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of their definition."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; a LakeError ends it with its exit code, Ctrl-C with a word on how to go on."""
        try:
            return super().invoke(ctx)
        except LakeError as error:
            click.echo(f"Error: {' '.join(str(error).split())}", err=True)
            ctx.exit(2 if isinstance(error, UsageError) else 1)
        except KeyboardInterrupt:
            newline = "\n" if sys.stderr.isatty() else ""  # after the ^C that a terminal shows
            click.echo(newline + STOPPED, err=True)
            ctx.exit(1)
        except BrokenPipeError:
            sys.stderr.close()
            ctx.exit(0)


def _help(ctx: click.Context) -> None:
    """A group's help where no command follows."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@click.group(cls=Command, context_settings=SETTINGS, invoke_without_command=True)
@click.option(
    "--root", metavar="URI", help="The lake: a folder or s3:// URI. Default: LAKE_ROOT, else ./lake."
)
@click.version_option(package_name="pairlake")
@click.pass_context
def main(ctx: click.Context, root: str | None) -> None:
    """Image-text datasets made the way LAION-5B was made, with every stage a versioned table."""
    ctx.obj = root
    _help(ctx)


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


skip_unreadable = click.option(
    "--skip-unreadable", is_flag=True, help="Note crawl files that are missing or hold nothing, and go on."
)


def cluster_options(command: Any) -> Any:
    """--workers, --scheduler and --gpus, as every command that computes has them."""
    command = click.option("--workers", type=click.IntRange(1), help="Local worker processes.")(command)
    command = click.option("--scheduler", metavar="ADDR", help="A Dask scheduler that runs already.")(command)
    return click.option("--gpus", is_flag=True, default=None, help="One worker per local GPU.")(command)


@main.command()
@cluster_options
@click.pass_obj
def demo(root: str | None, /, **cluster: Any) -> None:
    """Build a lake from the embedded demo web, end to end (./demo-lake)."""
    from lakehouse.demo.tour import run_demo

    run_demo(root or "demo-lake", cluster)


@main.command()
@click.argument("root")
@click.option("--model", metavar="M", default="b32", show_default=True, help="b32, l14, or the small demo.")
def init(root: str, model: str) -> None:
    """Make an empty lake: a folder or an object-store URI, with its lake.toml."""
    from lakehouse.lake import init
    from lakehouse.settings import BUILTIN

    if model not in BUILTIN:
        raise UsageError(f"no model {model!r}; there are {', '.join(BUILTIN)}; others go into lake.toml")
    lake = init(root, model=model)
    click.echo(f"made {lake.storage.uri('lake.toml')}; next: lake --root {root} add --wat FILE")


@main.command()
@click.option("--wat", multiple=True, metavar="PATH", help="WAT files of a crawl: paths, globs, URLs.")
@click.option("--warc", multiple=True, metavar="PATH", help="WARC files: pages, and pictures for --replay.")
@click.option("--urls", multiple=True, metavar="PATH", help="Lists of URL and text: parquet, CSV, JSONL.")
@click.option("--crawl", metavar="ID", help="A crawl of Common Crawl, such as CC-MAIN-2026-30.")
@click.option("--files", type=click.IntRange(1), metavar="N", help="How many WAT files of it: the first N.")
@click.option("--seed", type=int, help="With --crawl: a sample of N files instead, the same for each seed.")
@click.option("--base-url", metavar="URL", help="With --crawl: a mirror. Default: crawls.url in lake.toml.")
@click.pass_obj
def add(
    root: str | None,
    wat: Sequence[str],
    warc: Sequence[str],
    urls: Sequence[str],
    crawl: str | None,
    files: int | None,
    seed: int | None,
    base_url: str | None,
) -> None:
    """Register sources; they are remembered."""
    from lakehouse import open_lake, sources

    if (crawl is None) != (files is None):
        raise click.UsageError("--crawl and --files go together: --crawl CC-MAIN-2026-30 --files 10")
    if not (wat or warc or urls or crawl):
        raise click.UsageError("say what to add: --wat, --warc, --urls or --crawl")
    lake = open_lake(root)
    if crawl is not None and files is not None:
        new = sources.add_crawl(lake, crawl, files, seed, base_url)
        click.echo(f"{len(new)} new wat units of {len(lake.ledger.sources())} in all")
    for kind, patterns in (("wat", wat), ("warc", warc), ("urls", urls)):
        if patterns:
            new = sources.add(lake, kind, patterns)
            click.echo(f"{len(new)} new {kind} units of {len(lake.ledger.sources())} in all")


@main.command("run")
@click.argument("stage", nargs=-1)
@click.option("--model", metavar="M", help="Only this model's embeddings.")
@click.option("--view", metavar="V", help="Only the rows of this view.")
@click.option(
    "--retry",
    metavar="STATUS,…",
    help="Try again the URLs whose last attempt ended so, or `unreadable` files.",
)
@skip_unreadable
@click.option("--replay", is_flag=True, help="Take pictures from the registered WARC files, not the network.")
@click.option("--dry-run", is_flag=True, help="Say what there is to do, and do nothing.")
@click.option("--wait", is_flag=True, help="Wait for another driver that holds a stage.")
@cluster_options
@click.pass_obj
def run_(
    root: str | None,
    /,
    stage: Sequence[str],
    model: str | None,
    view: str | None,
    retry: str | None,
    replay: bool,
    dry_run: bool,
    wait: bool,
    skip_unreadable: bool,
    **cluster: Any,
) -> None:
    """Do what is not done, upstream first."""
    from lakehouse import open_lake, progress, show
    from lakehouse.run import plan
    from lakehouse.stages import UNREADABLE, Options, chosen

    lake = open_lake(root)
    statuses = _statuses(retry) if retry is not None else ()
    options = Options(replay, statuses, view, wait, skip_unreadable)
    if statuses and not stage:
        stage = ("candidates",) if statuses == UNREADABLE else ("downloads",)
    stages = chosen(lake, stage, model)
    if dry_run:
        show.plans([plan(lake, s, options) for s in stages])
        return
    if not lake.ledger.sources():
        raise UsageError("the lake has no sources yet: `lake add --wat FILE`, then `lake run`")
    progress.run(lake, stages, options, cluster)


def _statuses(retry: str) -> tuple[str, ...]:
    from lakehouse.stages import UNREADABLE
    from transforms.downloads.status import DownloadStatus

    found = tuple(status.strip() for status in retry.split(","))
    if found == UNREADABLE:
        return found
    for status in found:
        if status not in [*DownloadStatus]:
            raise UsageError(
                f"--retry: no status {status!r}; there are {', '.join(DownloadStatus)}, or unreadable alone"
            )
    return found


@main.command()
@click.argument("stage", nargs=-1, required=True)
@click.option("--replay", is_flag=True, help="Take pictures from the registered WARC files.")
@skip_unreadable
@cluster_options
@click.pass_obj
def rebuild(
    root: str | None, /, stage: Sequence[str], replay: bool, skip_unreadable: bool, **cluster: Any
) -> None:
    """A new generation of a stage and of what depends on it; readers change over when it is complete."""
    from lakehouse import open_lake, progress
    from lakehouse.stages import Options

    lake = open_lake(root)
    progress.rebuild(lake, stage, Options(replay=replay, skip_unreadable=skip_unreadable), cluster)


@main.command()
@as_json
@click.pass_obj
def status(root: str | None, as_json: bool) -> None:
    """Which stages are fresh, which are not, and why."""
    from lakehouse import open_lake, show
    from lakehouse.run import plan
    from lakehouse.stages import stages

    lake = open_lake(root)
    plans = [plan(lake, stage) for stage in stages(lake)]
    if as_json:
        click.echo(json.dumps([show.plan_fields(p) for p in plans], indent=2))
    else:
        show.status(lake, plans)


@main.command()
@click.argument("table")
@as_json
@click.pass_obj
def history(root: str | None, table: str, as_json: bool) -> None:
    """A table's batches and native versions, with their lineage."""
    from lakehouse import open_lake, show

    show.history(open_lake(root), table, as_json)


# About half of all ids are negative: "-5" is one, and no option
@main.command("show", context_settings={"ignore_unknown_options": True})
@click.argument("sample_id", type=int)
@click.pass_obj
def show_(root: str | None, sample_id: int) -> None:
    """One row through every stage."""
    from lakehouse import open_lake, show

    show.sample(open_lake(root), sample_id)


def _pairs(kind: type, given: Sequence[str], option: str) -> dict[str, Any]:
    """NAME=VALUE arguments as a dict."""
    found = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            found[name] = kind(value)
        except ValueError as error:
            what = "a whole number" if kind is int else "a number"
            raise UsageError(f"{option} {text}: expected NAME=VALUE, where VALUE is {what}") from error
    return found


@main.command()
@click.argument("query")
@click.option("--release", metavar="NAME", help="Read the lake as this release saw it.")
@click.option("--at", multiple=True, metavar="TABLE=VERSION", help="Read a table at a native version.")
@click.option("--set", "thresholds", multiple=True, metavar="NAME=VALUE", help="Try another threshold.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("--output", type=click.Path(dir_okay=False), help="Write to a file; parquet needs one.")
@click.pass_obj
def sql(
    root: str | None,
    query: str,
    release: str | None,
    at: Sequence[str],
    thresholds: Sequence[str],
    form: str,
    output: str | None,
) -> None:
    """SQL over the views, at head, at a release or at native versions."""
    from lakehouse import open_lake, show, views

    lake = open_lake(root)
    rows = views.query(
        lake,
        query,
        versions=_pairs(int, at, "--at"),
        release=release,
        thresholds=_pairs(float, thresholds, "--set"),
    )
    show.rows(rows, form, Path(output) if output else None)


@main.command()
@click.option("--sql", "as_sql", is_flag=True, help="As a script for the DuckDB shell.")
@click.option("--release", metavar="NAME", help="As this release saw them.")
@click.pass_obj
def views(root: str | None, as_sql: bool, release: str | None) -> None:
    """The lake's views: their names, or a script that makes them in the DuckDB shell."""
    from lakehouse import open_lake, views

    lake = open_lake(root)
    click.echo(views.script(lake, release) if as_sql else "\n".join(views.names(lake)))


@main.command()
@click.argument("text")
@click.option("-k", type=click.IntRange(1, 10_000), default=10, show_default=True, help="How many.")
@click.option("--model", metavar="M", help="Whose embeddings; default: the lake's first model.")
@click.option("--format", "form", type=click.Choice(FORMATS[:3]), default="table", show_default=True)
@click.pass_obj
def search(root: str | None, text: str, k: int, model: str | None, form: str) -> None:
    """The pictures nearest to a text."""
    from lakehouse import open_lake, show
    from lakehouse.search import by_text

    show.rows(by_text(open_lake(root), text, k, model), form)


@main.group(invoke_without_command=True)
@click.pass_context
def release(ctx: click.Context) -> None:
    """Named dataset versions."""
    _help(ctx)


@release.command()
@click.argument("name")
@click.option("--note", help="One line on what it is for.")
@click.pass_obj
def create(root: str | None, name: str, note: str | None) -> None:
    """Name what the lake holds now."""
    from lakehouse import open_lake, releases

    made = releases.create(open_lake(root), name, note)
    rows = sum(made.counts.values())
    click.echo(f"release {made.name}: {rows:,} rows pinned; verify it with `lake release verify {name}`")


@release.command("list")
@as_json
@click.pass_obj
def list_(root: str | None, as_json: bool) -> None:
    """All releases, oldest first."""
    from lakehouse import open_lake, releases, show

    show.releases(releases.list_releases(open_lake(root)), as_json)


@release.command("show")
@click.argument("name")
@click.pass_obj
def show_release(root: str | None, name: str) -> None:
    """One release: pins, counts, fingerprints, thresholds."""
    from lakehouse import open_lake, releases, show

    show.release(releases.get(open_lake(root), name))


@release.command()
@click.argument("name")
@click.option("--fast", is_flag=True, help="Compare the ledger's sums alone; read no data.")
@cluster_options
@click.pass_obj
def verify(root: str | None, /, name: str, fast: bool, **cluster: Any) -> None:
    """Prove that a release still reads the same, to the bit."""
    from lakehouse import open_lake, releases
    from lakehouse.cluster import connect

    lake = open_lake(root)
    releases.get(lake, name)
    if fast:
        findings = releases.verify(lake, name, full=False)
    else:
        with connect(lake.settings.with_cluster(**cluster).cluster) as client:
            findings = releases.verify(lake, name, client)
    for finding in findings:
        click.echo(str(finding))
    if findings:
        raise LakeError(f"release {name} does not verify: {len(findings)} findings")
    click.echo(f"release {name} verifies")


@main.command()
@click.argument("table", nargs=-1)
@click.pass_obj
def compact(root: str | None, table: Sequence[str]) -> None:
    """Merge the small files of tables; rows, releases and fingerprints stay as they are."""
    from lakehouse import care, open_lake

    lake = open_lake(root)
    for name in table or lake.names():
        version = care.compact(lake, name)
        if version is not None:
            click.echo(f"{name}: version {version}")


def entry() -> None:
    """The console script: `main`, and then the end of the process, without taking the engines apart.

    Seen once, on a busy machine: a command that had printed its answer was aborted while C++ libraries ended
    their threads ("terminate called without an active exception"), and exited with 134.
    """
    code: object = 1
    try:
        main()
    except SystemExit as end:
        code = end.code
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a pipe that the reader has closed
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))
