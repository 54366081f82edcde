"""A process may have several clients: work that is given to one does not wait on another's loop."""

from __future__ import annotations

from pathlib import Path

import pytest
import synthetic
from distributed import Client, default_client

from lakehouse import cluster, settings


@pytest.mark.timeout(120)
def test_a_batch_ends_beside_a_later_client(tmp_path: Path, client: Client) -> None:
    lake = synthetic.new(tmp_path / "lake", units=1)
    with cluster.connect(settings.Cluster(workers=1)) as other:
        assert default_client() is other
        assert synthetic.fill(lake, client) == 1
