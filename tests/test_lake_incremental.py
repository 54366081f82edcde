"""Adding 1 % to a lake costs about 1 %, after many small increments, a retry and a compaction.

What is read is counted at the system calls: `rchar` in /proc/PID/io, of the driver and all workers. It holds
every file they read, keys and logs too, so it is an upper bound of what was read of the payload. Part is
each new data file, which its writer reads back for the checksum. Modules and the model are loaded beforehand.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import demo_lake
import numpy as np
import pyarrow as pa
import pytest
from distributed import Client
from downloads_fixtures import encoded, photo
from webserver import WebServer, answer, serving

from lakehouse import lake as lakes
from lakehouse import sources
from lakehouse.fingerprints import fingerprint
from lakehouse.lake import Lake
from lakehouse.ledger import Result
from lakehouse.stages import Options, stages
from transforms.candidates.keys import sample_id, url_id
from transforms.embeddings import ModelSpec, embed_images, embed_texts

PICTURES, CAPTIONS = 1_000, 30_000  # of the lake to begin with
OLD = 7  # the one picture of the beginning that is more than noise, and gets new captions
PICTURE = encoded(photo(800, 600), quality=95)  # large beside keys and logs, which are read whole
PERCENT = 100  # what is added at the end is one part in so many
MOST_READ = 0.03  # of the payload, to add that
HOST = "http://pictures.test"
SCORER = "scores/similarity_demo"

TOML = """
[lake]
schema = 1
[network]
user_agent = "PairlakeTest/0.1 (+https://pictures.test/contact)"
resolve = {{"*.test" = "127.0.0.1:{port}"}}
[downloads]
retries = 0
read_seconds = 10.0
resize_mode = "no"
[models.demo]
[scores]
scorers = ["similarity_demo"]
"""


def put(lake: Lake, rows: dict[str, pa.Table], works: list[str]) -> None:
    """One batch, written through the tables and the ledger as a stage would, without computing it."""
    (stage,) = [stage for stage in stages(lake) if stage.name == next(iter(rows))]
    claim = lake.ledger.claim(
        list(rows), works, stage.fingerprint(), "all", json.dumps(stage.rules(), default=str)
    )
    results = {}
    for key, some in rows.items():
        spec, table = lake.spec(key.partition("/")[0]), lake.table(key)
        nulls = {f.name: pa.nulls(len(some), f.type) for f in spec.schema}
        given = {name: some[name] for name in some.column_names}
        batch = pa.array([claim.batch] * len(some), pa.int64())
        full = pa.table({**nulls, **given, "batch": batch}).cast(spec.schema)
        files = table.writer(key.partition("/")[2] or None).write(full)
        version = table.commit(files, {"key": key, "batch": claim.batch})
        size = sum(file.bytes for file in files)
        results[key] = Result(len(full), size, {("base", "in"): len(full)}, files, fingerprint(full), version)
    lake.ledger.finish(claim, results, 1.0, "{}")


def begin(lake: Lake) -> None:
    """The lake to begin with: noise for pictures and vectors, each in one batch and one data file."""
    random = np.random.default_rng(0)
    urls = [f"{HOST}/base/{n}.jpg" for n in range(PICTURES)]
    of = [urls[n % PICTURES] for n in range(CAPTIONS)]
    texts = [f"caption number {n} of the beginning" for n in range(CAPTIONS)]
    samples = pa.array([sample_id(url, text) for url, text in zip(of, texts, strict=True)], pa.int64())
    ids = pa.array([url_id(url) for url in urls], pa.int64())
    captions = {"sample_id": samples, "unit": pa.array(["base"] * CAPTIONS)}
    fetched = {"url_id": ids, "unit": pa.array(["base"] * PICTURES)}
    size = lake.spec("embeddings_demo").schema.field("image_embedding").type.list_size
    noise = random.normal(size=CAPTIONS * size).astype(np.float16)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(noise), size)
    pictures = [PICTURE if n == OLD else random.bytes(len(PICTURE)) for n in range(PICTURES)]
    by_caption = pa.array([url_id(url) for url in urls] * (CAPTIONS // PICTURES), pa.int64())
    place = pa.array(range(CAPTIONS), pa.int64())
    links = {"url": of, "text": texts, "url_id": by_caption, "position": place}
    put(lake, {"candidates": pa.table({**captions, **links})}, ["base"])
    outcome = {"attempt": pa.array([1] * PICTURES, pa.int32()), "url": urls, "status": ["success"] * PICTURES}
    images = pa.table({**fetched, "image": pa.array(pictures, pa.large_binary())})
    put(lake, {"downloads": pa.table({**fetched, **outcome}), "images": images}, ["candidates:1"])
    embedded = {"image_embedding": vectors, "text_embedding": vectors}
    put(lake, {"embeddings_demo": pa.table({**captions, **embedded})}, ["downloads:1"])
    values = {"scorer": ["similarity_demo"] * CAPTIONS, "value": pa.array([0.5] * CAPTIONS, pa.float32())}
    put(lake, {SCORER: pa.table({**captions, **values})}, ["embeddings_demo:1"])


def increment(lake: Lake, folder: Path, name: str, pictures: int, captions: int) -> None:
    """Registers a URL list with captions on new pictures, and one more caption on an old one."""
    rows = [(f"{HOST}/{name}/{n % pictures}.jpg", f"caption {n} of {name}") for n in range(captions)]
    rows.append((f"{HOST}/base/{OLD}.jpg", f"another caption, of {name}"))
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps({"url": url, "text": text}) + "\n" for url, text in rows))
    sources.add(lake, "urls", [str(path)])


def warm(model: ModelSpec) -> None:
    """Loads in a worker what the stages load at their first task, which any worker may get."""
    embed_images([PICTURE], model)
    embed_texts(["a text"], model)


def bytes_read(client: Client) -> int:
    """What this process and the workers have read in all their lives."""
    return _rchar() + sum(client.run(_rchar).values())


def _rchar() -> int:
    (line,) = [line for line in Path(f"/proc/{os.getpid()}/io").read_text().splitlines() if "rchar" in line]
    return int(line.split()[1])


@dataclass(frozen=True)
class Story:
    """What adding 1 % to a lake with a past read, and made."""

    lake: Lake
    payload: int
    read: int
    added: dict[str, int]  # rows per ledger key


@pytest.fixture(
    scope="module",
    params=[pytest.param(5, marks=pytest.mark.slow), pytest.param(100, marks=pytest.mark.slow)],
)
def story(request: pytest.FixtureRequest, client: Client, tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("incremental")
    picture = answer(PICTURE)
    with serving({}) as server:
        lake = lakes.init(str(folder / "lake"), TOML.format(port=server.port))
        begin(lake)
        for number in range(request.param):
            name = f"small-{number}"
            server.pages[f"/{name}/0.jpg"] = picture
            increment(lake, folder, name, pictures=2, captions=4)  # the second picture is missing
            demo_lake.built(lake, client)
        healed(server, request.param, picture)
        demo_lake.built(lake, client, ["downloads"], Options(retry=("http_error",)))
        demo_lake.built(lake, client)
        for key in ("candidates", "downloads", "images", "embeddings_demo", SCORER):
            lake.table(key).compact()
        payload = stored(folder / "lake")
        pins = lake.pins()
        server.pages.update({f"/last/{n}.jpg": picture for n in range(PICTURES // PERCENT)})
        increment(lake, folder, "last", PICTURES // PERCENT, CAPTIONS // PERCENT)
        client.run(warm, lake.settings.models[0])
        before = bytes_read(client)
        demo_lake.built(lake, client)
        read = bytes_read(client) - before
    added = {
        key: sum(e["rows"] for e in lake.ledger.done(key) if e["batch"] > high)
        for key, (_, high) in pins.items()
    }
    return Story(lake, payload, read, added)


def healed(server: WebServer, increments: int, picture: bytes) -> None:
    """All the pictures that were missing are there."""
    server.pages.update({f"/small-{number}/1.jpg": picture for number in range(increments)})


def stored(root: Path) -> int:
    """Bytes of the newest versions of the payload tables."""
    lake = lakes.open_lake(str(root))
    found = 0
    for name in ("images", "embeddings_demo"):
        for fragment in lake.table(name).dataset().get_fragments():
            found += sum((root / name / "data" / file.path).stat().st_size for file in fragment.data_files())
    return found


def test_a_hundredth_reads_a_hundredth(story: Story) -> None:
    assert story.payload > PICTURES * len(PICTURE) + CAPTIONS * 700
    assert story.read < MOST_READ * story.payload, f"{story.read} of {story.payload} bytes"


def test_the_measure_sees_what_is_read_of_payloads(story: Story) -> None:
    before = _rchar()
    for name in ("images", "embeddings_demo"):
        demo_lake.read(story.lake, name)
    assert _rchar() - before > 0.95 * story.payload


def test_no_old_row_is_computed_again(story: Story) -> None:
    captions, pictures = CAPTIONS // PERCENT + 1, PICTURES // PERCENT
    assert story.added == {
        "candidates": captions,
        "downloads": pictures,
        "images": pictures,
        "embeddings_demo": captions,
        SCORER: captions,
        "stored_pairs": captions,
    }


def test_no_row_is_missing_or_there_twice(story: Story) -> None:
    for key, found in demo_lake.content(story.lake).items():
        seen = [e for e in story.lake.ledger.done(key) if demo_lake.pinned(story.lake, key, e["batch"])]
        assert found.rows == found.keys == sum(e["rows"] for e in seen), key
