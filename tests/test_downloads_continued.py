"""Killed and continued, killed and continued: the same table, and nobody is asked twice for a picture.

The server counts. A picture that was on its way when the driver died has been asked for and is asked for
again: there are at most as many as are in flight, and what had come is never among them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import demo_lake
import pytest
from distributed import Client
from downloads_fixtures import encoded, photo
from hypothesis import given
from hypothesis import strategies as st
from webserver import Page, WebServer, answer, redirect, serving

from lakehouse import cleanup, soundness, sources
from lakehouse import lake as lakes
from lakehouse.lake import Lake, open_lake
from lakehouse.spool import FOLDER, Spool
from lakehouse.storage import Storage
from lakehouse.verification import LEFT_OVER
from transforms.candidates.keys import url_id
from transforms.downloads.outcome import Outcome
from transforms.downloads.status import DownloadStatus

PICTURES = [encoded(photo(160, 120, seed)) for seed in range(20)]
HOSTS, EACH = 12, 20
IN_FLIGHT = 4
TOML = """
[lake]
schema = 1
[network]
resolve = {{"*.test" = "127.0.0.1:{port}"}}
in_flight = {in_flight}
host_delay_seconds = {delay}
[downloads]
retry_seconds = 0.01
[batches]
rows = 64
[models.demo]
"""


def pages() -> dict[str | tuple[str, str], Page]:
    """Pictures, and among them pages that are gone, elsewhere, or no picture."""
    made: dict[str | tuple[str, str], Page] = {}
    for host in range(HOSTS):
        for number in range(EACH):
            page: Page = answer(PICTURES[number])
            if number % 10 == 7:
                page = answer(code="404 Not Found")
            elif number % 10 == 8:
                page = answer(b"<h1>no picture</h1>" * 400)
            elif number % 10 == 9:
                page = redirect(f"http://h{(host + 1) % HOSTS}.test/p{number - 9}.jpg?from={host}")
                made[f"h{(host + 1) % HOSTS}.test", f"/p{number - 9}.jpg?from={host}"] = answer(
                    PICTURES[number]
                )
            made[f"h{host}.test", f"/p{number}.jpg"] = page
    return made


def new_lake(root: Path, server: WebServer, delay: float = 0.0) -> Lake:
    """A lake with the candidates of the server's pictures, in one batch."""
    made = lakes.init(str(root), TOML.format(port=server.port, in_flight=IN_FLIGHT, delay=delay))
    urls = root / "urls.jsonl"
    with urls.open("w") as file:
        for host in range(HOSTS):
            for number in range(EACH):
                url = f"http://h{host}.test/p{number}.jpg"
                file.write(json.dumps({"url": url, "text": f"picture {number} of host {host}"}) + "\n")
    sources.add(made, "urls", [str(urls)])
    return made


@contextmanager
def driver(root: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A driver with a cluster of its own, fetching; it is dead when the block ends."""
    here = Path(__file__).parent
    process = subprocess.Popen(
        [sys.executable, "-c", "import demo_lake; demo_lake.main()", str(root), "downloads"],
        env={**os.environ, "PYTHONPATH": f"{here.parent}{os.pathsep}{here}", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def pictures_served(server: WebServer) -> int:
    return sum(n for (_, path), n in server.seen.items() if path.startswith("/p"))


def wait_for(count: int, server: WebServer) -> None:
    """Until the server has been asked for that many pictures."""
    deadline = time.monotonic() + 120
    while pictures_served(server) < count:
        assert time.monotonic() < deadline, server.seen
        time.sleep(0.01)


@pytest.fixture(scope="module")
def undisturbed(client: Client, tmp_path_factory: pytest.TempPathFactory) -> dict[str, demo_lake.Content]:
    with serving(pages()) as server:
        made = new_lake(tmp_path_factory.mktemp("undisturbed") / "lake", server)
        demo_lake.built(made, client, ["candidates", "downloads"])
        assert max(n for (_, path), n in server.seen.items() if path.startswith("/p")) == 1
        return demo_lake.content(made)


def test_a_driver_is_killed_twice(
    undisturbed: dict[str, demo_lake.Content], client: Client, tmp_path: Path
) -> None:
    root = tmp_path / "lake"
    with serving(pages()) as server:
        made = new_lake(root, server, delay=0.1)
        demo_lake.built(made, client, ["candidates"])
        for count in (60, 120):
            with driver(root) as process:
                wait_for(count, server)
                process.send_signal(signal.SIGKILL)
                process.wait()
            time.sleep(1.0)  # the dead driver's worker notices
        killed = dict(server.seen)
        kept = {fetched for fetched, *_ in Spool(Storage(str(root)), FOLDER).records()}
        assert {f.kind for f in soundness.inspect(made, full=False)} <= set(LEFT_OVER)
        cleanup.clean(made, cleanup.plan(made, timedelta(0)))
        demo_lake.built(open_lake(str(root)), client, ["downloads"])
        assert len(kept) > 60
        for (host, path), n in server.seen.items():
            if url_id(f"http://{host}{path}") in kept:
                assert n == killed[host, path], (host, path)
        again = sum(n - 1 for (_, path), n in server.seen.items() if path.startswith("/p"))
        assert again <= 2 * 2 * IN_FLIGHT  # two kills, one worker, each URL and where it leads
    assert demo_lake.content(made) == undisturbed
    demo_lake.assert_sound(made)
    assert not made.storage.files(FOLDER)


@pytest.mark.slow
def test_killed_once_all_has_come(
    undisturbed: dict[str, demo_lake.Content], client: Client, tmp_path: Path
) -> None:
    """At these points nothing is on its way, so nothing at all is asked for again."""
    root = tmp_path / "lake"
    with serving(pages()) as server:
        made = new_lake(root, server)
        demo_lake.built(made, client, ["candidates"])
        asked = []
        for point in ("downloads:written", "downloads:committed", "images:committed"):
            killed = demo_lake.drive(
                root, "downloads", SCHEDULER=client.scheduler.address, LAKE_CRASH_AT=point
            )
            assert killed.returncode == demo_lake.KILLED, killed.stderr
            asked.append(pictures_served(server))
        demo_lake.built(made, client, ["downloads"])
        assert set(asked) == {pictures_served(server)}
        assert max(n for (_, path), n in server.seen.items() if path.startswith("/p")) == 1
    assert demo_lake.content(made) == undisturbed
    demo_lake.assert_sound(made)


def test_what_other_rules_fetched_is_not_taken(client: Client, tmp_path: Path) -> None:
    root = tmp_path / "lake"
    with serving(pages()) as server:
        made = new_lake(root, server)
        demo_lake.built(made, client, ["candidates"])
        killed = demo_lake.drive(
            root, "downloads", SCHEDULER=client.scheduler.address, LAKE_CRASH_AT="downloads:written"
        )
        assert killed.returncode == demo_lake.KILLED
        asked = pictures_served(server)
        toml = root / "lake.toml"
        toml.write_text(toml.read_text().replace("[downloads]", "[downloads]\nsize = 64"))
        made = open_lake(str(root))
        demo_lake.built(made, client, ["downloads"])
        assert pictures_served(server) == 2 * asked
    assert not made.storage.files(FOLDER)


def test_a_stream_that_was_cut_short_is_read_up_to_there(tmp_path: Path) -> None:
    spool = Spool(Storage(str(tmp_path)), "spool/x")
    records = [[n, bytes([n]) * 1000, f"é{n}", None, datetime.now(UTC), ["a"], -n] for n in range(10)]
    with spool.part(3).appending() as append:
        for record in records:
            append(record)
    (path,) = spool.storage.files("spool/x/00003")
    whole = spool.storage.read(path)
    lengths = set()
    for end in range(0, len(whole), 97):
        (tmp_path / path).write_bytes(whole[:end])
        found = list(spool.part(3).records())
        assert found == records[: len(found)]
        lengths.add(len(found))
    assert lengths == set(range(10))
    assert list(spool.part(4).records()) == []


@given(place=st.integers(0, 10_000), length=st.integers(1, 8192), fill=st.sampled_from([b"\0", b"\xff"]))
def test_what_a_power_cut_left_is_read_up_to_there(place: int, length: int, fill: bytes) -> None:
    records = [[n, bytes([n]) * 1000] for n in range(10)]
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Storage(folder), "spool/x")
        with spool.appending() as append:
            for record in records:
                append(record)
        (path,) = spool.storage.files("spool/x")
        whole = spool.storage.read(path)
        (Path(folder) / path).write_bytes(whole[:place] + fill * length + whole[place + length :])
        found = list(spool.records())
    assert found == records[: len(found)]
    assert len(found) >= place * len(records) // len(whole)  # all before the damage


def test_outcomes_are_kept_as_they_were(tmp_path: Path) -> None:
    outcome = Outcome(
        status=DownloadStatus.TIMEOUT,
        error="no data in time",
        http_status=200,
        final_url="http://a.test/é",
        phash=-(2**63),
        bytes=2**40,
        opt_out=["noai", "tdm-reservation"],
        image=bytes(range(256)),
        fetched_at=datetime(2026, 11, 23, 1, 2, 3, 456_789, UTC),
    )
    spool = Spool(Storage(str(tmp_path)), "spool/x")
    with spool.appending() as append:
        append(outcome.record())
        append(Outcome().record())
    assert [Outcome.from_record(record) for record in spool.records()] == [outcome, Outcome()]
