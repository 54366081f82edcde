"""What a lake is told: from ``lake.toml`` at its root, ``LAKE_*`` variables, and arguments.

The later wins. A variable names section and key: ``LAKE_CLUSTER_WORKERS=4``; ``LAKE_ROOT`` is the
root itself and ``LAKE_STORAGE_*`` are storage options. What decides about data (rules, models) is
part of the stages' fingerprints; clusters, batches and the network are not.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from lakehouse.demo import MODEL
from lakehouse.errors import NoLakeError, UsageError
from lakehouse.storage import Storage
from transforms.candidates.rules import CandidateRules
from transforms.downloads.rules import DownloadRules, Network
from transforms.embeddings.model import BUILTIN as OPENAI
from transforms.embeddings.model import ModelSpec

FILE = "lake.toml"
DEFAULT_ROOT = "lake"
USER_AGENT = "Pairlake/0.1 (+https://example.org/set-network.user_agent-in-lake.toml)"

# Names that stand for one model everywhere: thresholds and heads go by them.
BUILTIN = {**OPENAI, "demo": ModelSpec("demo", str(MODEL))}

T = TypeVar("T")


@dataclass(frozen=True)
class Cluster:
    """Where the work runs."""

    scheduler: str = ""  # address of a Dask scheduler that exists, such as tcp://10.0.0.1:8786
    workers: int = 0  # local worker processes; 0 means one per core
    memory: str = "auto"  # limit per local worker, as Dask takes it
    gpus: bool = False  # one worker per local GPU beside the CPU workers (dask-cuda)


@dataclass(frozen=True)
class Batches:
    """How work is cut. Decides about memory and how much a crash repeats, never about content."""

    units: int = 4  # crawl files per batch of candidates
    list_rows: int = 100_000  # rows of a URL list per unit; part of the unit's name, so keep it
    rows: int = 2_048  # rows per task where pictures or vectors are handled


@dataclass(frozen=True)
class Settings:
    """Everything a lake is told."""

    storage: Storage
    cluster: Cluster = field(default_factory=Cluster)
    batches: Batches = field(default_factory=Batches)
    candidates: CandidateRules = field(default_factory=CandidateRules)
    downloads: DownloadRules = field(default_factory=DownloadRules)
    network: Network = field(default_factory=lambda: Network(USER_AGENT))
    models: tuple[ModelSpec, ...] = (BUILTIN["b32"],)
    scorers: tuple[str, ...] = ()  # names; empty means every scorer that fits the models
    thresholds: Mapping[str, float] = field(default_factory=dict)  # of scorers that sql/ does not know

    def with_cluster(self, **changes: Any) -> Settings:
        """A copy with another cluster; None leaves a value as it is."""
        given = {key: value for key, value in changes.items() if value is not None}
        return dataclasses.replace(self, cluster=dataclasses.replace(self.cluster, **given))


def storage_at(root: str | None) -> Storage:
    """The store of `root`, or of LAKE_ROOT, or of ./lake, with options from LAKE_STORAGE_*."""
    chosen = root or os.environ.get("LAKE_ROOT") or DEFAULT_ROOT
    options = {
        name.removeprefix("LAKE_STORAGE_").lower(): value
        for name, value in os.environ.items()
        if name.startswith("LAKE_STORAGE_")
    }
    if chosen.startswith("file://"):
        chosen = chosen.removeprefix("file://")
    return Storage(chosen if "://" in chosen else str(Path(chosen).resolve()), options)


def load(storage: Storage) -> Settings:
    """The settings of the lake at `storage`. Raises NoLakeError, or UsageError for a bad lake.toml."""
    if (storage.is_local and not Path(storage.root).is_dir()) or not storage.exists(FILE):
        raise NoLakeError(
            f"no lake at {storage.root}: make one with `lake init {storage.root}`, "
            "or name another with --root or LAKE_ROOT"
        )
    try:
        told = tomllib.loads(storage.read(FILE).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{storage.uri(FILE)} is not valid TOML: {error}") from error
    return parse(storage, told)


def parse(storage: Storage, told: Mapping[str, Any]) -> Settings:
    """Settings from the tables of a lake.toml and the environment."""
    known = {
        "lake",
        "cluster",
        "batches",
        "candidates",
        "downloads",
        "network",
        "models",
        "scores",
        "thresholds",
    }
    for section in told.keys() - known:
        raise UsageError(f"lake.toml: unknown section [{section}]; there are {', '.join(sorted(known))}")
    told = {**told, **{s: {**told.get(s, {}), **_environment(s)} for s in ("cluster", "batches", "network")}}
    network = {"user_agent": USER_AGENT, **told["network"]}
    network["resolve"] = {k: _address(v) for k, v in network.get("resolve", {}).items()}
    return Settings(
        storage=storage,
        cluster=_section(Cluster, "cluster", told["cluster"]),
        batches=_section(Batches, "batches", told["batches"]),
        candidates=_section(CandidateRules, "candidates", told.get("candidates", {})),
        downloads=_section(DownloadRules, "downloads", told.get("downloads", {})),
        network=_section(Network, "network", network),
        models=_models(storage, told.get("models", {})),
        scorers=tuple(told.get("scores", {}).get("scorers", ())),
        thresholds=dict(told.get("thresholds", {})),
    )


def _environment(section: str) -> dict[str, str]:
    prefix = f"LAKE_{section.upper()}_"
    return {n.removeprefix(prefix).lower(): v for n, v in os.environ.items() if n.startswith(prefix)}


def _section(cls: type[T], name: str, told: Mapping[str, Any]) -> T:
    """An instance of the dataclass `cls` from a table of lake.toml, with types checked."""
    known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in told.items():
        if key not in known:
            raise UsageError(f"lake.toml: [{name}] has no `{key}`; there are {', '.join(sorted(known))}")
        values[key] = _converted(f"[{name}] {key}", value, str(known[key].type))
    try:
        return cls(**values)
    except ValueError as error:
        raise UsageError(f"lake.toml: [{name}]: {error}") from error


def _converted(what: str, value: Any, wanted: str) -> Any:
    """`value` as the annotation `wanted` says; text (from the environment) is parsed."""
    try:
        if wanted == "int" and not isinstance(value, bool):
            return int(value)
        if wanted == "float":
            return float(value)
        if wanted == "bool":
            if isinstance(value, bool):
                return value
            return {"true": True, "1": True, "false": False, "0": False}[str(value).lower()]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{what} = {value!r}: expected {wanted}") from error
    return tuple(value) if isinstance(value, list) else value


def _address(text: Any) -> tuple[str, int]:
    host, _, port = str(text).rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"lake.toml: [network] resolve: {text!r} is not ADDRESS:PORT")
    return host, int(port)


def _models(storage: Storage, told: Mapping[str, Any]) -> tuple[ModelSpec, ...]:
    """Each [models.NAME]; a local folder may be given relative to the lake's root."""
    specs = []
    for name, entry in told.items():
        if name in BUILTIN and not entry:
            specs.append(BUILTIN[name])
            continue
        if name in BUILTIN or not isinstance(entry, dict) or "architecture" not in entry:
            builtin = ", ".join(BUILTIN)
            raise UsageError(
                f"lake.toml: [models.{name}] needs `architecture` (an open_clip name or a folder); "
                f"the names {builtin} are taken and stand alone"
            )
        folder = Path(storage.root) / entry["architecture"]
        architecture = str(folder) if storage.is_local and folder.is_dir() else entry["architecture"]
        specs.append(ModelSpec(name, architecture, entry.get("pretrained")))
    return tuple(specs) or (BUILTIN["b32"],)
