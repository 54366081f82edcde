"""What a lake is told: from ``lake.toml`` at its root, ``LAKE_*`` variables, and arguments.

The later wins. A variable names section and key: ``LAKE_CLUSTER_WORKERS=4``; ``LAKE_ROOT`` is the
root itself and ``LAKE_STORAGE_*`` are storage options. What decides about data (rules, models) is
part of the stages' fingerprints; clusters, batches and the network are not.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from lakehouse.demo import PACKAGED
from lakehouse.errors import NoLakeError, UsageError
from lakehouse.schema import SCHEMA_VERSION
from lakehouse.server.limits import Limits
from lakehouse.storage import Storage
from transforms.candidates.rules import PRESETS, CandidateRules
from transforms.downloads.rules import DownloadRules, HashLists, Network
from transforms.duplicates.rules import DuplicateRules
from transforms.embeddings.model import BUILTIN as OPENAI
from transforms.embeddings.model import ModelSpec
from transforms.files import Reads
from transforms.scores import PUBLISHED, Call, Scorer, default_scorers, further_scorers

FILE = "lake.toml"
DEFAULT_ROOT = "lake"

# Names that stand for one model everywhere: thresholds and heads go by them.
BUILTIN = {**OPENAI, "demo": ModelSpec("demo", PACKAGED)}

SECTIONS = (
    "lake",
    "cluster",
    "batches",
    "writes",
    "candidates",
    "downloads",
    "network",
    "refused",
    "retention",
    "crawls",
    "reads",
    "models",
    "scores",
    "scorers",
    "duplicates",
    "thresholds",
    "server",
)

# Keys where 0 would mean that nothing is ever done
AT_LEAST_ONE = frozenset(
    {
        "units",
        "list_rows",
        "rows",
        "per_host",
        "in_flight",
        "size",
        "attempts",
        "sessions",
        "versions",
        "burst",
    }
)

_SCORER = re.compile("[a-z][a-z0-9_]*")  # a name that is part of paths and of SQL

_TRUTH = {"true": True, "1": True, "false": False, "0": False}

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
class Writes:
    """How rows reach the disk."""

    fsync: bool = True  # wait for the disk at each file and commit


@dataclass(frozen=True)
class Retention:
    """What `lake cleanup` leaves of what was made. Never decides about what is made."""

    pictures: str = "all"  # "all", "none", or the view whose pictures stay


@dataclass(frozen=True)
class Crawls:
    """Where crawls are looked up by their names."""

    url: str = "https://data.commoncrawl.org/"  # below it lies crawl-data/, in a mirror too: URL or folder


@dataclass(frozen=True)
class Duplicates(DuplicateRules):
    """Which pairs are held to show the same picture."""

    methods: tuple[str, ...] = ()  # the first is the active one, which the view deduplicated goes by


@dataclass(frozen=True)
class _Lake:
    schema: int = SCHEMA_VERSION


@dataclass(frozen=True)
class _Scores:
    scorers: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Builtin:
    multilingual: str | None = None


@dataclass(frozen=True)
class OwnScorer:
    """A scorer that is somebody's own function; its role is the first word of its name."""

    callable: str  # module:function
    needs: Literal["vectors", "pictures", "texts"]
    model: str | None = None  # whose vectors
    weights: str | None = None  # a file for the function, and its digest
    sha256: str | None = None


@dataclass(frozen=True)
class _Model:
    architecture: str
    pretrained: str | None = None
    multilingual: str | None = None


@dataclass(frozen=True)
class Settings:
    """Everything a lake is told."""

    storage: Storage
    cluster: Cluster = field(default_factory=Cluster)
    batches: Batches = field(default_factory=Batches)
    candidates: CandidateRules = field(default_factory=CandidateRules)
    downloads: DownloadRules = field(default_factory=DownloadRules)
    network: Network = field(default_factory=Network)
    refused: HashLists = field(default_factory=HashLists)
    retention: Retention = field(default_factory=Retention)
    crawls: Crawls = field(default_factory=Crawls)
    reads: Reads = field(default_factory=Reads)
    server: Limits = field(default_factory=Limits)
    models: tuple[ModelSpec, ...] = (BUILTIN["b32"],)
    duplicates: Duplicates = field(default_factory=Duplicates)
    scorers: tuple[str, ...] = ()  # names; empty means every scorer that fits the models
    own_scorers: tuple[Scorer, ...] = ()  # somebody's own functions
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


def is_lake(storage: Storage) -> bool:
    """Whether there is a lake at the root of `storage`."""
    return not (storage.is_local and not Path(storage.root).is_dir()) and storage.exists(FILE)


def load(storage: Storage) -> Settings:
    """The settings of the lake at `storage`. Raises NoLakeError, or UsageError for a bad lake.toml."""
    if not is_lake(storage):
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
    """Settings from the tables of a lake.toml and the environment. Raises UsageError for what is unknown."""
    for section, table in told.items():
        if section not in SECTIONS:
            raise UsageError(f"lake.toml: unknown section [{section}]; there are {', '.join(SECTIONS)}")
        if not isinstance(table, Mapping):
            raise UsageError(f"lake.toml: {section} = {table!r}: expected a section [{section}]")
    schema = _section(_Lake, "lake", told).schema
    if schema != SCHEMA_VERSION:
        newer = "install a newer one" if schema > SCHEMA_VERSION else "read it with the version that made it"
        raise UsageError(
            f"the lake has schema {schema}, this Pairlake reads schema {SCHEMA_VERSION}: {newer}"
        )
    models = _models(storage, told.get("models", {}))
    fsync = _section(Writes, "writes", told, environment=True).fsync
    return Settings(
        storage=dataclasses.replace(storage, fsync=fsync),
        cluster=_section(Cluster, "cluster", told, environment=True),
        batches=_section(Batches, "batches", told, environment=True),
        candidates=_candidates(told),
        downloads=_section(DownloadRules, "downloads", told),
        network=_section(Network, "network", told, environment=True),
        refused=_refused(storage, told),
        retention=_section(Retention, "retention", told),
        crawls=_section(Crawls, "crawls", told, environment=True),
        reads=_section(Reads, "reads", told, environment=True),
        server=_section(Limits, "server", told, environment=True),
        models=models,
        duplicates=_section(Duplicates, "duplicates", told),
        scorers=_section(_Scores, "scores", told).scorers,
        own_scorers=_own_scorers(storage, told.get("scorers", {}), models),
        thresholds=dict(told.get("thresholds", {})),
    )


def _refused(storage: Storage, told: Mapping[str, Any]) -> HashLists:
    """Its files may be given relative to the lake's root, where that is a folder."""
    lists = _section(HashLists, "refused", told)
    if not storage.is_local:
        return lists
    files, expected = (
        tuple(f if "://" in f else str(Path(storage.root) / f) for f in some)
        for some in (lists.files, lists.expected)
    )
    return dataclasses.replace(lists, files=files, expected=expected)


def _candidates(told: Mapping[str, Any]) -> CandidateRules:
    """The rules of a preset, with what else [candidates] says in place of its own."""
    given = dict(told.get("candidates", {}))
    name = given.pop("preset", "pairlake")
    if not isinstance(name, str) or name not in PRESETS:
        raise UsageError(f"lake.toml: [candidates] preset = {name!r}: expected one of {', '.join(PRESETS)}")
    return _section(CandidateRules, "candidates", {"candidates": given}, **vars(PRESETS[name]))


def _section(
    cls: type[T], name: str, told: Mapping[str, Any], environment: bool = False, **defaults: Any
) -> T:
    """An instance of the dataclass `cls` from section `name` of a lake.toml, with names and types checked.

    With `environment`, LAKE_NAME_KEY overrides the key.
    """
    types = get_type_hints(cls)
    given = [(f"lake.toml: [{name}] {key}", key, value) for key, value in told.get(name, {}).items()]
    prefix = f"LAKE_{name.upper()}_"
    if environment:
        given += [
            (variable, variable.removeprefix(prefix).lower(), value)
            for variable, value in sorted(os.environ.items())
            if variable.startswith(prefix)
        ]
    values = dict(defaults)
    for where, key, value in given:
        if key not in types:
            raise UsageError(f"{where}: there is no such key; there are {', '.join(sorted(types))}")
        values[key] = _converted(where, key, value, types[key])
    try:
        return cls(**values)
    except ValueError as error:
        raise UsageError(f"lake.toml: [{name}]: {error}") from error


def _converted(where: str, key: str, value: Any, wanted: Any) -> Any:
    """`value` as the type `wanted`; text, which is all that the environment has, is parsed."""
    kind = get_origin(wanted)
    if kind is Mapping and isinstance(value, Mapping):
        return {name: _address(f"{where}.{name}", text) for name, text in value.items()}
    if kind is tuple and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if kind is Literal:
        if value in get_args(wanted):
            return value
        raise UsageError(f"{where} = {value!r}: expected one of {', '.join(get_args(wanted))}")
    if wanted in (int, float):
        return _number(where, key, value, wanted)
    if wanted is bool and str(value).lower() in _TRUTH:
        return _TRUTH[str(value).lower()]
    if wanted in (str, str | None) and isinstance(value, str):
        return value
    raise UsageError(f"{where} = {value!r}: expected {_in_words(wanted)}")


def _number(where: str, key: str, value: Any, wanted: type[int] | type[float]) -> int | float:
    least = 1 if key in AT_LEAST_ONE else 0
    parsed: int | float = math.nan
    if isinstance(value, str | wanted | int) and not isinstance(value, bool):
        with suppress(ValueError):
            parsed = wanted(value)
    if not (math.isfinite(parsed) and parsed >= least):
        what = "a whole number" if wanted is int else "a number"
        raise UsageError(f"{where} = {value!r}: expected {what}, {least} or more")
    return parsed


def _in_words(wanted: Any) -> str:
    words = {bool: "true or false", tuple: "a list of texts", Mapping: "a table of HOST = ADDRESS:PORT"}
    return words.get(get_origin(wanted) or wanted, "text")


def _address(where: str, text: Any) -> tuple[str, int]:
    host, _, port = str(text).rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"{where} = {text!r}: expected ADDRESS:PORT")
    return host, int(port)


def _models(storage: Storage, told: Mapping[str, Any]) -> tuple[ModelSpec, ...]:
    """Each [models.NAME]; local folders may be given relative to the lake's root."""
    return tuple(_model(storage, name, entry) for name, entry in told.items()) or (BUILTIN["b32"],)


def _model(storage: Storage, name: str, entry: Any) -> ModelSpec:
    section = f"models.{name}"
    if name in BUILTIN and isinstance(entry, dict) and "architecture" not in entry:
        others = _section(_Builtin, section, {section: entry}).multilingual
        return dataclasses.replace(BUILTIN[name], multilingual=_folder(storage, others))
    if name in BUILTIN or not isinstance(entry, dict) or "architecture" not in entry:
        builtin = ", ".join(BUILTIN)
        raise UsageError(
            f"lake.toml: [{section}] needs `architecture` (an open_clip name or a folder); "
            f"the names {builtin} are taken and have theirs"
        )
    model = _section(_Model, section, {section: entry})
    architecture, others = _folder(storage, model.architecture), _folder(storage, model.multilingual)
    return ModelSpec(name, architecture or "", model.pretrained, others)


def _folder(storage: Storage, name: str | None) -> str | None:
    """`name`, as a whole path where it is a folder within the lake."""
    if name is None or not storage.is_local:
        return name
    folder = Path(storage.root) / name
    return str(folder) if folder.is_dir() else name


def _own_scorers(
    storage: Storage, told: Mapping[str, Any], models: Sequence[ModelSpec]
) -> tuple[Scorer, ...]:
    """Each [scorers.NAME]; a module and weights may be in the lake's folder."""
    found = []
    taken = {scorer.name for scorer in (*default_scorers(models), *further_scorers(models), *PUBLISHED)}
    names = [model.name for model in models]
    for name, entry in told.items():
        where = f"scorers.{name}"
        if name in taken:
            raise UsageError(f"lake.toml: [{where}]: there is a scorer of that name: call yours otherwise")
        if not _SCORER.fullmatch(name):
            raise UsageError(f"lake.toml: [{where}]: a name has lower-case letters, digits and _ alone")
        if not isinstance(entry, Mapping) or not {"callable", "needs"} <= entry.keys():
            raise UsageError(f"lake.toml: [{where}] needs `callable` (module:function) and `needs`")
        own = _section(OwnScorer, where, {where: entry})
        module, _, function = own.callable.partition(":")
        if not (module and function):
            raise UsageError(f"lake.toml: [{where}] callable = {own.callable!r}: expected module:function")
        if (own.weights is None) != (own.sha256 is None):
            raise UsageError(f"lake.toml: [{where}]: weights and sha256 go together")
        model = (own.model or names[0]) if own.needs == "vectors" else None
        if model is not None and model not in names:
            raise UsageError(f"lake.toml: [{where}] model = {model!r}: there are {', '.join(names)}")
        weights = own.weights
        if weights is not None and "://" not in weights and storage.is_local:
            weights = str(Path(storage.root) / weights)
        folder = storage.root if storage.is_local else None
        call = Call(own.callable, folder, weights, own.sha256)
        found.append(Scorer(name, name.partition("_")[0], own.needs, model, call=call))
    return tuple(found)
