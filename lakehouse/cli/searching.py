"""index, search, atlas: nearest neighbours, and a map of them."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from lakehouse.cli.base import FORMATS, as_json, main, moment_options
from lakehouse.errors import UsageError


@main.command()
@click.option("--model", metavar="M", help="Whose embeddings; default: every model's.")
@click.option(
    "--memory",
    type=click.FloatRange(min=0, min_open=True),
    metavar="GB",
    help="What a model's index may take.  [default: 16]",
)
@click.option("--new", "anew", is_flag=True, help="Make it from the beginning.")
@as_json
@click.pass_obj
def index(root: str | None, model: str | None, memory: float | None, anew: bool, as_json: bool) -> None:
    """Make the vector index that searches use, or add what is missing from it."""
    from lakehouse import index as indexing
    from lakehouse import open_lake

    lake = open_lake(root)
    models = [spec.name for spec in lake.settings.models]
    if model is not None and model not in models:
        raise UsageError(f"no model {model!r} in lake.toml; there are {', '.join(models)}")
    rules = indexing.IndexRules()
    if memory is not None:
        rules = dataclasses.replace(rules, memory=int(memory * 1e9))
    made = [
        report
        for name in ([model] if model else models)
        for report in indexing.update(lake, name, rules, anew)
    ]
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(report) for report in made], indent=2))
        return
    for report in made:
        line = f"{report.model}, {report.modality} vectors: {report.done}"
        if report.tuning is not None:
            line += f": {report.rows:,} rows, {report.bytes:,} bytes, recall@10 {report.tuning.recall:.3f}"
        click.echo(line)


@main.command()
@click.argument("text", required=False)
@click.option("--image", type=click.Path(exists=True, dir_okay=False), help="Search by a picture's file.")
@click.option("--like", "sample_id", type=int, metavar="SAMPLE_ID", help="Search by a pair's own vector.")
@click.option("--by", type=click.Choice(["image", "text"]), default="image", help="With --like: which one.")
@click.option(
    "--among",
    type=click.Choice(["image", "text"]),
    default="image",
    show_default=True,
    help="Search among pictures or among captions.",
)
@click.option("--where", metavar="SQL", help="A condition over the columns of `pairs`.")
@click.option("-k", type=click.IntRange(1, 10_000), default=10, show_default=True, help="How many.")
@click.option(
    "--collapse",
    type=click.Choice(["none", "same", "near"]),
    default="same",
    show_default=True,
    help="Show every pair, each picture once, or near-duplicate pictures once, too.",
)
@click.option("--aesthetic", type=click.IntRange(0, 9), metavar="SCORE", help="Steer towards this rating.")
@click.option("--weight", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="How far.")
@click.option("--columns", metavar="NAME,…", default="language,text,url", show_default=True)
@click.option("--model", metavar="M", help="Whose embeddings; default: the lake's first model.")
@moment_options
@click.option("--format", "form", type=click.Choice(FORMATS[:3]), default="table", show_default=True)
@click.option("--timings", is_flag=True, help="Say on stderr what each step took.")
@click.pass_obj
def search(
    root: str | None,
    text: str | None,
    image: str | None,
    sample_id: int | None,
    by: str,
    among: str,
    where: str | None,
    k: int,
    collapse: str,
    aesthetic: int | None,
    weight: float,
    columns: str,
    model: str | None,
    release: str | None,
    at: Sequence[str],
    form: str,
    timings: bool,
) -> None:
    """The pairs nearest to a text, a picture or another pair."""
    from lakehouse import open_lake, show
    from lakehouse.search import Query, Steering, find

    if sum(one is not None for one in (text, image, sample_id)) != 1:
        raise UsageError("say what to search by: a text, --image FILE or --like SAMPLE_ID")
    query = Query(
        text=text,
        picture=Path(image).read_bytes() if image else None,
        sample_id=sample_id,
        like=by,  # type: ignore[arg-type]  # click has checked it, as it has the two below
        modality=among,  # type: ignore[arg-type]
        where=where,
        k=k,
        collapse=collapse,  # type: ignore[arg-type]
        steering=None if aesthetic is None else Steering(aesthetic, weight),
        columns=[name.strip() for name in columns.split(",") if name.strip()],
    )
    found = find(open_lake(root, release=release, at=at), query, model)
    show.rows(found.rows, form)
    if timings:
        steps = ", ".join(f"{step} {seconds * 1000:.1f} ms" for step, seconds in found.seconds.items())
        print(f"{found.how}: {steps}", file=sys.stderr)


@main.command()
@click.argument("view")
@click.option(
    "--sample", type=click.IntRange(1), default=20_000, show_default=True, help="At most so many rows."
)
@click.option("--model", metavar="M", help="Whose vectors; default: the lake's first model.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the page is served.")
@click.option("--port", type=click.IntRange(1, 65535), default=5055, show_default=True)
@click.option("--to", type=click.Path(dir_okay=False), help="Only write the file that Embedding Atlas reads.")
@moment_options
@click.pass_obj
def atlas(
    root: str | None,
    view: str,
    sample: int,
    model: str | None,
    host: str,
    port: int,
    to: str | None,
    release: str | None,
    at: Sequence[str],
) -> None:
    """A map of a view: pictures, captions and scores in Embedding Atlas (extra `atlas`)."""
    from lakehouse import atlas, open_lake

    lake = open_lake(root, release=release, at=at)
    if to is not None:
        click.echo(f"wrote {atlas.write(lake, view, Path(to), sample, model):,} rows to {to}", err=True)
        return
    atlas.show(lake, view, sample, model, host, port)
