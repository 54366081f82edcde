"""A full disk under releases, compaction and cleanup: one clear line, the lake intact, then it goes on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from disks import fill_up, small_disk  # noqa: F401  a fixture

from lakehouse import care, cleanup, open_lake, releases, soundness
from lakehouse.errors import StorageError
from lakehouse.lake import Lake
from lakehouse.verification import LEFT_OVER
from tests import lakes

SCORES = f"scores/{lakes.SIMILARITY}"


def release(lake: Lake) -> None:
    releases.create(lake, "v1")


def compact(lake: Lake) -> None:
    for name in ("candidates", "downloads", "images"):
        care.compact(lake, name)


def clean(lake: Lake) -> None:
    cleanup.clean(lake, cleanup.plan(lake, timedelta(0)))


def rebuilt(lake: Lake) -> None:
    """So that a cleanup has a generation to drop."""
    lake.ledger.rebuild([SCORES])
    some = [lakes.candidate("apple"), lakes.candidate("pear", "de"), lakes.candidate("plum", None)]
    lakes.append(lake, {SCORES: [lakes.score(row, 0.4) for row in some]})
    lake.ledger.switch()


@pytest.mark.parametrize("act", [release, compact, clean])
def test_a_full_disk(small_disk: Path, act: Callable[[Lake], None]) -> None:  # noqa: F811
    lake = lakes.small(small_disk / "lake")
    rebuilt(lake)
    before = {key: lakes.stored(lake, key) for key in lake.pins()}
    fill_up(small_disk / "ballast", 0)
    with pytest.raises(StorageError, match="no space left while writing") as caught:
        act(lake)
    assert "\n" not in str(caught.value)
    lake = open_lake(lake.storage.root)
    assert {key: lakes.stored(lake, key) for key in lake.pins()} == before
    (small_disk / "ballast").unlink()
    act(lake)
    assert [f for f in soundness.inspect(lake) if f.kind not in LEFT_OVER] == []
    assert {key: lakes.stored(lake, key) for key in lake.pins()} == before
