"""The demo's lake is sound: rows in = rows out + reasons in each stage, keys unique, all links told of."""

from __future__ import annotations

import demo_lake

from lakehouse import views
from lakehouse.lake import Lake


def test_every_audit_is_empty(demo: Lake) -> None:
    demo_lake.assert_sound(demo)


def test_every_link_of_the_web_is_accounted_for(demo: Lake) -> None:
    """The web knows what it shows: links, those with a text, and different pairs of URL and text."""
    truth = demo_lake.web().truth.to_pylist()
    pairs = {(row["url"], row["text"]) for row in truth if row["text"] is not None and row["url"] is not None}
    found = demo_lake.read(demo, "candidates", ["url", "text"]).to_pylist()
    kept = {(row["url"], row["text"]) for row in found}
    counts = demo_lake.counts(demo, "candidates")
    assert len(found) == len(kept)
    assert kept <= pairs
    assert counts["in"] == len(truth)
    assert counts["in"] - sum(n for name, n in counts.items() if name.startswith("drop:")) == len(found)


def test_the_funnel_adds_up(demo: Lake) -> None:
    rows = views.query(demo, "select * from funnel").to_pylist()
    for stage in {row["stage"] for row in rows}:
        here = [row for row in rows if row["stage"] == stage]
        (came,) = [row["rows"] for row in here if row["outcome"] == "in"]
        assert came == sum(row["rows"] for row in here if row["outcome"] != "in"), stage


def test_each_stage_hands_on_what_it_kept(demo: Lake) -> None:
    """What comes into a stage is what came out of the one before it."""
    rows = {key: found.rows for key, found in demo_lake.content(demo).items()}
    came = {key: demo_lake.counts(demo, key)["in"] for key in rows}
    assert came["downloads"] == came["embeddings_demo"] == came["scores/toxicity_profanity_check"]
    assert came["downloads"] == rows["candidates"]
    assert came["images"] == rows["downloads"]
    assert came["scores/similarity_demo"] == rows["embeddings_demo"]
