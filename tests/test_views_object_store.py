"""A lake in an object store: SQL, releases and their proof, over a real S3 API on loopback."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import boto3
import pytest
from botocore.config import Config

from lakehouse import releases, views
from lakehouse.lake import Lake
from tests import lakes

KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A process of its own: delta-rs waits for answers with the interpreter's lock held."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        client = boto3.client("s3", endpoint_url=url, config=Config(retries={"max_attempts": 10}), **KEYS)
        client.create_bucket(Bucket="lakes")
        client.close()
        yield url
    finally:
        server.kill()
        server.wait()


@pytest.fixture(scope="module")
def lake(endpoint: str) -> Iterator[Lake]:
    options = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT": endpoint,
        "AWS_ALLOW_HTTP": "true",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in options.items():
            patch.setenv(f"LAKE_STORAGE_{name}", value)
        yield lakes.small("s3://lakes/small")


def test_views_and_audits_read_the_store(lake: Lake) -> None:
    found = views.query(lake, "select text, similarity > 0.3 as close from laion2b_en").to_pylist()
    assert found == [{"text": "a picture of apple", "close": True}]
    assert {name for name, rows in views.audits(lake).items() if len(rows)} == set()


def test_a_native_version_is_read_from_the_store(lake: Lake) -> None:
    assert len(views.query(lake, "from candidates", versions={"candidates": 1})) == 2


def test_a_release_is_made_and_verifies_there(lake: Lake) -> None:
    releases.create(lake, "v1")
    lakes.append(lake, {"candidates": [lakes.candidate("later")]})
    assert releases.verify(lake, "v1") == []
    assert len(views.query(lake, "from pairs", release="v1")) == 3


def test_a_damaged_object_is_found(lake: Lake) -> None:
    releases.create(lake, "v2")
    path = lake.ledger.done("images")[0]["files"][0]["path"]
    data = bytearray(lake.storage.read(path))
    data[len(data) // 2] ^= 1
    lake.storage.write(path, bytes(data))
    assert [finding.file for finding in releases.verify(lake, "v2")] == [path]


def test_the_script_says_what_the_shell_needs_first(lake: Lake) -> None:
    script = views.script(lake)
    assert "create secret" in script
    assert "delta_scan('s3://lakes/small/candidates')" in script
