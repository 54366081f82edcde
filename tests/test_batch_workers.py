"""One worker or two, one unit per batch or all at once: the same content."""

from __future__ import annotations

from pathlib import Path

import synthetic
from distributed import Client

from lakehouse import cluster, settings
from lakehouse import lake as lakes


def test_worker_count_and_batch_size_do_not_matter(tmp_path: Path, client: Client) -> None:
    one = synthetic.new(tmp_path / "one")
    with cluster.connect(settings.Cluster(workers=1, memory="2GB")) as single:
        assert synthetic.fill(one, single) == 2
    two = synthetic.with_sources(lakes.init(str(tmp_path / "two")))
    assert synthetic.fill(two, client) == 1, "four units per batch, by default"
    assert synthetic.content(one) == synthetic.content(two) == synthetic.expected()
