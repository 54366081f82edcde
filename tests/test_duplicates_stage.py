"""The stage duplicates in a lake: groups are made anew as it grows, and views go by them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from distributed import Client

from lakehouse import UsageError, open_lake, removal, run, views
from lakehouse.cli import main
from lakehouse.demo import pages
from lakehouse.lake import Lake, init
from lakehouse.stages import chosen, stages
from tests import lakes
from transforms.tombstones import Tombstones

METHODS = ("phash", "sha256", "embedding_demo", "clusters_demo")
TOML = f"""
[lake]
schema = 1
[models.demo]
[duplicates]
methods = {list(METHODS)}
[thresholds]
similarity_en = 0.3
"""
SCORER = "similarity_demo"
PICTURE = np.eye(1, 192)[0]


def file(name: str) -> str:
    return name.encode().hex().ljust(64, "0")


def grow(lake: Lake, named: Mapping[str, tuple[str, int, int]]) -> None:
    """A batch of candidates with all that follows; per name its file, perceptual hash and direction."""
    read = len(lake.ledger.done("candidates")) * 10  # rows of the crawl file before these
    rows = [lakes.candidate(name, position=read + place) for place, name in enumerate(named)]
    number = lakes.append(lake, {"candidates": rows})
    got = [
        lakes.download(row, sha256=file(named[name][0]), phash=named[name][1])
        for row, name in zip(rows, named, strict=True)
    ]
    done = lakes.append(
        lake, {"downloads": got, "images": [lakes.image(row) for row in rows]}, [f"candidates:{number}"]
    )
    vectors = [np.roll(PICTURE, named[name][2]).astype(np.float16).tolist() for name in named]
    embedded = [
        {
            "sample_id": row["sample_id"],
            "unit": row["unit"],
            "image_embedding": vector,
            "text_embedding": vector,
        }
        for row, vector in zip(rows, vectors, strict=True)
    ]
    key = lakes.append(lake, {"embeddings_demo": embedded}, [f"downloads:{done}"])
    scores = [lakes.score(row, 0.5, SCORER) for row in rows]
    lakes.append(lake, {f"scores/{SCORER}": scores}, [f"embeddings_demo:{key}"])


def group(lake: Lake, client: Client, name: str = "duplicates") -> int:
    """Runs the stage of that name, or all of that kind; the number of batches."""
    return run.run(lake, client, chosen(lake, [name]))


def groups(lake: Lake, method: str) -> dict[str, bool]:
    """Which pairs are in a group of `method`, by name, and whether each is kept."""
    found = views.query(
        lake, f"select text, kept from duplicates join candidates using (sample_id) where method = '{method}'"
    )
    return {row["text"].removeprefix("a picture of "): row["kept"] for row in found.to_pylist()}


def silent(lake: Lake) -> bool:
    ignored = {"stored_pairs_differ"}
    return not {name for name, rows in views.audits(lake).items() if len(rows) and name not in ignored}


FIRST: Mapping[str, tuple[str, int, int]] = {
    "apple": ("a", 0, 0),
    "pear": ("p", -1, 1),
    "apple again": ("a", 0, 0),
    "apple resized": ("r", 0b1011, 0),
}
SECOND: Mapping[str, tuple[str, int, int]] = {
    "pear again": ("p", -1, 1),
    "plum": ("l", 2**40 - 1, 2),
}


@pytest.fixture
def grown(tmp_path: Path) -> Lake:
    lake = init(str(tmp_path / "lake"), TOML)
    grow(lake, FIRST)
    return lake


def test_groups_follow_what_comes(grown: Lake, client: Client) -> None:
    """A second batch joins the groups of the first; readers see one generation, and a repeat does nothing."""
    same, near = {"apple": True, "apple again": False}, {"apple resized": False}
    assert group(grown, client) == len(METHODS)
    assert groups(grown, "sha256") == same
    assert all(groups(grown, method) == same | near for method in METHODS if method != "sha256")
    assert group(grown, client) == 0
    before = views.query(grown, "select * exclude (batch) from duplicates order by all")
    pins = grown.pins()

    grow(grown, SECOND)
    plans = [run.plan(grown, stage) for stage in stages(grown) if stage.kind == "duplicates"]
    assert all(plan.stale and len(plan.works) == 2 for plan in plans)
    assert group(grown, client) == len(METHODS)
    pears = {"pear": True, "pear again": False}
    assert groups(grown, "sha256") == same | pears
    assert all(groups(grown, method) == same | near | pears for method in METHODS if method != "sha256")
    assert silent(grown)
    again = views.query(grown, "select * exclude (batch) from duplicates order by all", pins=pins)
    assert again.equals(before), "what a release pinned reads as before"
    funnel = views.query(grown, "select outcome, reason, rows from funnel where stage = 'duplicates/phash'")
    assert [tuple(row.values()) for row in funnel.to_pylist()] == [
        ("in", None, 6),
        ("dropped", "repeated", 3),
        ("kept", None, 3),
    ]


def test_the_view_shows_each_picture_once(grown: Lake, client: Client) -> None:
    """Of a group that lost its kept pair to a threshold, another stands for it."""
    names = "select replace(text, 'a picture of ', '') as name from deduplicated order by 1"
    everything = views.query(grown, names)["name"].to_pylist()
    assert everything == sorted(FIRST)
    group(grown, client, "duplicates/phash")
    assert views.query(grown, names)["name"].to_pylist() == ["apple", "pear"]
    kept = lakes.candidate("apple")["sample_id"]
    with views.connect(grown) as connection:
        connection.execute(f"create temp table fitting as select * from pairs where sample_id <> {kept}")
        connection.execute("create or replace view pairs as select * from fitting")
        found = connection.sql(names).to_arrow_table()["name"].to_pylist()
    assert len(found) == 2
    assert found[0] in ("apple again", "apple resized")


def test_a_removal_is_followed_too(grown: Lake, client: Client) -> None:
    """Without the one that stayed the audits are silent, and the next run says who stays now."""
    group(grown, client, "duplicates/phash")
    apple = lakes.candidate("apple")
    removal.remove(grown, Tombstones.of({"sample_id": np.array([apple["sample_id"]])}), "asked", client)
    assert groups(grown, "phash") == {"apple again": False, "apple resized": False}
    assert silent(grown)
    assert group(grown, client, "duplicates/phash") == 1
    assert groups(grown, "phash") == {"apple again": True, "apple resized": False}
    assert group(grown, client, "duplicates/phash") == 0


def test_another_number_makes_groups_anew(grown: Lake, client: Client) -> None:
    group(grown, client, "duplicates/phash")
    path = Path(grown.storage.root, "lake.toml")
    path.write_text(TOML.replace("[duplicates]", "[duplicates]\nphash_distance = 2"))
    stricter = open_lake(grown.storage.root)
    group(stricter, client, "duplicates/phash")
    assert groups(stricter, "phash") == {"apple": True, "apple again": False}


def test_methods_are_known_by_name(tmp_path: Path) -> None:
    lake = init(str(tmp_path / "lake"), TOML.replace("embedding_demo", "embedding_b32"))
    with pytest.raises(UsageError, match=r"no 'embedding_b32'; there are sha256, phash, clusters_demo"):
        stages(lake)
    plain = init(str(tmp_path / "plain"))
    with pytest.raises(UsageError, match=r"\[duplicates\] methods"):
        chosen(plain, ["duplicates"])


@pytest.mark.parametrize("told", ["phash_distance = 16", "cosine = 0", "cosine = 1.5"])
def test_numbers_are_checked(tmp_path: Path, told: str) -> None:
    lake = init(str(tmp_path / "lake"))
    Path(lake.storage.root, "lake.toml").write_text(f"[duplicates]\n{told}\n")
    found = CliRunner().invoke(main, ["--root", lake.storage.root, "status"])
    assert found.exit_code == 2
    assert told.partition(" ")[0] in found.output


def test_the_demos_planted_repeats_are_found(demo: Lake, client: Client, tmp_path: Path) -> None:
    """By its web: every picture that several pairs show is one group, and no other file is."""
    root = tmp_path / "lake"
    shutil.copytree(demo.storage.root, root)
    with Path(root, "lake.toml").open("a") as settings:
        settings.write(f"\n[duplicates]\nmethods = {list(METHODS)}\n")
    lake = open_lake(str(root))
    group(lake, client)
    body = {f"http://{host}{path}": answer.body for (host, path), answer in pages.build().answers.items()}
    rows: Sequence[Any] = views.query(
        lake,
        "select sample_id, candidates.url, final_url from candidates "
        "join newest_downloads using (url_id) where status = 'success'",
    ).to_pylist()
    expected: dict[bytes, set[int]] = {}
    for row in rows:
        expected.setdefault(body[row["final_url"] or row["url"]], set()).add(row["sample_id"])
    found: dict[int, set[int]] = {}
    for row in views.query(lake, "from duplicates where method = 'sha256'").to_pylist():
        found.setdefault(row["group_id"], set()).add(row["sample_id"])
    assert len(found) > 10
    assert sorted(map(sorted, found.values())) == sorted(
        sorted(ids) for ids in expected.values() if len(ids) > 1
    )
    for method in METHODS:  # the same file has the same hash and the same vector
        apart = views.query(
            lake,
            "select count(*) as n from (select f.group_id from duplicates f left join duplicates c "
            f"on f.sample_id = c.sample_id and c.method = '{method}' where f.method = 'sha256' "
            "group by f.group_id having count(distinct c.group_id) <> 1 or count(c.group_id) <> count(*))",
        )
        assert apart["n"].to_pylist() == [0], method
    assert silent(lake)
