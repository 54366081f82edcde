"""A release is the original minus what was withdrawn, exactly: rows and sums, whatever happened before."""

from __future__ import annotations

from pathlib import Path

import commands
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from lakehouse import care, releases, removal, requests, verification, views
from lakehouse.fingerprints import fingerprint
from lakehouse.lake import Lake, open_lake
from tests import lakes, removal_lakes
from tests.removal_lakes import APPLE, FIG, PEAR, PLUM, RED, TABLES


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Releases v1 and v2 of the same rows, then v3 with one pair more."""
    made = removal_lakes.orchard(tmp_path / "lake")
    for name in ("v1", "v2"):
        releases.create(made, name)
    lakes.append(made, {"candidates": [lakes.candidate("nut")]})
    releases.create(made, "v3")
    return made


def remove(lake: Lake, **given: str) -> None:
    asked = requests.request(lake.settings.candidates, {kind: [value] for kind, value in given.items()})
    removal.remove(lake, asked, "asked for")


def sums(lake: Lake) -> dict[str, tuple[int, int]]:
    """Rows and fingerprint of each table, read here."""
    found = {}
    for key in TABLES:
        name = key.partition("/")[0]
        schema = lake.spec(name).schema
        rows: pa.Table = lake.table(name).dataset().to_table(columns=schema.names).cast(schema)
        found[key] = len(rows), fingerprint(rows).whole
    return found


def test_every_release_verifies_after_each_removal(lake: Lake) -> None:
    for given in ({"url": FIG["url"]}, {"sample_id": str(RED["sample_id"])}, {"host": "pictures.test"}):
        remove(lake, **given)
        for name in ("v1", "v2", "v3"):
            assert releases.verify(lake, name) == []
            assert releases.verify(lake, name, full=False) == []
    assert verification.withdrawn_since(lake, releases.get(lake, "v3"))["candidates"].rows == 6
    assert sums(lake) == dict.fromkeys(TABLES, (0, 0))


def test_what_is_withdrawn_is_what_was_there_less_what_is_left(lake: Lake) -> None:
    before = sums(lake)
    remove(lake, sha256=removal_lakes.download(PEAR)["sha256"])
    after = sums(lake)
    gone = verification.withdrawn_since(lake, releases.get(lake, "v3"))
    for key in TABLES:
        assert gone[key].rows == before[key][0] - after[key][0] > 0
        assert gone[key].fingerprint.whole == (before[key][1] - after[key][1]) % (1 << 128)


def test_a_release_made_after_a_removal_is_whole(lake: Lake) -> None:
    remove(lake, url=FIG["url"])
    releases.create(lake, "v4")
    made = releases.get(lake, "v4")
    stored = sums(lake)
    assert {key: (made.counts[key], made.fingerprints[key].whole) for key in TABLES} == stored
    remove(lake, url=APPLE["url"])
    for name, gone in (("v1", 3), ("v4", 2)):
        assert releases.verify(lake, name) == []
        assert releases.verify(lake, name, full=False) == []
        assert verification.withdrawn_since(lake, releases.get(lake, name))["candidates"].rows == gone
    answer = commands.lake("--root", lake.storage.root, "release", "verify", "v4", "--fast")
    assert answer.out.startswith("release v4 verifies: original minus 2 withdrawn (rows: candidates 2, ")
    releases.create(lake, "v5")
    answer = commands.lake("--root", lake.storage.root, "release", "verify", "v5", "--fast")
    assert answer.out == "release v5 verifies\n"


def test_compaction_and_a_rebuild_after_it_change_nothing(lake: Lake) -> None:
    remove(lake, url=APPLE["url"])
    for name in ("candidates", "downloads", "scores", "images", "embeddings_b32"):
        care.compact(lake, name)
    lake.ledger.rebuild([removal_lakes.SCORES])
    lakes.append(lake, {removal_lakes.SCORES: [lakes.score(FIG, 0.1)]})
    lake.ledger.switch()
    assert releases.verify(lake, "v1") == []


def test_a_row_that_comes_back_is_found(lake: Lake) -> None:
    remove(lake, url=FIG["url"])
    lakes.write(lake, "candidates", [FIG], 2)
    (found,) = releases.verify(lake, "v1")
    assert str(found) == "candidates: the table has 5 rows, the release recorded 5 less 1 withdrawn"


def test_another_row_in_place_of_one_that_left_is_found(lake: Lake) -> None:
    remove(lake, url=FIG["url"])
    where = f"sample_id = {PLUM['sample_id']}"
    DeltaTable(lake.storage.uri("candidates")).update({"license": "'x'"}, predicate=where)
    (found,) = releases.verify(lake, "v1")
    assert (
        found.problem
        == "the table has other rows than the release recorded less 1 withdrawn: content differs"
    )


def test_files_that_a_removal_wrote_have_checksums(lake: Lake) -> None:
    remove(lake, url=APPLE["url"])
    for name in ("candidates", "images"):
        for path in lake.table(name).files():
            file = Path(lake.storage.root) / path
            data = bytearray(file.read_bytes())
            data[len(data) // 2] ^= 1
            file.write_bytes(data)
            assert [f.file for f in releases.verify(lake, "v3")] == [path]
            data[len(data) // 2] ^= 1
            file.write_bytes(data)


def test_the_command_says_how_many(lake: Lake) -> None:
    remove(lake, url=APPLE["url"])
    answer = commands.lake("--root", lake.storage.root, "release", "verify", "v1", "--fast")
    assert answer.code == 0, answer
    assert answer.out.startswith("release v1 verifies: original minus 2 withdrawn (rows: candidates 2, ")


def test_pairs_that_left_are_named_by_their_keys(lake: Lake) -> None:
    nut = lakes.candidate("nut")
    remove(lake, url=FIG["url"])
    remove(lake, url=nut["url"])
    for release in (None, "v1"):
        rows = views.query(lake, 'select * exclude ("at") from withdrawn order by removal', release=release)
        assert rows.to_pylist() == [
            {"sample_id": of["sample_id"], "url_id": of["url_id"], "batch": batch, "removal": removal_number}
            | {"reason": "asked for"}
            for of, batch, removal_number in ((FIG, 2, 1), (nut, 3, 2))
        ]


def test_another_reader_sees_the_same(lake: Lake) -> None:
    remove(lake, url=FIG["url"])
    other = open_lake(lake.storage.root)
    assert views.query(other, "from pairs", release="v1").num_rows == 4
    assert views.query(other, "from pairs").num_rows == 5
