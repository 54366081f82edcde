"""stored_pairs: the rows of pairs, kept fresh by the stage runner, not read where they are out of date."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from demo_lake import assert_sound
from distributed import Client

from lakehouse import care, lineage, materialise, open_lake, releases, run, sqlfiles, views
from lakehouse.lake import Lake
from lakehouse.stages import Stage, chosen
from tests import lakes

FIG = lakes.candidate("fig")
APPLE = lakes.candidate("apple")
PLUM = lakes.candidate("plum", None)
SCORES = f"scores/{lakes.SIMILARITY}"


def stage(lake: Lake) -> Stage:
    (found,) = chosen(lake, ["pairs"])
    return found


def store(lake: Lake, client: Client) -> int:
    """Runs the stage; returns the number of batches that it committed."""
    return run.run(lake, client, [stage(lake)])


def is_stored(lake: Lake, release: str | None = None) -> bool:
    """Whether a reader of pairs gets stored rows."""
    with views.connect(lake, release=release) as connection:
        found = connection.sql("select sql from duckdb_views() where view_name = 'pairs'").to_arrow_table()
    return "stored_pairs" in found["sql"].to_pylist()[0]


def assert_same(lake: Lake, release: str | None = None) -> None:
    """Both ways give the same rows, of the same types, in the same columns."""
    stored, joined = [
        views.query(lake, f"from {relation} order by sample_id", release=release)
        for relation in ("pairs", "joined_pairs")
    ]
    assert stored.schema.equals(joined.schema)
    assert stored.to_pylist() == joined.to_pylist()


def add_fig(lake: Lake) -> None:
    """A batch of candidates with its download and scores."""
    number = lakes.append(lake, {"candidates": [FIG]})
    pictures = {"images": {(lakes.UNIT, "in"): 1}}
    fetched = {"downloads": [lakes.download(FIG)], "images": [lakes.image(FIG)]}
    lakes.append(lake, fetched, [f"candidates:{number}"], pictures)
    lakes.append(lake, {SCORES: [lakes.score(FIG, 0.4)]}, [f"candidates:{number}"])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, client: Client) -> Lake:
    made = lakes.small(tmp_path_factory.mktemp("small"))
    assert not is_stored(made)
    assert store(made, client) == 1
    return made


@pytest.fixture
def lake(small: Lake, tmp_path: Path) -> Lake:
    shutil.copytree(small.storage.root, tmp_path / "lake")
    return open_lake(str(tmp_path / "lake"))


def test_stored_rows_are_those_of_the_join(lake: Lake) -> None:
    assert is_stored(lake)
    assert len(views.query(lake, "from pairs")) == 3
    assert_same(lake)
    assert_sound(lake)


def test_there_is_nothing_to_do_twice(lake: Lake, client: Client) -> None:
    assert run.plan(lake, stage(lake)).fresh
    assert store(lake, client) == 0


def test_new_rows_are_appended(lake: Lake, client: Client) -> None:
    before = lake.pins()[lineage.TABLE]
    add_fig(lake)
    assert not is_stored(lake)
    assert len(views.query(lake, "from pairs")) == 4
    assert store(lake, client) == 1
    assert lake.pins()[lineage.TABLE] == (before[0], before[1] + 1)
    assert lake.ledger.done(lineage.TABLE)[-1]["rows"] == 1
    assert is_stored(lake)
    assert_same(lake)
    assert_sound(lake)


def test_an_attempt_at_an_old_url_makes_its_rows_anew(lake: Lake, client: Client) -> None:
    add_fig(lake)
    store(lake, client)
    lakes.append(lake, {"downloads": [lakes.download(PLUM, attempt=2, width=99)]}, ["retry-timeout:9"])
    assert not is_stored(lake)
    sql = f"select width from pairs where sample_id = {PLUM['sample_id']}"
    assert views.query(lake, sql)["width"].to_pylist() == [99]
    assert "rows of 3 batches" in run.plan(lake, stage(lake)).stale[0]
    assert store(lake, client) == 1
    assert is_stored(lake)
    assert views.query(lake, sql)["width"].to_pylist() == [99]
    assert_same(lake)
    assert_sound(lake)


def test_scores_that_come_later_make_rows_anew(lake: Lake, client: Client) -> None:
    lakes.append(lake, {"scores/punsafe_b32": [lakes.score(APPLE, 0.7, "punsafe_b32")]})
    assert not is_stored(lake)
    sql = "select punsafe from pairs where punsafe is not null"
    assert len(views.query(lake, sql)) == 1
    store(lake, client)
    assert is_stored(lake)
    assert len(views.query(lake, sql)) == 1
    assert_same(lake)


def test_scores_that_pairs_do_not_have_change_nothing(lake: Lake, client: Client) -> None:
    lakes.append(lake, {"scores/similarity_other": [lakes.score(APPLE, 0.7, "similarity_other")]})
    assert is_stored(lake)
    assert store(lake, client) == 0


def test_only_the_batches_that_scores_tell_of_are_looked_at(lake: Lake) -> None:
    add_fig(lake)
    told = lineage.sources(lake.ledger.state(), lake.pins(), [lakes.SIMILARITY])
    # small() says nothing of where its scores come from, so they may tell of every row
    assert told == {
        1: {"downloads": [1], SCORES: [1]},
        2: {"downloads": [2], SCORES: [1]},
        3: {"downloads": [3], SCORES: [1, 2]},
    }


def test_other_active_scorers_make_rows_anew(lake: Lake, client: Client) -> None:
    toml = Path(lake.storage.root) / "lake.toml"
    toml.write_text(toml.read_text() + '[scores]\nscorers = ["punsafe_b32"]\n')
    changed = open_lake(lake.storage.root)
    assert not is_stored(changed)
    assert_same(changed)
    assert store(changed, client) == 1
    assert is_stored(changed)
    assert set(views.query(changed, "from pairs")["similarity"].to_pylist()) == {None}


def test_other_sql_is_not_answered_from_stored_rows(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = {**sqlfiles.house(), "newest_downloads": "select * from downloads where false"}
    monkeypatch.setattr(sqlfiles, "house", lambda: changed)
    assert not is_stored(lake)
    assert set(views.query(lake, "from pairs")["status"].to_pylist()) == {None}


def test_a_release_keeps_its_stored_rows(lake: Lake, client: Client) -> None:
    releases.create(lake, "v1")
    before = views.query(lake, "from pairs order by sample_id", release="v1")
    lakes.append(lake, {"downloads": [lakes.download(PLUM, attempt=2)]}, ["retry-timeout:9"])
    store(lake, client)
    lake.table(lineage.TABLE).compact()
    assert is_stored(lake, "v1")
    assert views.query(lake, "from pairs order by sample_id", release="v1").equals(before)
    assert_same(lake, "v1")
    assert releases.verify(lake, "v1") == []


def test_a_release_of_a_lake_with_stale_rows_reads_the_join(lake: Lake) -> None:
    add_fig(lake)
    releases.create(lake, "v1")
    assert not is_stored(lake, "v1")
    assert len(views.query(lake, "from pairs", release="v1")) == 4


def test_native_versions_are_read_by_the_join(lake: Lake) -> None:
    version = lake.table("candidates").version()
    add_fig(lake)
    found = views.query(lake, "from pairs", versions={"candidates": version})
    assert len(found) == 3


def test_readers_change_over_to_a_rebuild_and_its_stored_rows_at_once(lake: Lake, client: Client) -> None:
    lake.ledger.rebuild([SCORES])
    lakes.append(lake, {SCORES: [lakes.score(APPLE, 0.9)]})
    assert is_stored(lake)
    stale = run.plan(lake, stage(lake)).stale
    assert stale
    assert set(views.query(lake, "from pairs")["similarity"].to_pylist()) != {None, 0.9}
    lake.ledger.rebuild([lineage.TABLE])
    lake.ledger.switch()  # the scores alone
    assert not is_stored(lake)
    assert_same(lake)


def test_a_removed_row_leaves_both(lake: Lake) -> None:
    for table in ("candidates", "scores", lineage.TABLE):
        lake.table(table).delete(f"sample_id = {APPLE['sample_id']}")
    assert is_stored(lake)
    assert len(views.query(lake, "from pairs")) == 2
    assert_same(lake)


def test_a_retry_that_tried_nothing_changes_nothing(lake: Lake, client: Client) -> None:
    lakes.append(lake, {"downloads": []}, ["retry-dns:9"])
    assert is_stored(lake)
    assert store(lake, client) == 0


def test_only_batches_that_can_have_a_url_are_read(lake: Lake, client: Client) -> None:
    """New rows cost what they are: of downloads only their own batch, unless the ledger counted old URLs."""
    add_fig(lake)  # the third batch
    assert materialise.slices(lake, [3])[0].downloads == {3}
    assert materialise.slices(lake, [3])[0].pins["downloads"] == (3, 3)
    again = lakes.candidate("fig", text="another caption of the fig", sample_id=7)
    pear = lakes.candidate("quince")
    number = lakes.append(lake, {"candidates": [again, pear]})
    counts = {"downloads": {(lakes.UNIT, "in"): 2, (lakes.UNIT, lineage.FETCHED_BEFORE): 1}}
    fetched = {"downloads": [lakes.download(pear)], "images": [lakes.image(pear)]}
    counts["images"] = {(lakes.UNIT, "in"): 1}
    lakes.append(lake, fetched, [f"candidates:{number}"], counts)
    assert materialise.slices(lake, [number])[0].downloads is None
    store(lake, client)
    assert is_stored(lake)
    assert_same(lake)
    statuses = views.query(lake, f"select status from pairs where url_id = {FIG['url_id']}")
    assert statuses["status"].to_pylist() == ["success", "success"]


def test_compaction_keeps_the_layout(lake: Lake, client: Client) -> None:
    for n in range(3):
        many = [lakes.candidate(f"fruit {n} {i}", ("de", "en", None)[i % 3]) for i in range(40)]
        number = lakes.append(lake, {"candidates": many})
        lakes.append(
            lake, {SCORES: [lakes.score(row, i / 99) for i, row in enumerate(many)]}, [f"candidates:{number}"]
        )
        store(lake, client)
    table = lake.table(lineage.TABLE)
    before = lakes.stored(lake, lineage.TABLE)
    assert len(table.files()) > 1
    assert care.compact(lake, lineage.TABLE) == table.version()
    (path,) = table.files()
    file = pq.ParquetFile(Path(lake.storage.root) / path)
    rows = file.read(["language", "similarity", "sample_id"]).to_pylist()
    keys = [
        (r["language"] is None, r["language"] or "", r["similarity"] is None, -(r["similarity"] or 0))
        for r in rows
    ]
    assert keys == sorted(keys)
    group = file.metadata.row_group(0)
    chunks = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert chunks["similarity"].compression == "UNCOMPRESSED"
    assert chunks["text"].compression == "ZSTD"
    assert lakes.stored(lake, lineage.TABLE) == before
    assert is_stored(lake)
    assert_same(lake)
    assert_sound(lake)
    assert care.compact(lake, lineage.TABLE) == table.version()  # nothing left to merge


def test_slices_of_a_batch_are_all_of_it(lake: Lake, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [lakes.candidate(f"fruit {n}") for n in range(50)]
    lakes.append(lake, {"candidates": many})
    monkeypatch.setattr(materialise, "ROWS", 9)
    store(lake, client)
    done = lake.ledger.done(lineage.TABLE)[-1]
    assert (done["rows"], len(done["files"])) == (50, 6)
    assert_same(lake)


def test_the_script_for_the_shell_reads_stored_rows(lake: Lake) -> None:
    wanted = "candidates_batch as batch from stored_pairs"
    assert wanted in views.script(lake)
    add_fig(lake)
    assert wanted not in views.script(lake)
