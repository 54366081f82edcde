"""clip-retrieval's embeddings (img_emb, text_emb, metadata) as rows of a model's table: nothing is embedded.

A row belongs to the candidate that has its URL and caption. That the vectors are those of the model they are
imported under is the user's word; the lineage records it, and their dimension is checked.
"""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dask.dataframe as dd
import pyarrow as pa
from distributed import Client

from lakehouse import run
from lakehouse.errors import UsageError
from lakehouse.imports import files, work
from lakehouse.lake import Lake, model_errors
from lakehouse.pairs import KEYS
from lakehouse.sources import reads_of, store_errors
from transforms import candidates as extraction
from transforms import columns, joins
from transforms.candidates import lists
from transforms.embeddings.model import ModelSpec, dimension
from transforms.imports.vectors import Place, npy_shape, vectors

TOOL = "clip-retrieval"
ROWS = 1 << 15  # of a piece: 50 MB of each file at 768 dimensions


@dataclass(frozen=True)
class Part:
    """One of the numbered files of each of the three folders, which have the same rows."""

    metadata: str
    image: str
    text: str
    rows: int


@dataclass(frozen=True)
class Found:
    """What a folder of clip-retrieval's holds: vectors of the model `model`, of `size` elements."""

    model: ModelSpec
    size: int
    parts: tuple[Part, ...]


@model_errors()
def find(lake: Lake, folder: str, model: str) -> Found:
    """The parts in `folder`, which are to be vectors of `model`.

    Raises UsageError where the lake has no such model, where there are no parts, or where files of a part
    are missing or do not fit together or the model.
    """
    spec = next((spec for spec in lake.settings.models if spec.name == model), None)
    if spec is None:
        have = ", ".join(m.name for m in lake.settings.models)
        raise UsageError(f"no model {model!r} in lake.toml; there are {have}")
    size = dimension(spec)
    base = folder.rstrip("/")
    parts = []
    for path in files.listed(f"{base}/metadata"):
        name = posixpath.basename(path)
        if not (name.startswith("metadata_") and name.endswith(".parquet")):
            continue
        number = name.removeprefix("metadata_").removesuffix(".parquet")
        top = path.rsplit("/", 2)[0]
        image, text = (f"{top}/{kind}/{kind}_{number}.npy" for kind in ("img_emb", "text_emb"))
        parts.append(_part(lake, path, image, text, size))
    if not parts:
        raise UsageError(f"no metadata_0.parquet in {base}/metadata: clip-retrieval inference writes it")
    return Found(spec, size, tuple(parts))


def _part(lake: Lake, metadata: str, image: str, text: str, size: int) -> Part:
    reads = reads_of(lake)
    with store_errors(metadata):
        names = lists.header(metadata, reads)
        (_, rows), *_ = lists.slices(metadata, 1 << 62, reads)
    missing = {"url", "caption"} - set(names)
    if missing:
        raise UsageError(
            f"{metadata} has no {' and no '.join(sorted(missing))}: a row is known by both; "
            "clip-retrieval writes them with --enable_metadata True"
        )
    for path in (image, text):
        with store_errors(path):
            found = npy_shape(path, reads)
        if found != (rows, size):
            raise UsageError(
                f"{path} has {found[0]} vectors of {found[1]} elements; {metadata} has {rows} rows, "
                f"and the model's vectors have {size}"
            )
    return Part(metadata, image, text, rows)


def bring(lake: Lake, client: Client, found: Found, progress: run.Progress | None = None) -> list[str]:
    """Writes the vectors that were found and belong to candidates to the table of their model.

    Returns the units that it is made of. Pairs that have vectors already keep theirs.
    """
    places: dict[str, Place] = {}
    source: dict[str, str] = {}
    pieces: dict[str, Sequence[str]] = {}
    for part in found.parts:
        name = "/".join(part.metadata.split("/")[-3:])
        for number, start in enumerate(range(0, part.rows, ROWS)):
            unit = f"{name}#{number}"
            places[unit] = Place(part.image, part.text, start, min(start + ROWS, part.rows))
            source[unit] = part.metadata
            pieces[unit] = (part.metadata, part.image, part.text)
    key = f"embeddings_{found.model.name}"
    spec = found.model
    told = {"name": spec.name, "architecture": spec.architecture, "pretrained": spec.pretrained}
    rules = {"tool": TOOL, "model": told}
    made = Rows(lake, key, found.size, places, source)
    work.bring(lake, client, key, TOOL, rules, pieces, made, progress or run.Progress())
    return list(pieces)


@dataclass(frozen=True)
class Rows:
    """What becomes of units: a frame of embeddings with its counts."""

    lake: Lake
    key: str
    size: int
    places: Mapping[str, Place]
    source: Mapping[str, str]

    def __call__(self, units: Sequence[str]) -> dd.DataFrame:
        """Rows of `units`: those of candidates that have no vectors yet."""
        lake, reads = self.lake, self.lake.settings.reads
        rules = dataclasses.replace(lake.settings.candidates, url_columns=("url",), text_columns=("caption",))
        rows = extraction.candidates(self._units(units), rules, reads)
        pin = lake.pins(building=True).get(self.key)
        known = lake.read(self.key, [pin], ["sample_id"], KEYS) if pin else None
        rows = extraction.first_seen(rows, known)
        candidates = lake.read("candidates", [work.candidates_pin(lake)], ["sample_id"], KEYS)
        have = joins.matches(rows[["sample_id"]], candidates, "sample_id")
        ours = {unit: self.places[unit] for unit in units}
        schema = columns.counted(columns.embeddings_schema(self.size))
        meta = columns.meta(schema)
        found: dd.DataFrame = rows.map_partitions(
            vectors, have, ours, self.size, reads, meta=meta, enforce_metadata=False
        )
        return found

    def _units(self, units: Sequence[str]) -> dd.DataFrame:
        """One row and one partition per unit."""
        tables = [
            pa.table(
                [
                    [unit],
                    [self.source[unit]],
                    ["urls"],
                    [order],
                    [self.places[unit].start],
                    [self.places[unit].stop],
                ],
                schema=extraction.UNITS,
            )
            for order, unit in enumerate(units)
        ]
        return dd.from_map(columns.to_pandas, tables, meta=columns.meta(extraction.UNITS))
