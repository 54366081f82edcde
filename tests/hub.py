"""What runs on the machine that has the scheduler, where that is not this one: see hosts.py.

python hub.py web ADDRESS PORT                  serves the demo's web
python hub.py lake ROOT ADDRESS:PORT FILE …     a lake of these crawl files, which go to the root's bucket
python hub.py content ROOT                      what must not depend on machines, as JSON
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import boto3
import demo_lake
from aiohttp import web

from lakehouse import lake, sources
from lakehouse.demo import server

FOLDER = "crawl"


def serve(address: str, port: str) -> None:
    """Serves the demo's web until it is killed."""
    web.run_app(server.application(demo_lake.web()), host=address, port=int(port), print=None)


def make(root: str, address: str, *files: str) -> None:
    """Makes the lake; its batches are small, so that each stage has several and each batch several tasks."""
    bucket = root.split("/")[2]
    client = boto3.client("s3")
    for file in files:
        client.upload_file(file, bucket, f"{FOLDER}/{Path(file).name}")
    told = {"address": address, "read_seconds": demo_lake.READ_SECONDS, "units": 2, "rows": 32}
    made = lake.init(root, demo_lake.TOML.format(**told, scorers=[]))
    sources.add(made, "wat", [f"s3://{bucket}/{FOLDER}/*.wat.gz"])


def content(root: str) -> None:
    """Prints rows, keys and fingerprint per ledger key; fails where the lake is not sound."""
    made = lake.open_lake(root)
    demo_lake.assert_sound(made)
    print(json.dumps({key: dataclasses.astuple(found) for key, found in demo_lake.content(made).items()}))


if __name__ == "__main__":
    {"web": serve, "lake": make, "content": content}[sys.argv[1]](*sys.argv[2:])
