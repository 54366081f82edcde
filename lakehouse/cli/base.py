"""The root command, its errors in words, and the options that several commands share."""

from __future__ import annotations

import sys
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


def group_help(ctx: click.Context) -> None:
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
    group_help(ctx)


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


skip_unreadable = click.option(
    "--skip-unreadable", is_flag=True, help="Note crawl files that are missing or hold nothing, and go on."
)


def moment_options(command: Any) -> Any:
    """--release and --at, as every command has them that reads; both go to `open_lake`."""
    command = click.option(
        "--at",
        multiple=True,
        metavar="TIME|TABLE=VERSION",
        help="The lake as it stood then (2026-11-22T10:00Z), or a table at a native version.",
    )(command)
    return click.option("--release", metavar="NAME", help="Read the lake as this release saw it.")(command)


def cluster_options(command: Any) -> Any:
    """--workers, --scheduler and --gpus, as every command that computes has them."""
    command = click.option("--workers", type=click.IntRange(1), help="Local worker processes.")(command)
    command = click.option("--scheduler", metavar="ADDR", help="A Dask scheduler that runs already.")(command)
    return click.option("--gpus", is_flag=True, default=None, help="One worker per local GPU.")(command)
