"""What was removed is in no file under the root: not decoded, not in a log, not in statistics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from deltalake import DeltaTable

from lakehouse import care, removal, requests, views
from lakehouse.errors import UsageError
from lakehouse.lake import Lake
from lakehouse.tables.lance import LanceFormat
from tests import lakes, removal_lakes
from tests.removal_lakes import APPLE, FIG, RED, SCORES


def secrets() -> list[bytes]:
    """What must be found before, and not after: URL, texts, picture, vectors."""
    vectors = [removal_lakes.embedding(of)[name] for of in (APPLE, RED) for name in ("image_embedding",)]
    texts = [APPLE["url"], APPLE["text"], RED["text"]]
    return [
        *[text.encode() for text in texts],
        removal_lakes.picture(APPLE),
        *[np.asarray(vector).tobytes() for vector in vectors],
    ]


def where(root: Path, secret: bytes) -> set[str]:
    return {str(path) for path, content in removal_lakes.contents(root) if secret in content}


def aged(lake: Lake) -> None:
    """A past: compactions, deletes by takeovers, checkpoints, an index, files that nobody committed."""
    for name in ("candidates", "downloads", "scores", "images", "embeddings_b32"):
        care.compact(lake, name)
    for _ in range(2):
        lime = lakes.candidate("lime")
        number = lakes.append(lake, {"candidates": [lime]})
        lake.table("candidates").delete(f"batch = {number + 1}")
    table = lake.table("candidates")
    DeltaTable(table.uri).create_checkpoint()  # type: ignore[attr-defined]
    for key in ("candidates", "images"):
        table = lake.table(key)
        rows = table.dataset().to_table()
        table.writer().write(rows.select(table.spec.schema.names).cast(table.spec.schema))


@pytest.mark.parametrize("past", [lambda lake: None, aged], ids=["young", "aged"])
def test_nothing_of_it_is_in_any_file(past: object, tmp_path: Path) -> None:
    lake = removal_lakes.orchard(tmp_path / "lake")
    past(lake)  # type: ignore[operator]
    for secret in secrets():
        assert where(tmp_path / "lake", secret), "the search does not see what is there"
    removal.remove(lake, requests.request(lake.settings.candidates, {"url": [APPLE["url"]]}), "by request")
    for secret in secrets():
        assert where(tmp_path / "lake", secret) == set()
    assert where(tmp_path / "lake", FIG["url"].encode())
    assert where(tmp_path / "lake", removal_lakes.picture(FIG))


def test_rows_of_a_driver_that_died_are_gone_too(tmp_path: Path) -> None:
    """Its batch was committed to the table and never finished: no reader sees it, and neither does a scan."""
    lake = removal_lakes.orchard(tmp_path / "lake")
    claim = lake.ledger.claim(["candidates"], ["more"], "0", "all", "{}")
    lime = lakes.candidate("lime")
    lakes.write(lake, "candidates", [lime], claim.batch)
    lake.ledger.leave(claim)
    assert where(tmp_path / "lake", lime["url"].encode())
    removal.remove(lake, requests.request(lake.settings.candidates, {"url": [lime["url"]]}), "")
    assert where(tmp_path / "lake", lime["url"].encode()) == set()
    again = lakes.append(lake, {"candidates": [lakes.candidate("nut")]})
    assert again == claim.batch


def test_tombstones_are_hashes(tmp_path: Path) -> None:
    lake = removal_lakes.orchard(tmp_path / "lake")
    asked = {"url": [APPLE["url"]], "host": ["elsewhere.example"], "sha256": ["ab" * 32]}
    removal.remove(lake, requests.request(lake.settings.candidates, asked), "by request")
    rows = views.query(lake, "select * from removals")
    assert set(rows["kind"].to_pylist()) == {"url_id", "host", "sha256", "pair", "picture"}
    for secret in (b"pictures.test", b"elsewhere.example", bytes.fromhex("ab" * 32), b"ab" * 32):
        assert b"removals" not in b"".join(w.encode() for w in where(tmp_path / "lake", secret))


def test_an_index_of_the_vectors_is_dropped(tmp_path: Path) -> None:
    """It holds codes of what it was made of."""
    lake = removal_lakes.orchard(tmp_path / "lake")
    table = lake.table("embeddings_b32")
    table.dataset().create_scalar_index("sample_id", "BTREE")
    assert (tmp_path / "lake/embeddings_b32/_indices").exists()
    removal.remove(lake, requests.request(lake.settings.candidates, {"url": [FIG["url"]]}), "")
    assert table.dataset().describe_indices() == []
    assert not list((tmp_path / "lake/embeddings_b32/_indices").rglob("*.*"))


def test_native_versions_from_before_are_gone_and_say_so(tmp_path: Path) -> None:
    lake = removal_lakes.orchard(tmp_path / "lake")
    version = lake.table("candidates").version()
    assert views.query(lake, "from candidates", versions={"candidates": version}).num_rows == 5
    removal.remove(lake, requests.request(lake.settings.candidates, {"url": [FIG["url"]]}), "")
    with pytest.raises(UsageError, match=f"version {version} of candidates went for good with a removal"):
        views.query(lake, "from candidates", versions={"candidates": version})
    table = lake.table("images")
    assert isinstance(table, LanceFormat)
    with pytest.raises(UsageError, match="table images has no version 1"):
        table.dataset(1)
    newest = lake.table("candidates").version()
    assert views.query(lake, "from candidates", versions={"candidates": newest}).num_rows == 4
    assert lake.table("scores").dataset().count_rows() == 4
    assert SCORES in lake.pins()
