"""remove: what takes rows out of a lake for good."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from lakehouse.cli.base import as_json, cluster_options, main
from lakehouse.errors import UsageError


@main.command()
@click.option("--url", "urls", multiple=True, metavar="URL", help="A picture's URL, with all its captions.")
@click.option("--host", "hosts", multiple=True, metavar="HOST", help="All URLs of a host.")
@click.option("--sample-id", "ids", multiple=True, metavar="N", help="One pair.")
@click.option("--sha256", multiple=True, metavar="HEX", help="A picture, by the sha256 of its file.")
@click.option("--md5", multiple=True, metavar="HEX", help="A picture, by the md5 of its file.")
@click.option("--hash-list", "lists", multiple=True, metavar="FILE", help="Hashes: text or parquet.")
@click.option("--reason", metavar="TEXT", default="", help="Why; it is kept, so name nobody.")
@click.option("--yes", is_flag=True, help="Do it. Without it nothing is changed.")
@as_json
@cluster_options
@click.pass_obj
def remove(
    root: str | None,
    /,
    urls: Sequence[str],
    hosts: Sequence[str],
    ids: Sequence[str],
    sha256: Sequence[str],
    md5: Sequence[str],
    lists: Sequence[str],
    reason: str,
    yes: bool,
    as_json: bool,
    **cluster: Any,
) -> None:
    """Take pairs and pictures out of every table and release, for good; first shows what."""
    from lakehouse import open_lake, removal, requests
    from lakehouse.cluster import connect

    lake = open_lake(root)
    given = {"url": urls, "host": hosts, "sample_id": ids, "sha256": sha256, "md5": md5}
    asked = requests.request(lake.settings.candidates, given, lists)
    interrupted = yes and not len(asked) and removal.pending(lake)
    if not len(asked) and not interrupted:
        raise UsageError("say what to remove: --url, --host, --sample-id, --sha256, --md5 or --hash-list")
    with connect(lake.settings.with_cluster(**cluster).cluster) as client:
        if interrupted:
            report = removal.complete(lake, client)
        else:
            report = (
                removal.remove(lake, asked, reason, client) if yes else removal.dry_run(lake, asked, client)
            )
    if report is None:
        click.echo("an interrupted removal had not begun: nothing was removed")
    elif as_json:
        told = {"removed": yes, "refused": report.refused, "rows": report.rows, "releases": report.releases}
        click.echo(json.dumps(told, indent=2))
    else:
        _tell(report, yes)
    if not yes:
        click.echo("Nothing was changed: --yes removes it for good", err=True)


def _tell(report: Any, done: bool) -> None:
    click.echo(f"{'removed' if done else 'would remove'} {report.pairs:,} pairs")
    for key, n in sorted(report.rows.items()):
        click.echo(f"  {key}: {n:,} rows")
    for name, n in report.releases.items():
        click.echo(f"  release {name}: {n:,} pairs {'' if done else 'would be '}withdrawn")
    refused = ", ".join(f"{n:,} {kind}" for kind, n in sorted(report.refused.items()))
    click.echo(f"  refused from {'now' if done else 'then'} on: {refused}")
