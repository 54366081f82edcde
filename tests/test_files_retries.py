"""Files over HTTP are read on after failures that may pass, and given up where they will not."""

from __future__ import annotations

import random
import socket
import time
import tracemalloc
from collections.abc import Sequence

import pytest
from files_server import Failure, Site, serving

from transforms.files import Reads, open_file

BODY = random.Random(0).randbytes(1_000_000)
READS = Reads(attempts=3, wait_seconds=0.01, silent_seconds=5)


def read(failures: Sequence[Failure], reads: Reads = READS, **how: bool) -> tuple[bytes, int]:
    """What arrives, and with how many requests."""
    site = Site({"/f": BODY}, {"/f": [*failures]}, **how)
    with serving(site), open_file(f"{site.url}/f", reads) as file:
        return file.read(), len(site.asked)


@pytest.mark.parametrize("failure", [408, 429, 500, 502, 503, "reset", 0, 1, 500_000, 999_999])
@pytest.mark.parametrize("ranges", [True, False])
def test_what_may_pass_is_tried_again(failure: Failure, ranges: bool) -> None:
    assert read([failure], ranges=ranges) == (BODY, 2)


def test_undisturbed_it_is_one_request() -> None:
    assert read([]) == (BODY, 1)
    assert read([], lengths=False) == (BODY, 1)


def test_progress_renews_patience() -> None:
    assert read([100_000] * 9) == (BODY, 10)
    assert read([503, "reset", 100_000, 503, 100_000, "reset", 100_000, 429]) == (BODY, 9)


def test_patience_ends() -> None:
    with pytest.raises(OSError, match=r"^http://127\.0\.0\.1:\d+/f: status 503 .*, after 3 tries$"):
        read([503, 503, 503])
    with pytest.raises(OSError, match=r"/f: ended after 1000 of 1000000 bytes, after 3 tries$"):
        read([1_000, 0, 0, 0])


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, FileNotFoundError),
        (410, FileNotFoundError),
        (401, PermissionError),
        (403, PermissionError),
        (400, OSError),
    ],
)
def test_what_will_not_pass_is_asked_once(status: int, error: type[OSError]) -> None:
    with serving(Site({"/f": BODY}, {"/f": [status]})) as site:
        with pytest.raises(error, match=f"{site.url}/f: .*{status}"):
            open_file(f"{site.url}/f", READS)
        assert len(site.asked) == 1


def test_waits_double_up_to_their_limit() -> None:
    reads = Reads(attempts=5, wait_seconds=0.1, max_wait_seconds=0.2)
    began = time.monotonic()
    assert read([503] * 4, reads) == (BODY, 5)
    assert 0.7 <= time.monotonic() - began < 5  # 0.1 + 0.2 + 0.2 + 0.2


def test_a_server_that_falls_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/f"
        with pytest.raises(OSError, match=r"/f: timed out, after 2 tries$"):
            open_file(url, Reads(attempts=2, wait_seconds=0, silent_seconds=0.1))


def test_no_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/f"
    with pytest.raises(OSError, match=r"/f: \[Errno 111\] Connection refused, after 3 tries$"):
        open_file(url, READS)


def test_a_file_that_changes_meanwhile() -> None:
    site = Site({"/f": BODY}, {"/f": [500_000]})
    with serving(site), open_file(f"{site.url}/f", READS) as file:
        assert file.read(1000) == BODY[:1000]
        site.files["/f"] = BODY[:-1]
        with pytest.raises(OSError, match=r"/f: had 1000000 bytes, now 999999, after 2 tries$"):
            file.read()


@pytest.mark.parametrize("ranges", [True, False])
def test_any_place_can_be_sought(ranges: bool) -> None:
    chance = random.Random(1)
    with serving(Site({"/f": BODY}, ranges=ranges)) as site, open_file(f"{site.url}/f", READS) as file:
        assert file.seek(0, 2) == len(BODY)
        assert file.read() == b""
        for _ in range(20):
            place, n = chance.randrange(len(BODY)), chance.randrange(100_000)
            assert file.seek(place) == place
            assert file.read(n) == BODY[place : place + n]
            assert file.tell() == min(place + n, len(BODY))


def test_memory_is_bounded() -> None:
    with serving(Site({"/f": BODY * 50})) as site, open_file(f"{site.url}/f", READS) as file:
        tracemalloc.start()
        total = 0
        while piece := file.read(65_536):
            total += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert total == 50_000_000
    assert peak < 2_000_000
