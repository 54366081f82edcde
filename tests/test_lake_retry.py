"""`--retry`: only URLs that failed are asked again, and what they bring reaches every caption, once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import demo_lake
import pytest
from distributed import Client
from downloads_fixtures import encoded, photo
from webserver import WebServer, answer, serving

from lakehouse import lake as lakes
from lakehouse import sources, views
from lakehouse.lake import Lake
from lakehouse.run import plan
from lakehouse.stages import Options, chosen

HOST = "pictures.test"
BROKEN = answer(b"<h1>out of order</h1>", "503 Service Unavailable")
SCORERS = ("similarity_demo", "punsafe_opennsfw", "toxicity_profanity_check")


def toml(server: WebServer) -> str:
    return (
        '[lake]\nschema = 1\n[network]\nuser_agent = "PairlakeTest/0.1 (+https://pictures.test/contact)"\n'
        f'resolve = {{"*.test" = "127.0.0.1:{server.port}"}}\n'
        "[downloads]\nretries = 0\nread_seconds = 10.0\n[batches]\nunits = 1\nrows = 64\n[models.demo]\n"
    )


def url_list(path: Path, *rows: tuple[str, str]) -> str:
    """A URL list with (picture's name, text) in each row."""
    lines = (json.dumps({"url": f"http://{HOST}/{name}", "text": text}) for name, text in rows)
    path.write_text("".join(line + "\n" for line in lines))
    return str(path)


@dataclass(frozen=True)
class Story:
    """A lake before and after some pictures became available and were asked for again."""

    lake: Lake
    server: WebServer
    before: dict[str, int]  # rows per ledger key
    asked_before: int
    again: int  # batches that a further `lake run` after the retry and its successors committed


@pytest.fixture(scope="module")
def story(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("retry")
    good = {f"/{name}.jpg": encoded(photo(seed=n)) for n, name in enumerate(("a", "b", "late", "later"))}
    pages = {path: answer(body) for path, body in good.items()}
    with serving({**pages, "/late.jpg": BROKEN, "/later.jpg": BROKEN}) as server:
        lake = lakes.init(str(folder / "lake"), toml(server))
        first = url_list(
            folder / "first.jsonl",
            ("a.jpg", "a first picture"),
            ("late.jpg", "a late picture"),
            ("gone.jpg", "a picture that is gone"),
        )
        second = url_list(
            folder / "second.jsonl",
            ("b.jpg", "a second picture"),
            ("late.jpg", "the late picture again"),
            ("later.jpg", "a still later picture"),
        )
        sources.add(lake, "urls", [first, second])
        demo_lake.built(lake, client)
        before = {key: found.rows for key, found in demo_lake.content(lake).items()}
        asked = server.seen.total()
        server.pages.update({path: pages[path] for path in ("/late.jpg", "/later.jpg")})
        demo_lake.built(lake, client, ["downloads"], Options(retry=("http_error",)))
        demo_lake.built(lake, client)
        again = demo_lake.built(lake, client)
        yield Story(lake, server, before, asked, again)


def test_only_failed_urls_are_asked_again(story: Story) -> None:
    times = {path: n for (_, path), n in story.server.seen.items() if path.endswith(".jpg")}
    assert times == {"/a.jpg": 1, "/b.jpg": 1, "/late.jpg": 2, "/later.jpg": 2, "/gone.jpg": 2}


def test_attempts_are_kept_and_the_last_one_counts(story: Story) -> None:
    rows = demo_lake.read(story.lake, "downloads", ["url", "attempt", "status"]).to_pylist()
    told: dict[str, list[tuple[int, str]]] = {}
    for row in sorted(rows, key=lambda row: row["attempt"]):
        told.setdefault(row["url"].rpartition("/")[2], []).append((row["attempt"], row["status"]))
    assert told == {
        "a.jpg": [(1, "success")],
        "b.jpg": [(1, "success")],
        "late.jpg": [(1, "http_error"), (2, "success")],
        "later.jpg": [(1, "http_error"), (2, "success")],
        "gone.jpg": [(1, "http_error"), (2, "http_error")],
    }
    pairs = views.query(story.lake, "select distinct url, attempt, status from pairs").to_pylist()
    assert {row["url"].rpartition("/")[2]: (row["attempt"], row["status"]) for row in pairs} == {
        name: attempts[-1] for name, attempts in told.items()
    }


def test_every_caption_of_a_picture_won_is_embedded_and_scored(story: Story) -> None:
    rows = views.query(
        story.lake, "select text, status, similarity, punsafe, toxicity from pairs"
    ).to_pylist()
    assert len(rows) == 6
    for row in rows:
        won = row["text"] != "a picture that is gone"
        assert (row["status"] == "success") == won
        assert (row["similarity"] is not None) == won, row
        assert (row["punsafe"] is not None) == won, row
        assert row["toxicity"] is not None


def test_nothing_else_is_made_again(story: Story) -> None:
    """Three captions have pictures now that had none; two of them show the same one."""
    after = {key: found.rows for key, found in demo_lake.content(story.lake).items()}
    assert {key: after[key] - n for key, n in story.before.items()} == {
        "candidates": 0,
        "downloads": 3,
        "images": 2,
        "embeddings_demo": 3,
        "scores/similarity_demo": 3,
        "scores/punsafe_opennsfw": 3,
        "scores/toxicity_profanity_check": 0,
        "stored_pairs": 0,  # made anew
    }
    assert story.again == 0


def test_no_row_is_there_twice(story: Story) -> None:
    demo_lake.assert_sound(story.lake)


def test_with_nothing_to_retry_nothing_is_asked(story: Story, client: Client) -> None:
    asked = story.server.seen.total()
    assert demo_lake.built(story.lake, client, ["downloads"], Options(retry=("timeout",))) == 0
    assert story.server.seen.total() == asked
    assert demo_lake.built(story.lake, client) == 0, "no batch, so nothing to look at"


def test_a_plan_says_how_many_would_be_asked(story: Story) -> None:
    (stage,) = chosen(story.lake, ["downloads"])
    assert plan(story.lake, stage, Options(retry=("http_error",))).rows == 1
    assert plan(story.lake, stage, Options(retry=("timeout", "dns"))).works == ()
