"""A full disk under each real stage: one clear line, the version before it intact, then it goes on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from demo_lake import Content, Crawl, assert_sound, built, content
from disks import fill_up, mounted
from distributed import Client

from lakehouse import open_lake, releases, soundness, sources
from lakehouse.errors import StorageError
from lakehouse.verification import LEFT_OVER

pytestmark = pytest.mark.slow  # a lake is built twice

STAGES = ("candidates", "downloads", "embeddings", "scores", "pairs")
SCORERS = ("similarity_demo",)


@pytest.fixture(scope="module")
def half(few_crawl: Crawl, client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of the first crawl file, released; the second file is registered."""
    made = few_crawl.lake(tmp_path_factory.mktemp("half") / "lake", files=1, scorers=SCORERS)
    built(made, client)
    releases.create(made, "v1")
    sources.add(made, "wat", [str(few_crawl.files[1])])
    return Path(made.storage.root)


@pytest.fixture(scope="module")
def whole(half: Path, client: Client, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Content]:
    """What the second file brings on a disk with room."""
    root = tmp_path_factory.mktemp("whole") / "lake"
    shutil.copytree(half, root)
    built(open_lake(str(root)), client)
    return content(open_lake(str(root)))


@pytest.mark.parametrize("left", [0, 24_000])
def test_a_full_disk(
    half: Path, whole: dict[str, Content], client: Client, tmp_path: Path, left: int
) -> None:
    """Without any room a stage cannot claim its batch; with a little, it fails when it writes rows."""
    with mounted(tmp_path / "disk", "200m") as disk:
        root, ballast = disk / "lake", disk / "ballast"
        shutil.copytree(half, root)
        for stage in STAGES:
            before = content(open_lake(str(root)))
            fill_up(ballast, left)
            with pytest.raises(
                StorageError, match=r"no space left while writing .*: make room, then"
            ) as caught:
                built(open_lake(str(root)), client, [stage])
            assert "\n" not in str(caught.value)
            lake = open_lake(str(root))
            assert content(lake) == before, stage
            ballast.unlink()
            wrong = [str(f) for f in soundness.inspect(lake, full=False) if f.kind not in LEFT_OVER]
            assert wrong == []
            assert releases.verify(lake, "v1", full=False) == []
            assert built(lake, client, [stage]) > 0
        lake = open_lake(str(root))
        assert content(lake) == whole
        assert_sound(lake)
