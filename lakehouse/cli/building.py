"""demo, init, add, run, rebuild: what makes a lake grow."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import TYPE_CHECKING, Any

import click

from lakehouse.cli.base import cluster_options, main, skip_unreadable
from lakehouse.errors import UsageError

if TYPE_CHECKING:
    from lakehouse.lake import Lake


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
    lake.storage.check_writable()
    if crawl is not None and files is not None:
        new = sources.add_crawl(lake, crawl, files, seed, base_url)
        click.echo(f"{len(new)} new wat units of {len(lake.ledger.sources())} in all")
    for kind, patterns in (("wat", wat), ("warc", warc), ("urls", urls)):
        if patterns:
            new = sources.add(lake, kind, patterns)
            click.echo(f"{len(new)} new {kind} units of {len(lake.ledger.sources())} in all")
            _tell_scores(lake, {column for source in new for column in source.scores})


def _tell_scores(lake: Lake, columns: Set[str]) -> None:
    """Which published scores come with lists that were added, and which the settings leave out."""
    from transforms.scores import PUBLISHED

    chosen = {scorer.name for scorer in lake.scorers()}
    there = [scorer.name for scorer in PUBLISHED if scorer.column in columns]
    if there:
        click.echo(f"with LAION's scores: {', '.join(there)}", err=True)
    if left := [name for name in there if name not in chosen]:
        click.echo(f"[scores] scorers in lake.toml leaves out {', '.join(left)}", err=True)


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
    lake.storage.check_writable()
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
    lake.storage.check_writable()
    progress.rebuild(lake, stage, Options(replay=replay, skip_unreadable=skip_unreadable), cluster)
