"""LAION's published parquet, and the score files that are joined to it by hash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import dask.dataframe as dd
import pyarrow.parquet as pq
from distributed import Client

from lakehouse import run, sources
from lakehouse.errors import UsageError
from lakehouse.imports import files, work
from lakehouse.lake import Lake
from lakehouse.ledger import Source
from lakehouse.pairs import KEYS
from lakehouse.sources import reads_of, store_errors
from lakehouse.stages import Options, chosen, stages
from transforms.candidates import lists
from transforms.files import open_file
from transforms.imports.score_files import HASH, Piece, score_files
from transforms.scores import PUBLISHED
from transforms.scores.published import LAIONS
from transforms.scores.scorers import Scorer

TOOL = "laion"
ROWS = 1 << 20  # of a piece of a score file: 12 bytes each


@dataclass(frozen=True)
class Found:
    """What a folder of LAION's holds."""

    tables: list[str] = field(default_factory=list)  # with URLs and texts
    scores: dict[str, list[tuple[str, int]]] = field(default_factory=dict)  # by scorer: file, rows


def find(lake: Lake, folder: str) -> Found:
    """LAION's tables and score files in `folder`. Raises UsageError where it has neither."""
    found = Found()
    for path, is_folder in files.listed(folder).items():
        if is_folder or not path.endswith(".parquet"):
            continue
        with store_errors(path):
            names = set(lists.header(path, reads_of(lake)))
            if names >= LAIONS:
                found.tables.append(path)
            elif HASH in names:
                for scorer in PUBLISHED:
                    if scorer.column in names:
                        with open_file(path, reads_of(lake)) as file:
                            rows = pq.ParquetFile(file).metadata.num_rows
                        found.scores.setdefault(scorer.name, []).append((path, rows))
    if not found.tables and not found.scores:
        known = ", ".join(str(scorer.column) for scorer in PUBLISHED)
        raise UsageError(
            f"nothing of LAION's in {folder}: no parquet file has columns {' and '.join(sorted(LAIONS))}, "
            f"or {HASH} and one of {known}"
        )
    return found


def bring(lake: Lake, client: Client, found: Found, progress: run.Progress | None = None) -> list[str]:
    """Takes over what LAION published: pairs as candidates, and scores under the pairs that they belong to.

    Returns the units that it is made of.
    """
    progress = progress or run.Progress()
    if found.tables:
        sources.add(lake, "urls", found.tables)
    ours: list[Source] = [s for s in lake.ledger.sources() if s.path in found.tables]
    units = [source.unit for source in ours]
    if units:
        published = [s.name for s in stages(lake) if s.units is not None]
        options = Options(units=frozenset(units))
        run.run(lake, client, chosen(lake, ["candidates", *published]), options, progress)
    for scorer in PUBLISHED:
        if scorer.name in found.scores:
            units += _scores(lake, client, scorer, found.scores[scorer.name], progress)
    return units


def _scores(
    lake: Lake, client: Client, scorer: Scorer, found: Sequence[tuple[str, int]], progress: run.Progress
) -> list[str]:
    pieces: dict[str, Piece] = {}
    for path, rows in found:
        name = "/".join(path.split("/")[-2:])
        for number, start in enumerate(range(0, rows, ROWS)):
            unit = f"{name}#{number}"
            pieces[unit] = Piece(unit, path, start, min(start + ROWS, rows))
    key = f"scores/{scorer.name}"
    # What lists say themselves comes first: their rows would be made a second time later
    own = [stage for stage in stages(lake) if key in stage.keys]
    run.run(lake, client, own, Options(), progress)
    paths: Mapping[str, Sequence[str]] = {unit: (piece.path,) for unit, piece in pieces.items()}

    def build(units: Sequence[str]) -> dd.DataFrame:
        pin = lake.pins(building=True).get(key)
        known = lake.read(key, [pin], ["sample_id"], KEYS) if pin else None
        candidates = lake.read("candidates", [work.candidates_pin(lake)], ["sample_id"], KEYS)
        return score_files([pieces[unit] for unit in units], scorer, candidates, known, lake.settings.reads)

    work.bring(lake, client, key, TOOL, scorer.fingerprint(), paths, build, progress)
    return list(pieces)
