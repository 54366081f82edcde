"""verify, compact, cleanup, repair: what keeps a lake in order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from lakehouse.cli.base import as_json, cluster_options, main
from lakehouse.errors import LakeError


@main.command()
@click.option("--fast", is_flag=True, help="Logs, sizes and the ledger's sums alone; read no data.")
@as_json
@cluster_options
@click.pass_obj
def verify(root: str | None, /, fast: bool, as_json: bool, **cluster: Any) -> None:
    """Find what is damaged, missing or left over; exit code 1 where rows are in danger."""
    from lakehouse import open_lake, soundness
    from lakehouse.cluster import connect
    from lakehouse.verification import LEFT_OVER

    lake = open_lake(root)
    if fast:
        findings = soundness.inspect(lake, full=False)
    else:
        with connect(lake.settings.with_cluster(**cluster).cluster) as client:
            findings = soundness.inspect(lake, client)
    if as_json:
        click.echo(json.dumps([vars(finding) for finding in findings]))
    else:
        for finding in findings:
            click.echo(f"{finding.kind}: {finding}")
    bad = [finding for finding in findings if finding.kind not in LEFT_OVER]
    if bad:
        raise LakeError(f"the lake does not verify: {len(bad)} findings; `lake repair` says what can be done")
    click.echo("the lake verifies" + (" (logs, sizes and sums)" if fast else ""), err=as_json)


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


@main.command()
@click.option(
    "--older-than",
    "days",
    type=click.IntRange(0),
    default=7,
    show_default=True,
    metavar="DAYS",
    help="Take away what is older alone.",
)
@click.option("--yes", is_flag=True, help="Do it; without it, only say what would be done.")
@cluster_options
@click.pass_obj
def cleanup(root: str | None, /, days: int, yes: bool, **cluster: Any) -> None:
    """Take away what nothing needs: orphaned files, unpinned generations, old versions, unkept pictures."""
    from datetime import timedelta

    from lakehouse import cleanup as cleaning
    from lakehouse import open_lake
    from lakehouse.cluster import connect

    lake = open_lake(root)
    planned = cleaning.plan(lake, timedelta(days=days))
    if planned.orphans:
        size = sum(planned.orphans.values())
        click.echo(f"{len(planned.orphans):,} files that nothing needs ({size:,} bytes)")
    for old in planned.generations:
        click.echo(f"{old.key}: {old.rows:,} rows of generation {old.number}, which no release pins")
    for name, (oldest, _) in planned.versions.items():
        click.echo(f"{name}: what only native versions before {oldest} need")
    if len(planned.pictures):
        told = f"images: {len(planned.pictures):,} pictures that [retention] does not keep"
        stay = f"; they stay until these are done: {', '.join(planned.waiting)}" if planned.waiting else ""
        click.echo(told + stay)
    if not planned:
        click.echo(f"nothing older than {days} days can go")
    elif yes and planned.drops:
        with connect(lake.settings.with_cluster(**cluster).cluster) as client:
            cleaning.clean(lake, planned, client)
        click.echo("done", err=True)
    elif yes:
        cleaning.clean(lake, planned)
        click.echo("done", err=True)
    else:
        click.echo("dry run: `lake cleanup --yes` does it", err=True)


@main.command()
@click.option("--yes", is_flag=True, help="Do it; without it, only say what would be done.")
@click.pass_obj
def repair(root: str | None, yes: bool) -> None:
    """Settle what a crash or a damaged file left, from what still verifies."""
    from lakehouse import open_lake
    from lakehouse import repair as repairing

    lake = open_lake(root)
    refused = possible = 0
    for step in repairing.steps(lake):
        click.echo(step.what if step.act else f"cannot be repaired: {step.what}")
        possible += step.act is not None
        refused += step.act is None
        if step.act and yes:
            step.act()
    if refused:
        raise LakeError(f"{refused} findings cannot be repaired from what is here")
    if not possible:
        click.echo("nothing to repair")
    elif yes:
        click.echo("done: `lake verify` reads everything again, `lake run` goes on", err=True)
    else:
        click.echo("dry run: `lake repair --yes` does it, and what then becomes possible", err=True)
