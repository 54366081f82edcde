"""serve: the HTTP API and the web page."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

import click

from lakehouse.cli.base import main
from lakehouse.errors import UsageError

TOKEN = "LAKE_TOKEN"  # not an argument: every user of a machine sees the arguments of its processes
SHORTEST = 16  # characters of a token: nobody shall guess one


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8000, show_default=True)
@click.option("--release", metavar="NAME", help="Serve this release alone.")
@click.pass_obj
def serve(root: str | None, host: str, port: int, release: str | None) -> None:
    """The web page and the HTTP API of a lake, read-only.

    With LAKE_TOKEN set, who sends it may save subsets and ask for removal.
    """
    import uvicorn

    from lakehouse import open_lake
    from lakehouse.server.app import application

    lake = open_lake(root, release=release)
    token = os.environ.get(TOKEN) or None
    if token is not None and len(token) < SHORTEST:
        raise UsageError(f"{TOKEN} has {len(token)} characters: take {SHORTEST} or more, at random")
    app = application(lake, lake.settings.server, token)
    listening = _listening(host, port)
    what = "read-only" if token is None or lake.moment else "read-only but for who has the token"
    shown = f"[{host}]" if ":" in host else host
    click.echo(f"{lake!r}, {what}: http://{shown}:{listening.getsockname()[1]}/ (Ctrl-C ends it)", err=True)
    with suppress(KeyboardInterrupt):  # which is how it ends, once all is answered
        uvicorn.Server(uvicorn.Config(app, log_level="warning", server_header=False)).run([listening])


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UsageError(f"{host}, port {port}: {error.strerror}: name others with --host, --port") from error
