"""Which CLIP model, where its weights are, and loading it.

torch and open_clip are imported when a model is first asked for, not with this module.
"""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transforms.embeddings.device import Device
from transforms.embeddings.encoders import Model
from transforms.embeddings.errors import ModelUnavailable
from transforms.embeddings.multilingual import WEIGHTS_FILES, MultilingualTexts, find
from transforms.embeddings.texts import OpenClipTexts

HUB = "hf-hub:"
PACKAGE = "package:"
CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"
MERGES_FILE = "bpe.txt.gz"
TOWER_SHA256 = "model_sha256"  # of a multilingual tower's weights, in the fingerprint
TOKENIZER_FILE = "tokenizer.json"  # of transformers, where the text tower is one of its models
CONTEXT_LENGTH = 77  # tokens, where a configuration names none: OpenAI's CLIP, open_clip's default


@dataclass(frozen=True)
class ModelSpec:
    """Which CLIP model.

    `name`: the lake's short name for it, part of table and scorer names ("b32").
    `architecture`: a name of open_clip ("ViT-B-32"), "hf-hub:OWNER/REPOSITORY", or a local folder with
    `open_clip_config.json`, `open_clip_model.safetensors` (any float type) and, where the tokenizer is not
    OpenAI's, its BPE merges in `bpe.txt.gz` as `open_clip.SimpleTokenizer` reads them. A folder inside a
    Python package is "package:PACKAGE/FOLDER": each machine has its own path for it.
    `pretrained`: with a name of open_clip, the tag of its weights ("openai") or a weights file; else None.
    `multilingual`: a text tower in the same space for captions that are not English, or of no certain
    language: a folder or a repository of the hub, of the form that `multilingual` tells.
    `weights_sha256`, `tower_sha256`: what the weights, and those of `multilingual`, must have wherever they
    are loaded; None takes what is there.
    """

    name: str
    architecture: str
    pretrained: str | None = None
    multilingual: str | None = None
    weights_sha256: str | None = None
    tower_sha256: str | None = None

    def pinned(self) -> ModelSpec:
        """The same model, with the sha256 of the weights that are here. Raises ModelUnavailable."""
        found = self.fingerprint()
        tower = found.get("multilingual", {}).get(TOWER_SHA256)
        return replace(self, weights_sha256=found["weights_sha256"], tower_sha256=tower)

    def fingerprint(self) -> dict[str, Any]:
        """What decides about this model's vectors, apart from the machine; the same wherever the files lie.

        Reads the weights file to hash it, and fetches it where open_clip would.
        Raises ModelUnavailable.
        """
        config = _config(self)
        merges = _folder(self) / MERGES_FILE
        others: dict[str, Any] = {}
        if (tokenizer := _folder(self) / TOKENIZER_FILE).is_file():
            others["tokenizer_sha256"] = _sha256(tokenizer)
        if self.multilingual is not None:
            others["multilingual"] = _tower(self.multilingual)
        return {
            "weights_sha256": _sha256(_weights(self)),
            "merges_sha256": _sha256(merges) if merges.is_file() else None,
            "model": config,
            "preprocess": _told(self, config),
            "context_length": _context_length(config),
            **others,
        }


#: OpenAI's CLIP (Radford et al. 2021), as LAION used it: B/32 to filter, L/14 for the published embeddings.
BUILTIN = {
    "b32": ModelSpec("b32", "ViT-B-32", "openai"),
    "l14": ModelSpec("l14", "ViT-L-14", "openai"),
}


def load(spec: ModelSpec, device: str = "cpu") -> Model:
    """The model of `spec` on `device` ("cpu", "cuda"), loaded once per process.

    On a CPU it computes with as many threads as torch takes by default (OMP_NUM_THREADS, else one per core).
    Raises ModelUnavailable.
    """
    with _loading:
        return _load(spec, device)


_loading = threading.Lock()


@cache
def _load(spec: ModelSpec, device: str) -> Model:
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ModelUnavailable(f"model {spec.name}: device {device} is asked for, but torch finds no GPU")
    network, preprocess, tokenizer = _open(spec)
    words = getattr(tokenizer, "vocab_size", 0)
    room = getattr(network, "vocab_size", words)
    if words > room:
        raise ModelUnavailable(
            f"model {spec.name}: the tokenizer has {words} tokens, but the network only {room}; "
            f"{MERGES_FILE} and vocab_size in {CONFIG_FILE} do not belong together"
        )
    network = network.to(device, memory_format=torch.channels_last).eval()
    size = dimension(spec)
    others = None
    if spec.multilingual is not None:
        folder = find(spec.multilingual)
        _check_weights(spec, folder / WEIGHTS_FILES[0], spec.tower_sha256)
        others = MultilingualTexts(folder, device)
        if others.dimension != size:
            raise ModelUnavailable(
                f"model {spec.name}: vectors of {spec.multilingual} have {others.dimension} elements, "
                f"those of its pictures {size}"
            )
    return Model(network, preprocess, OpenClipTexts(network, tokenizer), others, Device(device), size)


def _tower(name: str) -> dict[str, Any]:
    """What decides about the vectors of a multilingual text tower."""
    folder = find(name)
    told = (TOKENIZER_FILE, *WEIGHTS_FILES)
    return {f"{Path(file).with_suffix('')}_sha256".replace("/", "_"): _sha256(folder / file) for file in told}


def _open(spec: ModelSpec) -> tuple[Any, Any, Any]:
    """open_clip's network, its preprocessing for inference, and its tokenizer."""
    import open_clip
    from safetensors import SafetensorError

    config = _config(spec)
    weights = _weights(spec)
    _check_weights(spec, weights, spec.weights_sha256)
    folder = _folder(spec)
    known = open_clip.get_pretrained_cfg(spec.architecture, spec.pretrained or "")
    source = f"local-dir:{folder}" if _is_folder(spec) else spec.architecture
    merges = folder / MERGES_FILE
    picture = _preprocess(spec, config)
    try:
        network, _, preprocess = open_clip.create_model_and_transforms(
            source,
            pretrained=None if ":" in source else str(weights),
            # open_clip only warns where a tag's weights were trained with the other GELU, as OpenAI's were
            force_quick_gelu=known.get("quick_gelu", False),
            image_mean=tuple(picture["mean"]),
            image_std=tuple(picture["std"]),
            image_interpolation=picture["interpolation"],
            image_resize_mode=picture["resize_mode"],
            pretrained_image=False,
            pretrained_text=False,
        )
        if merges.is_file():
            tokenizer = open_clip.SimpleTokenizer(str(merges), context_length=_context_length(config))
        else:
            tokenizer = open_clip.get_tokenizer(source)
    except (OSError, RuntimeError, ValueError, SafetensorError, ModuleNotFoundError) as error:
        raise ModelUnavailable(f"model {spec.name}: {weights} cannot be loaded: {error}") from error
    return network, preprocess, tokenizer


def dimension(spec: ModelSpec) -> int:
    """Elements of the model's vectors, from its configuration alone. Raises ModelUnavailable."""
    return int(_config(spec)["embed_dim"])


def _folder(spec: ModelSpec) -> Path:
    """The folder that the architecture names, where it names one."""
    if not spec.architecture.startswith(PACKAGE):
        return Path(spec.architecture)
    package, _, path = spec.architecture.removeprefix(PACKAGE).partition("/")
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ModelUnavailable(f"model {spec.name}: there is no package {package} here")
    return Path(found.submodule_search_locations[0]) / path


def _is_folder(spec: ModelSpec) -> bool:
    return (_folder(spec) / CONFIG_FILE).is_file()


def _check_weights(spec: ModelSpec, weights: Path, wanted: str | None) -> None:
    """Raises ModelUnavailable where this machine's weights are not those that the rows are said to be of."""
    if wanted is not None and _sha256(weights) != wanted:
        raise ModelUnavailable(
            f"model {spec.name}: {weights} on {socket.gethostname()} has other weights than the machine that "
            f"started the run, whose sha256 is {wanted}: copy that file here"
        )


def _config(spec: ModelSpec) -> dict[str, Any]:
    """open_clip's `model_cfg` of the model; read from its files, as importing it takes seconds and 700 MB."""
    if _is_folder(spec):
        return dict(_folder_config(spec)["model_cfg"])
    package = find_spec("open_clip")
    for folder in (package.submodule_search_locations if package else None) or ():
        path = Path(folder) / "model_configs" / f"{spec.architecture}.json"
        if path.is_file():
            return dict(json.loads(path.read_text(encoding="utf-8")))
    import open_clip

    try:
        config = open_clip.get_model_config(spec.architecture)
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelUnavailable(_fetch_advice(spec, error)) from error
    if config is None:
        raise ModelUnavailable(
            f"model {spec.name}: {spec.architecture!r} is neither an architecture of open_clip "
            f"nor a folder that holds {CONFIG_FILE}"
        )
    return dict(config)


def _folder_config(spec: ModelSpec) -> dict[str, Any]:
    path = _folder(spec) / CONFIG_FILE
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if not {"embed_dim", "vision_cfg", "text_cfg"} <= config["model_cfg"].keys():
            raise ValueError("model_cfg lacks embed_dim, vision_cfg or text_cfg")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelUnavailable(f"model {spec.name}: {path} is not a model configuration: {error}") from error
    return dict(config)


def _context_length(config: dict[str, Any]) -> int:
    return int(config["text_cfg"].get("context_length", CONTEXT_LENGTH))


def _told(spec: ModelSpec, config: dict[str, Any]) -> dict[str, Any]:
    """What the folder or the tag says of how pictures become the network's input."""
    if _is_folder(spec):
        told = _folder_config(spec).get("preprocess_cfg", {})
    else:
        import open_clip

        told = open_clip.get_pretrained_cfg(spec.architecture, spec.pretrained or "")
    size = config["vision_cfg"].get("image_size", told.get("size"))
    return json.loads(json.dumps({**told, "size": size}))  # type: ignore[no-any-return]


def _preprocess(spec: ModelSpec, config: dict[str, Any]) -> dict[str, Any]:
    """The same with open_clip's defaults for what is not said."""
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    return dict(merge_preprocess_dict(asdict(PreprocessCfg()), _told(spec, config)))


def _weights(spec: ModelSpec) -> Path:
    """The weights file, fetched by open_clip where it knows a source and does not have it yet."""
    if _is_folder(spec):
        path = _folder(spec) / WEIGHTS_FILE
    elif spec.pretrained and Path(spec.pretrained).is_file():
        path = Path(spec.pretrained)
    else:
        path = _fetched_weights(spec)
    if not path.is_file():
        raise ModelUnavailable(f"model {spec.name}: there is no weights file {path}")
    return path


def _fetched_weights(spec: ModelSpec) -> Path:
    import open_clip
    from open_clip.pretrained import download_pretrained_from_hf

    known = open_clip.get_pretrained_cfg(spec.architecture, spec.pretrained or "")
    hub = spec.architecture.startswith(HUB)
    if not known and not hub:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(spec.architecture)) or "none"
        raise ModelUnavailable(
            f"model {spec.name}: {spec.pretrained!r} is neither a file nor a tag of {spec.architecture}; "
            f"its tags: {tags}"
        )
    place = spec.architecture.removeprefix(HUB) + "/" if hub else known.get("hf_hub", "")
    if cached := _cached(place):
        return cached
    try:
        if hub:
            return Path(download_pretrained_from_hf(spec.architecture.removeprefix(HUB)))
        return Path(open_clip.download_pretrained(known))
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelUnavailable(_fetch_advice(spec, error)) from error


def _cached(place: str) -> Path | None:
    """What the Hugging Face cache has of "OWNER/REPOSITORY/FILE", without FILE of open_clip's own names.

    Asked first, because without network open_clip tries for a minute before it takes what it has.
    """
    from huggingface_hub import try_to_load_from_cache
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

    repository, _, file = place.rpartition("/")
    if not repository:
        return None
    names = (
        [str(Path(file).with_suffix(".safetensors")), file]
        if file
        else [HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME]
    )
    found = (try_to_load_from_cache(repository, name) for name in names)
    return next((Path(path) for path in found if isinstance(path, str)), None)


def _fetch_advice(spec: ModelSpec, error: Exception) -> str:
    return (
        f"model {spec.name}: the weights of {spec.architecture} {spec.pretrained or ''} are not here and "
        f"cannot be fetched ({error}). Either fetch them on a machine with network, by "
        f"open_clip.create_model({spec.architecture!r}, pretrained={spec.pretrained!r}), and copy its "
        f"Hugging Face cache (HF_HOME, by default ~/.cache/huggingface) here; or give the weights file as "
        f"`pretrained`; or give as `architecture` a folder with {CONFIG_FILE} and {WEIGHTS_FILE}."
    )


def _sha256(path: Path) -> str:
    status = path.stat()
    return _sha256_of(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256_of(path: Path, size: int, changed: int) -> str:
    """Hashed once per state of the file: `size` and `changed` are there to tell states apart."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
