"""release …: named dataset versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lakehouse.cli.base import as_json, cluster_options, group_help, main
from lakehouse.errors import LakeError


@main.group(invoke_without_command=True)
@click.pass_context
def release(ctx: click.Context) -> None:
    """Named dataset versions."""
    group_help(ctx)


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
@as_json
@click.pass_obj
def show_release(root: str | None, name: str, as_json: bool) -> None:
    """One release: pins, counts, fingerprints; with --json its views and thresholds too."""
    from lakehouse import open_lake, releases, show

    show.release(releases.get(open_lake(root), name), as_json)


@release.command()
@click.argument("before")
@click.argument("after")
@click.option("--view", default="pairs", show_default=True, metavar="V", help="The view whose rows differ.")
@click.option(
    "--to", type=click.Path(dir_okay=False), metavar="FILE", help="Write the rows here, as parquet."
)
@click.option(
    "--publishable", is_flag=True, help="With --to: only keys of rows that are no more; no reasons."
)
@as_json
@click.pass_obj
def diff(
    root: str | None,
    before: str,
    after: str,
    view: str,
    to: str | None,
    publishable: bool,
    as_json: bool,
) -> None:
    """What changed between two releases, or a release and `head`: rows by reason."""
    from lakehouse import open_lake, show
    from lakehouse.diff import diff
    from lakehouse.releases import HEAD

    if publishable and to is None:
        raise click.UsageError("--publishable writes a file: name it with --to FILE")
    first, second = (open_lake(root, release=None if name == HEAD else name) for name in (before, after))
    found = diff(first, second, view, Path(to) if to else None, publishable)
    show.diff(found, (before, after), as_json)


@release.command()
@click.argument("name")
@click.option("--fast", is_flag=True, help="Compare the ledger's sums alone; read no data.")
@cluster_options
@click.pass_obj
def verify(root: str | None, /, name: str, fast: bool, **cluster: Any) -> None:
    """Prove that a release still reads the same, to the bit."""
    from lakehouse import open_lake, releases, verification
    from lakehouse.cluster import connect

    lake = open_lake(root)
    release = releases.get(lake, name)
    if fast:
        findings = releases.verify(lake, name, full=False)
    else:
        with connect(lake.settings.with_cluster(**cluster).cluster) as client:
            findings = releases.verify(lake, name, client)
    for finding in findings:
        click.echo(str(finding))
    if findings:
        raise LakeError(f"release {name} does not verify: {len(findings)} findings")
    since = verification.withdrawn_since(lake, release)
    gone = {key: total.rows for key, total in since.items() if total.rows}
    rows = ", ".join(f"{key} {n:,}" for key, n in gone.items())
    less = f": original minus {gone.get('candidates', 0):,} withdrawn (rows: {rows})" if gone else ""
    click.echo(f"release {name} verifies{less}")


@release.command()
@click.argument("name")
@click.option("--to", required=True, metavar="ROOT", help="A folder or s3:// URI of its own.")
@click.option("--pictures", is_flag=True, help="Copy the pictures too.")
@cluster_options
@click.pass_obj
def push(root: str | None, /, name: str, to: str, pictures: bool, **cluster: Any) -> None:
    """Copy a release to where others open it read-only: lake --root ROOT; without pictures."""
    from lakehouse import open_lake, releases
    from lakehouse.cluster import connect
    from lakehouse.push import push

    lake = open_lake(root)
    releases.get(lake, name)
    with connect(lake.settings.with_cluster(**cluster).cluster) as client:
        made, sent = push(lake, name, to, client, pictures)
    size = sum(file.bytes for file in made.files)
    click.echo(f"release {name}: {len(made.files)} files of {size:,} bytes at {to}, {sent} of them sent now")
    click.echo(f"next: lake --root {to} release verify {name}")


@release.command()
@click.argument("name")
@click.option("--into", required=True, metavar="ROOT", help="The root of the new lake.")
@click.option("--refetch", is_flag=True, help="Ask the web for the pictures again.")
@as_json
@cluster_options
@click.pass_obj
def reproduce(
    root: str | None, /, name: str, into: str, refetch: bool, as_json: bool, **cluster: Any
) -> None:
    """Make a release again from what it recorded, with today's code, and compare."""
    from lakehouse import open_lake, releases, show
    from lakehouse.cluster import connect
    from lakehouse.reproduce import reproduce

    lake = open_lake(root)
    releases.get(lake, name)
    with connect(lake.settings.with_cluster(**cluster).cluster) as client:
        outcomes = reproduce(
            lake, name, into, client, refetch, lambda s: click.echo(f"{s.stage}: batch {s.batch}", err=True)
        )
    show.outcomes(outcomes, as_json)
    differ = [outcome.key for outcome in outcomes if outcome.verdict == "differs"]
    if differ:
        raise LakeError(f"release {name} is not reproduced: {', '.join(differ)} differ")
