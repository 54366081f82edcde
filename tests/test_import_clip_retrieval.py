"""`lake import clip-retrieval`: its vectors become rows of a model's table, and are not embedded again."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import commands
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from demo_lake import assert_sound
from distributed import Client

from lakehouse import lake as lakes
from lakehouse import run, sources, views
from lakehouse.errors import LakeError, UsageError
from lakehouse.imports import img2dataset
from lakehouse.imports.account import account
from lakehouse.imports.clip_retrieval import bring, find
from lakehouse.lake import Lake
from lakehouse.stages import chosen
from lakehouse.tables import Range
from transforms.candidates.errors import UnreadableUnit
from transforms.candidates.keys import sample_id
from transforms.imports.vectors import npy_rows, npy_shape

IMPORTS = Path(__file__).parent / "data" / "imports"
EMBEDDED = IMPORTS / "clip-retrieval"  # of the first shard: eight pairs
KEY = "embeddings_demo"
SIZE = 192
TOML = '[models.demo]\n[scores]\nscorers = ["similarity_demo"]\n[batches]\nunits = 1\n'


def vectors(lake: Lake) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    rows = lake.table(KEY).arrow([Range(*lake.pins()[KEY])]).to_pylist()
    return {r["sample_id"]: (np.array(r["image_embedding"]), np.array(r["text_embedding"])) for r in rows}


def copied(folder: Path) -> Path:
    shutil.copytree(EMBEDDED, folder / "embedded")
    return folder / "embedded"


@pytest.fixture(scope="module")
def built(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake of the shards, and of the vectors that clip-retrieval made of the first."""
    lake = lakes.init(str(tmp_path_factory.mktemp("embedded") / "lake"), TOML)
    img2dataset.take(lake, client, img2dataset.find(lake, str(IMPORTS / "webdataset")))
    bring(lake, client, find(lake, str(EMBEDDED), "demo"))
    return lake


def test_each_pair_has_the_vectors_of_its_row(built: Lake) -> None:
    found = vectors(built)
    metadata = pq.read_table(EMBEDDED / "metadata" / "metadata_0.parquet").to_pylist()
    image, text = (np.load(EMBEDDED / kind / f"{kind}_0.npy") for kind in ("img_emb", "text_emb"))
    assert len(found) == len(metadata) == 8
    for row, one, other in zip(metadata, image, text, strict=True):
        mine = found[sample_id(row["url"], row["caption"])]
        assert np.array_equal(mine[0], one.astype(np.float16))
        assert np.array_equal(mine[1], other.astype(np.float16))
    assert account(built, ["clip-retrieval/metadata/metadata_0.parquet#0"]) == {KEY: {"in": 8, "out": 8}}


def test_nothing_is_embedded_again(built: Lake, client: Client, tmp_path: Path) -> None:
    shutil.copytree(built.storage.root, tmp_path / "lake")
    lake = lakes.open_lake(str(tmp_path / "lake"))
    imported = vectors(lake)
    run.run(lake, client, chosen(lake, ["embeddings", "scores", "pairs"]))
    after = vectors(lake)
    assert len(after) > len(imported)
    assert all(np.array_equal(after[key][0], imported[key][0]) for key in imported)
    assert_sound(lake)
    scored = views.query(lake, "select sample_id, similarity from pairs where similarity is not null")
    values = {row["sample_id"]: row["similarity"] for row in scored.to_pylist()}
    for key, (image, text) in imported.items():
        assert values[key] == pytest.approx(float(image.astype("f4") @ text.astype("f4")), abs=1e-3)


@pytest.mark.slow
def test_the_lakes_own_vectors_are_near(built: Lake, client: Client, tmp_path: Path) -> None:
    """clip-retrieval ran the model that the lake has, on pictures that it decoded and resized itself."""
    shutil.copytree(built.storage.root, tmp_path / "lake")
    lake = lakes.open_lake(str(tmp_path / "lake"))
    imported = vectors(lake)
    run.rebuild(lake, client, ["embeddings"])
    own = vectors(lake)
    for key, (image, text) in imported.items():
        assert float(own[key][0].astype("f4") @ image.astype("f4")) > 0.98
        assert float(own[key][1].astype("f4") @ text.astype("f4")) > 0.999


def test_the_lineage_names_model_files_and_hashes(built: Lake) -> None:
    (event,) = built.ledger.done(KEY)
    told = {each["file"]: each for each in json.loads(event["details"])["imported"]}
    path = EMBEDDED / "img_emb" / "img_emb_0.npy"
    assert told[str(path)] == {
        "tool": "clip-retrieval",
        "file": str(path),
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    (claim,) = [e for e in built.ledger.events() if e["event"] == "claim" and e["key"] == KEY]
    assert json.loads(claim["details"])["model"]["name"] == "demo"


def test_again_is_nothing_to_do_until_there_are_new_candidates(client: Client, tmp_path: Path) -> None:
    lake = lakes.init(str(tmp_path / "lake"), TOML)
    metadata = pq.read_table(EMBEDDED / "metadata" / "metadata_0.parquet").select(["url", "caption"])
    for name, rows in (("a", metadata.slice(0, 3)), ("b", metadata.slice(3))):
        pq.write_table(rows, tmp_path / f"{name}.parquet")
        sources.add(lake, "urls", [str(tmp_path / f"{name}.parquet")])
        run.run(lake, client, chosen(lake, ["candidates"]))
        for _ in range(2):
            units = bring(lake, client, find(lake, str(EMBEDDED), "demo"))
    assert [event["rows"] for event in lake.ledger.done(KEY)] == [3, 5]
    assert account(lake, units) == {KEY: {"in": 16, "out": 8, "no_candidate": 5, "known": 3}}
    assert views.query(lake, "from rows_not_accounted_for").num_rows == 0


def test_rows_that_cannot_be_imported_are_counted(client: Client, tmp_path: Path) -> None:
    folder = copied(tmp_path)
    table = pq.read_table(folder / "metadata" / "metadata_0.parquet").select(["url", "caption"])
    image = np.load(folder / "img_emb" / "img_emb_0.npy").astype(np.float32)
    twice = pa.concat_tables(
        [
            table,
            table.slice(0, 1),
            pa.table({"url": ["http://x.test/1.jpg"] * 2, "caption": ["Nobody has this", "abc"]}),
        ]
    )
    image[2, 5], image[3] = np.nan, 0
    image[4] *= 7
    pq.write_table(twice, folder / "metadata" / "metadata_0.parquet")
    padded = np.concatenate([image, image[:3]])
    np.save(folder / "img_emb" / "img_emb_0.npy", padded)
    np.save(folder / "text_emb" / "text_emb_0.npy", padded[::-1].copy())
    lake = lakes.init(str(tmp_path / "fresh"), TOML)
    img2dataset.take(lake, client, img2dataset.find(lake, str(IMPORTS / "files")))
    units = bring(lake, client, find(lake, str(folder), "demo"))
    told = account(lake, units)[KEY]
    # pictures 2 and 3; the texts run the other way, so those of rows 0 and 7, and of 8, which is a repeat
    assert told == {"in": 11, "out": 4, "duplicate": 1, "short_text": 1, "no_candidate": 1, "not_finite": 4}
    lengths = [np.linalg.norm(v.astype("f4")) for pair in vectors(lake).values() for v in pair]
    assert lengths == pytest.approx([1] * 8, abs=2e-3)


def test_wrong_folders_and_models_are_refused(built: Lake, client: Client, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no model 'b32' in lake.toml; there are demo"):
        find(built, str(EMBEDDED), "b32")
    folder = copied(tmp_path)
    np.save(folder / "text_emb" / "text_emb_0.npy", np.zeros((8, 512), "f2"))
    with pytest.raises(UsageError, match=r"vectors of 512 elements; .* and the model's vectors have 192"):
        find(built, str(folder), "demo")
    np.save(folder / "text_emb" / "text_emb_0.npy", np.zeros((7, SIZE), "f2"))
    with pytest.raises(UsageError, match=r"has 7 vectors of 192 elements; .* has 8 rows"):
        find(built, str(folder), "demo")
    (folder / "text_emb" / "text_emb_0.npy").unlink()
    with pytest.raises(UsageError, match=r"no file .*text_emb_0.npy"):
        find(built, str(folder), "demo")
    pq.write_table(pa.table({"caption": ["x"]}), folder / "metadata" / "metadata_0.parquet")
    with pytest.raises(UsageError, match="has no url: a row is known by both"):
        find(built, str(folder), "demo")
    empty = lakes.init(str(tmp_path / "empty"), TOML)
    with pytest.raises(UsageError, match="the lake has no candidates that this could belong to"):
        bring(empty, client, find(empty, str(EMBEDDED), "demo"))


def test_rows_of_npy_files(tmp_path: Path) -> None:
    path = str(tmp_path / "x.npy")
    whole = np.arange(60, dtype="f4").reshape(20, 3)
    np.save(path, whole)
    assert npy_shape(path) == (20, 3)
    assert np.array_equal(npy_rows(path, 7, 11), whole[7:11])
    for wrong in (np.asfortranarray(whole), whole.astype("i4"), whole[0]):
        np.save(path, wrong)
        with pytest.raises(UnreadableUnit, match="holds no rows of float16 or float32"):
            npy_shape(path)
    Path(path).write_bytes(b"nothing")
    with pytest.raises(UnreadableUnit, match=r"is no .npy file"):
        npy_shape(path)


def test_files_that_changed_between_finding_and_reading_end_the_batch(client: Client, tmp_path: Path) -> None:
    lake = lakes.init(str(tmp_path / "lake"), TOML)
    img2dataset.take(lake, client, img2dataset.find(lake, str(IMPORTS / "files")))
    folder = copied(tmp_path)
    found = find(lake, str(folder), "demo")
    np.save(folder / "img_emb" / "img_emb_0.npy", np.zeros((3, SIZE), "f2"))
    with pytest.raises(LakeError, match="has 3 vectors, fewer than 8: put the same file back"):
        bring(lake, client, found)
    assert KEY not in lake.pins()


def test_the_command(built: Lake, tmp_path: Path, client: Client) -> None:
    shutil.copytree(built.storage.root, tmp_path / "lake")
    answer = commands.lake(
        "--root",
        tmp_path / "lake",
        "import",
        "clip-retrieval",
        EMBEDDED,
        "--model",
        "demo",
        "--scheduler",
        client.scheduler.address,
    )
    assert answer.code == 0, answer
    assert answer.out == "embeddings_demo: 8 of 8 rows\n"
