"""`lake serve` from the command line: in one line why it does not listen."""

from __future__ import annotations

import socket

import commands

from lakehouse.lake import Lake


def test_a_port_that_is_taken(lake: Lake) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = commands.complaint(commands.lake("--root", lake.storage.root, "serve", "--port", str(port)), 2)
    assert told.startswith(f"127.0.0.1, port {port}: ")
    assert "in use" in told


def test_an_address_that_is_not_ours(lake: Lake) -> None:
    told = commands.lake("--root", lake.storage.root, "serve", "--host", "192.0.2.1")
    assert "192.0.2.1" in commands.complaint(told, 2)
