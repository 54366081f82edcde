"""Thousands of URLs on hosts that misbehave: it ends, every URL has its row, no host is asked too much."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import load
import pytest

from transforms.downloads import Network


def check(count: int, hosts: int, in_flight: int, seconds: int, folder: Path) -> dict[str, Any]:
    """Fetches a load, so many seconds a try, and judges all but time and memory."""
    with load.serving() as port:
        found = load.fetch(port, count, hosts, in_flight, seconds, str(folder))
        counted = load.counts(port)
    assert found["wrong"] == {}
    assert (found["rows"], found["twice"]) == (count, 0)
    assert counted["most"] <= Network().per_host
    assert counted["hosts"] == hosts
    kinds = [url.split("/")[3] for url in load.urls(count, hosts)]
    for kind in load.KINDS:
        tries = 2 if kind in load.TWICE else 1
        # Of a connection that breaks as the request goes out, the client itself makes one more at once
        most = 2 * tries if kind == "reset" else tries
        assert tries <= counted["asked"][kind] / kinds.count(kind) <= most, kind
    assert counted["asked"]["robots.txt"] == counted["asked"][".well-known"] == hosts
    return found


def test_a_load(tmp_path: Path) -> None:
    check(1_000, 40, 256, 12, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_fifty_thousand(tmp_path: Path) -> None:
    """50,000 URLs on 2,000 hosts; memory is that of the first tenth.

    So many in flight that those who stall hold nobody up: a try may last a minute, also on a busy machine.
    """
    count, hosts, in_flight, seconds = 50_000, 2_000, 2_000, 60
    found = check(count, hosts, in_flight, seconds, tmp_path)
    print({name: found[name] for name in ("seconds", "cpu", "memory")})
    slow = sum(load.KINDS[kind][0] for kind in ("loris", "stall")) / 100 * count
    # What must be waited for, twice over, and twenty answers a second for the rest on a very busy machine
    assert found["seconds"] < 2 * slow * seconds / in_flight + count / 20
    memory = found["memory"]
    assert max(memory[10:]) < 1.1 * max(memory[:10]), memory
