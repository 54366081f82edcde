"""release …: named dataset versions."""

from __future__ import annotations

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
