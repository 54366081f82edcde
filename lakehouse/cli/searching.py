"""search: nearest neighbours."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from lakehouse.cli.base import FORMATS, main, moment_options
from lakehouse.errors import UsageError


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
