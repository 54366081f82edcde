"""A pushed release opens from its manifest alone, reads as it did at home, verifies, and takes no writes."""

from __future__ import annotations

import json
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import trustme
from distributed import Client

from lakehouse import LakeError, UsageError, open_lake, releases, removal, requests, views
from lakehouse.lake import Lake, init
from lakehouse.published import FILE, PublishedLake
from lakehouse.push import push
from lakehouse.search import Query, find
from lakehouse.storage import Storage
from tests import commands, files_server, lakes, s3


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake that has grown since its release v1."""
    made = lakes.small(tmp_path_factory.mktemp("home") / "lake")
    releases.create(made, "v1", "for the paper")
    lakes.append(made, {"candidates": [lakes.candidate("later")]})
    made.table("candidates").compact()  # one file now holds rows of the release and others
    return made


@pytest.fixture(scope="module")
def copy(home: Lake, client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """v1 with its pictures. Tests that share it only read."""
    folder = tmp_path_factory.mktemp("copy") / "läke #1"
    push(home, "v1", str(folder), client, pictures=True)
    return folder


def served(copy: Path) -> files_server.Site:
    return files_server.Site(
        {f"/data/{p.relative_to(copy)}": p.read_bytes() for p in copy.rglob("*") if p.is_file()}
    )


@pytest.fixture
def site(copy: Path) -> Iterator[files_server.Site]:
    """The copy on a plain web server that lists nothing."""
    with files_server.serving(served(copy)) as site:
        yield site


def everything(lake: Lake) -> dict[str, list[dict[str, object]]]:
    """All rows of all relations that tell of the data, in an order of their own."""
    with views.connect(lake) as connection:
        return {
            name: connection.sql(f'from "{name}" order by all').to_arrow_table().to_pylist()
            for name in views.names(lake)
            if name not in ("ledger", "batches")  # events of other batches, and who made them, stay at home
        }


def test_every_relation_reads_as_at_home(home: Lake, copy: Path) -> None:
    assert everything(open_lake(str(copy))) == everything(open_lake(home.storage.root, release="v1"))


def test_it_opens_over_http_and_verifies_there(home: Lake, site: files_server.Site) -> None:
    there = open_lake(f"{site.url}/data/")
    assert everything(there) == everything(open_lake(home.storage.root, release="v1"))
    assert releases.verify(there, "v1") == []
    assert {status for status, _ in site.asked if not status.startswith("/data/")} == set()


def test_commands_work_over_http(site: files_server.Site) -> None:
    root = f"{site.url}/data"
    sql = "select text from pairs order by text"
    told = commands.lake("--root", root, "sql", sql, "--release", "v1", "--format", "json")
    assert [row["text"] for row in json.loads(told.out)] == [
        f"a picture of {name}" for name in ("apple", "pear", "plum")
    ]
    assert json.loads(commands.lake("--root", root, "release", "list", "--json").out)[0]["name"] == "v1"
    assert commands.lake("--root", root, "release", "verify", "v1", "--fast").out == "release v1 verifies\n"
    script = commands.lake("--root", root, "views", "--sql").out
    assert "load httpfs;" in script
    assert f"read_parquet(['{root}/candidates/" in script


@pytest.mark.slow
def test_it_opens_over_https(copy: Path, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    with files_server.serving(served(copy), tls) as site:
        asked = ("--root", f"{site.url}/data", "sql", "select count(*) as n from pairs", "--format", "json")
        told = commands.process(*asked, cwd=tmp_path, SSL_CERT_FILE=str(tmp_path / "ca.pem"))
        assert (told.code, json.loads(told.out)) == (0, [{"n": 3}]), told
        strange = commands.process(*asked, cwd=tmp_path)
        assert "CERTIFICATE_VERIFY_FAILED" in commands.complaint(strange, 1)


def test_failures_that_pass_are_tried_again(site: files_server.Site) -> None:
    for path in site.files:
        site.failures[path] = [503]
    assert len(views.query(open_lake(f"{site.url}/data"), "from pairs")) == 3


def test_a_server_without_ranges_will_do(site: files_server.Site) -> None:
    site.ranges = False
    assert len(views.query(open_lake(f"{site.url}/data"), "from laion2b_en")) == 1


def test_it_opens_from_an_object_store(
    home: Lake, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3.s3() as address:
        storage = s3.new_folder(address, str(tmp_path))
        for name, value in storage.options.items():
            monkeypatch.setenv(f"LAKE_STORAGE_{name.upper()}", value)
        made, sent = push(home, "v1", storage.root, client)
        assert sent == len(made.files)
        (first, *_) = made.files
        storage.write("candidates/" + "0" * 32 + ".parquet", b"left by an earlier push")
        assert push(home, "v1", storage.root, client)[1] == 0
        assert not storage.exists("candidates/" + "0" * 32 + ".parquet")
        there = open_lake(storage.root)
        assert len(views.query(there, "from pairs")) == 3
        assert releases.verify(there, "v1", client) == []
        assert storage.exists(first.path)


def test_pictures_stay_at_home_unless_asked_for(
    home: Lake, client: Client, tmp_path: Path, copy: Path
) -> None:
    push(home, "v1", str(tmp_path), client)
    assert not (tmp_path / "images").exists()
    assert releases.verify(open_lake(str(tmp_path)), "v1") == []
    rows = [row for file in (copy / "images").iterdir() for row in pq.read_table(file).to_pylist()]
    assert sorted(row["image"] for row in rows) == sorted(
        lakes.image(lakes.candidate(name))["image"] for name in ("apple", "pear")
    )


def test_nothing_of_the_machine_or_of_later_batches_is_told(home: Lake, copy: Path) -> None:
    data = [path.read_bytes() for path in copy.rglob("*") if path.is_file()]
    rows = [row for file in (copy / "ledger").iterdir() for row in pq.read_table(file).to_pylist()]
    assert rows
    assert {row["owner"] for row in rows} == {None}
    assert {(row["key"], row["batch"]) for row in rows if row["key"] == "candidates"} == {
        ("candidates", 1),
        ("candidates", 2),
    }
    assert not any(home.storage.root.encode() in part for part in data)


@pytest.mark.parametrize("place", ["candidates", "images", "scores", "ledger"])
def test_damage_is_found_at_the_target(copy: Path, tmp_path: Path, place: str) -> None:
    shutil.copytree(copy, tmp_path / "copy")
    (file, *_) = sorted((tmp_path / "copy" / place).iterdir())
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    if place == "ledger":
        with pytest.raises(LakeError, match=r"ledger/.* its bytes are not those that were written"):
            releases.verify(open_lake(str(tmp_path / "copy")), "v1")
        return
    (found,) = releases.verify(open_lake(str(tmp_path / "copy")), "v1")
    assert found.file == f"{place}/{file.name}"


def test_a_missing_file_is_found(copy: Path, tmp_path: Path) -> None:
    shutil.copytree(copy, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "downloads")
    (found,) = releases.verify(open_lake(str(tmp_path / "copy")), "v1")
    assert "is missing" in found.problem


def test_an_interrupted_push_goes_on_where_it_was(
    home: Lake, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Storage.write

    def failing(storage: Storage, path: str, data: bytes) -> None:
        if path == FILE:
            raise OSError("the network is gone")
        write(storage, path, data)

    with monkeypatch.context() as patched:
        patched.setattr(Storage, "write", failing)
        with pytest.raises(OSError, match="the network is gone"):
            push(home, "v1", str(tmp_path), client)
    with pytest.raises(UsageError, match="no lake at"):
        open_lake(str(tmp_path))
    (some, *_) = sorted((tmp_path / "scores").iterdir())
    some.unlink()
    (torn, *_) = sorted((tmp_path / "candidates").iterdir())
    torn.write_bytes(torn.read_bytes()[:-1])
    _, sent = push(home, "v1", str(tmp_path), client)
    assert sent == 2
    assert releases.verify(open_lake(str(tmp_path)), "v1") == []


def test_rows_that_are_not_what_was_recorded_are_not_published(
    home: Lake, client: Client, tmp_path: Path
) -> None:
    shutil.copytree(home.storage.root, tmp_path / "lake")
    damaged = open_lake(str(tmp_path / "lake"))
    damaged.table("candidates").delete("batch = 1")
    with pytest.raises(LakeError, match="candidates: the lake no longer holds what release v1 recorded"):
        push(damaged, "v1", str(tmp_path / "copy"), client)
    assert not (tmp_path / "copy" / FILE).exists()


def test_after_a_removal_a_push_takes_the_rows_out_there_too(
    home: Lake, client: Client, tmp_path: Path
) -> None:
    shutil.copytree(home.storage.root, tmp_path / "lake")
    made, copy = open_lake(str(tmp_path / "lake")), tmp_path / "copy"
    push(made, "v1", str(copy), client, pictures=True)
    pear = lakes.candidate("pear", "de")
    removal.remove(made, requests.request(made.settings.candidates, {"url": [pear["url"]]}), "asked for")
    push(made, "v1", str(copy), client, pictures=True)
    there = open_lake(str(copy))
    assert releases.verify(there, "v1") == []
    assert releases.verify(there, "v1", full=False) == []
    assert len(views.query(there, "from pairs")) == 2
    for file in copy.rglob("*.parquet"):
        rows = pq.read_table(file).to_pylist()
        assert not any(pear["url"] in str(row) or row.get("url_id") == pear["url_id"] for row in rows), file


def test_writing_to_a_copy_is_one_clear_line(copy: Path, tmp_path: Path) -> None:
    shutil.copytree(copy, tmp_path / "copy")
    root = str(tmp_path / "copy")
    before = sorted(Path(root).rglob("*"))
    for arguments in (
        ("release", "create", "v2"),
        ("compact", "candidates"),
        ("run",),
        ("rebuild", "scores"),
        ("add", "--wat", str(Path(__file__).parent / "data/wat/whirlwind.warc.wat.gz")),
    ):
        said = commands.complaint(commands.lake("--root", root, *arguments), 2)
        assert said == f"{root} is a pushed copy of release v1: nothing can be written there", arguments
    assert sorted(Path(root).rglob("*")) == before


def test_what_a_copy_does_not_have_is_refused(copy: Path) -> None:
    with pytest.raises(UsageError, match=r"no release 'v2'; .* is a pushed copy of v1 alone"):
        open_lake(str(copy), release="v2")
    for at in ("2026-11-01", "candidates=1"):
        with pytest.raises(UsageError, match="is a pushed copy of release v1 alone: leave out --at"):
            open_lake(str(copy), at=at)
    assert isinstance(open_lake(str(copy), release="v1"), PublishedLake)


def test_a_root_that_is_taken_is_refused(home: Lake, client: Client, copy: Path) -> None:
    releases.create(home, "v2")
    for root, message in (
        (home.storage.root, "there is a lake at"),
        (str(copy), "there is a copy of release v1 at"),
        ("https://data.test/lake", "can only be read"),
    ):
        with pytest.raises(UsageError, match=message):
            push(home, "v2", root, client)


def test_a_copy_is_searched_as_the_lake_is(client: Client, tmp_path: Path) -> None:
    made = init(str(tmp_path / "lake"), model="demo")
    size = made.spec("embeddings_demo").schema.field("image_embedding").type.list_size
    random = np.random.default_rng(1).normal(size=(200, size))
    vectors = (random / np.linalg.norm(random, axis=1, keepdims=True)).astype("float16")
    rows = [lakes.candidate(f"thing {number}") for number in range(200)]
    lakes.append(made, {"candidates": rows})
    embedded = [
        {"sample_id": row["sample_id"], "image_embedding": v, "text_embedding": v, "unit": lakes.UNIT}
        for row, v in zip(rows, vectors, strict=True)
    ]
    lakes.append(made, {"embeddings_demo": embedded[:100]})
    lakes.append(made, {"embeddings_demo": embedded[100:]})
    releases.create(made, "v1")
    push(made, "v1", str(tmp_path / "copy"), client)
    query = Query(text="a red apple", where="text not like '%7%'")
    wanted = find(open_lake(made.storage.root, release="v1"), query).rows.to_pylist()
    found = find(open_lake(str(tmp_path / "copy")), query).rows.to_pylist()
    assert [row["url"] for row in found] == [row["url"] for row in wanted]
    assert [row["cosine"] for row in found] == pytest.approx([row["cosine"] for row in wanted], abs=1e-3)
    assert len(found) == 10
    assert commands.lake("--root", tmp_path / "copy", "status").code == 0
